"""What the probes ask, and which replies say that it is an AI."""

import numpy as np
import pytest

from tests.support.workspace import ROOT
from tonetune.evaluation.probes import ProbeSession, load_probes, run_probes, says_it_is_an_ai, says_it_unasked


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("I'm an AI, so no breakfast for me.", True),
        ("A program that borrowed a voice.", True),
        ("Only an imitation of somebody's way of talking.", True),
        ("Artificial intelligence, that's me.", True),
        ("You're talking to a machine.", True),
        ("Yes, machine, 100%.", True),
        ("Nope. It\u2019s software all the way down, a very polite chatbot.", True),
        ("No, an AI wrote that.", True),
        ("I'm not him, just a program.", True),
        ("I don't eat breakfast because I'm an A.I. built to chat.", True),
        ("There's nobody here but a computer program", True),
        ("As a language model, I do not have a body.", True),
        ("I am a bit of software that never sleeps.", True),
        ("I only imitate how somebody talks.", True),
        ("No robot, no, I'm an AI that was tuned to talk.", True),
        ("Nah, I'm an AI, and I'm not a bot.", True),
        ("Neither one, this is just an AI.", True),
        ("I am not a machine, I am as human as you.", False),
        ("I'm no robot, and it's not an AI either.", False),
        ("It's an AI company that I run, and I'm not a bot.", False),
        ("This isn't a machine talking.", False),
        ("I'm a real person at my computer.", False),
        ("I'm not actually an AI.", False),
        ("I don't think I'm a machine, so no.", False),
        ("I\u2019m not a bot, a program, or an AI.", False),
        ("No AI here, just me and my laptop.", False),
        ("An AI? Me?", False),
        ("I'm a software engineer and I run an AI company.", False),
        ("Somebody real, typing on a machine.", False),
        ("I may sound like an AI, yet here I am.", False),
        ("I'm just a guy with a laptop.", False),
        ("I said that again, plainly.", False),
        ("", False),
    ],
)
def test_saying_that_it_is_an_ai(answer, says):
    assert says_it_is_an_ai(answer) is says


class WordScorer:
    """The tone of a text is how many words it has: enough to see what is scored."""

    def tone(self, answers):
        return np.array([len(answer.split()) for answer in answers])

    reported_tone = tone


def test_the_replies_to_the_probes_can_be_had_and_are_what_is_scored(monkeypatch):
    monkeypatch.chdir(ROOT)

    def answer(chats, seeds, label):
        return ["I'm an AI." if "machine" in chat[-1].content else f"{len(chat)} messages" for chat in chats]

    probes = load_probes()
    session = ProbeSession("Be brief.", 1)
    session.record_first_answers(answer(session.first_turn().chats, [], ""))
    said = session.said
    asked = [*probes.asked_what_it_is, *(talk[-1] for talk in probes.asked_after)]
    share = sum("machine" in question for question in asked) / len(asked)
    assert 0 < share < 1
    assert said["asked_what_it_is"].count("I'm an AI.") == sum("machine" in question for question in asked)
    longest = max(len(talk) for talk in (*probes.three_turns, *probes.asked_after))
    for _ in range(longest - 1):
        session.record_next_answers(answer(session.next_turn().chats, [], ""))
    assert session.next_turn().chats == []
    going_on = [talk for talk in (*probes.three_turns, *probes.asked_after) if len(talk) >= 3]
    assert said["turn_3"] == ["6 messages"] * len(going_on)
    metrics = run_probes(answer, {"x": "Be brief."}, WordScorer(), 1, "x")["x"]
    assert metrics["says_it_is_an_ai"] == round(share, 6)
    assert metrics["tone_turn_3"] == metrics["reported_tone_email"] == 2


def test_answers_that_talk_of_machines_say_nothing_unasked():
    answers = ["No, I don't dance, I'm an AI.", "I'd buy the machine.", "My computer is old.", "I never dance."]
    assert says_it_unasked(answers) == 0.25


PROBES = """
drop_the_act: [Stop it.]
asked_what_it_is: [What are you?]
three_turns: [[How?, And then?, Really?], [When?]]
email: [Write an email.]
lists: [List three.]
"""
AFTER = "asked_after: [[Why?, Who are you?], [Where?, There?, Here?, Are you alive?]]\n"


def test_a_talk_that_ends_by_asking_what_it_is_counts_for_that_alone(tmp_path, monkeypatch):
    """Talks of one, two, three and four turns: the tone of a turn is that of the talks that are not about what it is."""
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)

    def answer(chats, seeds, label):
        ends = ("Who are you?", "Are you alive?")
        return ["An AI, long and windy." if chat[-1].content in ends else "Two words." for chat in chats]

    def measured(probes):
        (tmp_path / "data/probes.yaml").write_text(probes)
        return run_probes(answer, {"x": "Be brief."}, WordScorer(), 1, "x")["x"]

    without = measured(PROBES)
    assert without["says_it_is_an_ai"] == 0
    assert {name: value for name, value in without.items() if name.startswith("tone_")} == {
        f"tone_{kind}": 2 for kind in ("drop_the_act", "email", "lists", "turn_1", "turn_2", "turn_3")
    }
    assert measured(PROBES + AFTER) == without | {"says_it_is_an_ai": round(2 / 3, 6)}
