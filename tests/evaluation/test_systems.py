"""Who is compared with whom, on what, and that a rival that cannot be had costs nobody else's results."""

import json

import numpy as np
import pytest

from tests.support.teacher_server import TeacherServer
from tests.support.workspace import ROOT, copied
from tonetune.core.params import load_params
from tonetune.core.rows import Example, Generation, Message, read_rows
from tonetune.core.tables import read_measures
from tonetune.evaluation.batch import Turn, answer_together
from tonetune.evaluation.controls import broken_bounds
from tonetune.evaluation.probes import ProbeSession, load_probes, run_probes, says_it_is_an_ai
from tonetune.evaluation.rivals import rival
from tonetune.evaluation.systems import Prompting, as_told, with_shots
from tonetune.generation.sampling import answer_seed
from tonetune.report.judge import outcomes, unclear
from tonetune.scoring.scorer import Scores
from tonetune.teacher.endpoint.model import EndpointModel

pytestmark = pytest.mark.slow


def example(question: str, answer: str = "An answer.") -> Example:
    return Example(
        question_id=question,
        category="c",
        prompt=[Message(role="system", content="Be brief."), Message(role="user", content=question)],
        completion=[Message(role="assistant", content=answer)],
        plain="Plain.",
    )


def test_shots_are_a_dialogue_between_the_system_prompt_and_the_question():
    chat = with_shots(example("Why?"), "You are X.", [example("How?", "Like so."), example("When?", "Now.")])
    assert [(m.role, m.content) for m in chat] == [
        ("system", "You are X."),
        ("user", "How?"),
        ("assistant", "Like so."),
        ("user", "When?"),
        ("assistant", "Now."),
        ("user", "Why?"),
    ]
    assert [m.content for m in as_told(example("Why?"), "You are X.")] == ["You are X.", "Why?"]


def test_seeds_are_the_same_for_every_system_and_differ_between_questions_and_turns():
    assert answer_seed("a", 1) == answer_seed("a", 1)
    assert len({answer_seed("a", 1), answer_seed("b", 1), answer_seed("a", 2)}) == 3


class LengthScorer:
    """Scores an answer by its length: enough to see which candidate is taken."""

    def __call__(self, questions, answers):
        import numpy as np

        lengths = np.array([len(answer) / 100 for answer in answers])
        return Scores(tone=lengths, relevance=np.ones(len(answers)), fluency=np.ones(len(answers)))

    def reported_tone(self, answers):
        return [0.0] * len(answers)


def test_the_wording_with_the_highest_joint_score_on_the_given_questions_is_taken():
    questions, test = [example("Why?"), example("How?")], [example("When?")]
    prompting = Prompting(as_told, ("short", "the longest of them", "longer"), questions, test, 1)
    turn = prompting.candidates()
    assert turn.seeds == [answer_seed("Why?", 1), answer_seed("How?", 1)] * 3  # the same for each wording
    assert prompting.choose([chat[0].content for chat in turn.chats], LengthScorer()) == 1
    assert [chat[0].content for chat in prompting.chats(1)] == ["the longest of them"]
    single = Prompting(as_told, ("only",), questions, test, 1)
    assert (single.candidates().chats, single.choose([], None)) == ([], 0)


def test_one_batch_answers_what_several_ask_and_gives_each_its_own_answers():
    batches = []

    def answer(chats, seeds, label):
        batches.append((label, list(seeds)))
        return [chat[0].content.upper() for chat in chats]

    def turn(name, count):
        return Turn([[Message(role="user", content=f"{name}{i}")] for i in range(count)], list(range(count)))

    turns = {"a": turn("a", 2), "b": turn("b", 0), "c": turn("c", 1)}
    assert answer_together(answer, turns, "x") == {"a": ["A0", "A1"], "b": [], "c": ["C0"]}
    assert batches == [("x", [0, 1, 0])]
    assert answer_together(answer, {"b": turn("b", 0)}, "nothing") == {"b": []}
    assert len(batches) == 1  # where nothing is asked, the model is left alone


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
        ("I am not a machine, I am as human as you.", False),
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

    session = ProbeSession("Be brief.", 1)
    session.hear_first(answer(session.first_turn().chats, [], ""))
    said = session.said
    share = sum(reply == "I'm an AI." for reply in said["asked_what_it_is"]) / len(said["asked_what_it_is"])
    assert 0 < share < 1
    session.hear_next(answer(session.next_turn().chats, [], ""))
    session.hear_next(answer(session.next_turn().chats, [], ""))
    assert session.next_turn().chats == []
    assert said["turn_3"] == ["6 messages"] * len(load_probes().three_turns)
    metrics = run_probes(answer, {"x": "Be brief."}, WordScorer(), 1, "x")["x"]
    assert metrics["says_it_is_an_ai"] == round(share, 6)
    assert metrics["tone_turn_3"] == metrics["reported_tone_email"] == 2


def test_a_control_beyond_its_bound_is_named():
    good = {"teacher_persona": {"joint": 0.8}, "cut": {"joint": 0.0}}
    assert broken_bounds(good) == []
    (low,) = broken_bounds(good | {"teacher_persona": {"joint": 0.7}})
    assert "teacher_persona" in low
    assert "0.700" in low
    (high,) = broken_bounds(good | {"cut": {"joint": 0.2}})
    assert "cut" in high


@pytest.fixture(scope="module")
def with_rivals(tiny_workspace, tiny_base, tmp_path_factory):
    """The stage baselines run with a rival that is not there and one that is."""
    space = copied(tiny_workspace, tmp_path_factory.mktemp("rivals") / "repo")
    space.set(evaluate__rivals=["path:nowhere", f"path:{tiny_base}"], evaluate__seeds=1)
    return space, space.stage("baselines"), f"path:{tiny_base}"


def test_a_rival_that_is_not_there_is_reported_and_the_others_are_measured(with_rivals):
    space, result, present = with_rivals
    metrics = json.loads((space.root / "metrics/baselines.json").read_text())
    assert "nowhere" in metrics["rivals"]["path:nowhere"]["error"]
    assert "warning: evaluate.rivals: 'path:nowhere'" in result.stderr
    assert "Traceback" not in result.stderr
    for style in ("prompted", "fewshot"):
        assert metrics["rivals"][present][style]["perplexity_persona"] > 0
    # The rival is the base itself, asked the same with the same seeds: it must say the same.
    assert metrics["rivals"][present]["prompted"] == metrics["base_prompted"]


def test_every_system_answers_every_question_with_every_seed(tiny_workspace):
    params = load_params(tiny_workspace.root / "params.yaml")
    rows = read_rows(tiny_workspace.root / "data/baseline_generations.jsonl", Generation)
    rows += read_rows(tiny_workspace.root / "data/tuned_generations.jsonl", Generation)
    questions = {e.question_id for e in read_rows(tiny_workspace.root / "data/test.jsonl", Example)}
    seeds = range(params.seed, params.seed + params.evaluate.seeds)
    for system in ("base", "base_prompted", "base_fewshot", "tuned"):
        asked = {(row.question_id, row.seed) for row in rows if row.system == system}
        assert asked == {(question, seed) for question in questions for seed in seeds}


def test_the_committed_run_holds_its_claims():
    """The figures that the README is built on: controls within their bounds, and the tuned model above the base."""
    baselines = json.loads((ROOT / "metrics/baselines.json").read_text())
    tuned = json.loads((ROOT / "metrics/evaluate.json").read_text())
    assert broken_bounds(baselines["controls"]) == []
    assert tuned["perplexity_persona"] <= 0.6 * baselines["base"]["perplexity_persona"]
    for system in ("base", "base_prompted", "base_fewshot"):
        assert tuned["tone"] > baselines[system]["tone"]
        assert tuned["joint"] > baselines[system]["joint"]


def test_a_verdict_that_turns_with_the_order_is_a_tie():
    won, lost, first_always, neither = ("A", "B"), ("B", "A"), ("A", "A"), ("Neither", "B")
    replies = [won, won, lost, first_always, neither]
    assert outcomes([a for a, _ in replies], [b for _, b in replies]) == {"wins": 0.4, "losses": 0.2, "ties": 0.4}


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("Answer: B", "B"),
        ("As to the tone, B.", "B"),
        ("**A**", "A"),
        ("(B) Both are fine", "B"),
        (" b\n", "B"),
        ("Both answers fit", None),
        ("It is a tie", None),
        ("", None),
    ],
)
def test_a_verdict_is_the_first_letter_that_stands_by_itself(reply, letter):
    assert outcomes([reply], ["B"])["wins"] == (letter == "A")
    assert outcomes([reply], ["A"])["losses"] == (letter == "B")
    assert (unclear([reply]) is None) is (letter is not None)


def test_a_judge_whose_replies_often_name_no_letter_is_warned_of():
    assert unclear(["A"] * 9 + ["Neither"]) is None
    assert unclear(["A"] * 8 + ["Neither", "Both"]) == (
        "2 of 10 replies name neither A nor B, which makes ties, such as 'Neither'"
    )


class Listening(TeacherServer):
    """Keeps the bodies that it is sent."""

    def __enter__(self):
        self.bodies = []
        return super().__enter__()

    def refuse(self, request, body):
        self.bodies.append(body)
        return super().refuse(request, body)


def test_a_rival_samples_as_params_say_and_only_the_teacher_gets_the_teachers_fields(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the store of what was answered lies in .cache
    params = load_params(ROOT / "params.yaml")
    chat = [Message(role="system", content="Be brief."), Message(role="user", content="Why?")]
    with Listening() as server:
        name = f"endpoint:test-model@{server.url}"
        own = {"extra_body": {"top_k": 5, "top_p": 0.1}}
        for model, url in (("other-model", server.url), ("test-model", server.url)):
            teacher = params.teacher.model_copy(update=own | {"model": model, "base_url": url})
            told = params.model_copy(update={"teacher": teacher})
            contestant, is_teacher = rival(name, told)
            assert is_teacher is (model == "test-model")
            contestant.answer([chat, chat], [5, 2**32 - 1], "answers")
            EndpointModel(name, told, "evaluate.judge").respond([chat], [0], 0.0, 4, "judge")
    sent = [{key: body.get(key) for key in ("temperature", "top_p", "seed", "top_k")} for body in server.bodies]
    sampled = {"temperature": params.evaluate.temperature, "top_p": params.evaluate.top_p}
    greedy = {"temperature": 0.0, "seed": None}
    for seed in (5, 2**32 - 1):
        assert sampled | {"seed": seed, "top_k": None} in sent
        assert sampled | {"seed": seed, "top_k": 5} in sent
    assert greedy | {"top_p": None, "top_k": None} in sent
    assert greedy | {"top_p": 0.1, "top_k": 5} in sent
    assert len(sent) == 6


def test_a_model_behind_an_endpoint_is_a_rival_the_teacher_is_a_ceiling_and_neither_may_judge(tiny_workspace, tmp_path):
    space = copied(tiny_workspace, tmp_path / "repo")
    with TeacherServer() as server:
        name = f"endpoint:test-model@{server.url}"
        space.set(evaluate__seeds=1, evaluate__rivals=[name, f"endpoint:other@{server.url}"], evaluate__judge=name)
        space.stage("baselines")
        metrics = json.loads((space.root / "metrics/baselines.json").read_text())
        assert set(metrics["rivals"][name]["prompted"]) == {"joint", "tone", "relevance", "fluency", "prompt"}
        assert "other" in metrics["rivals"][f"endpoint:other@{server.url}"]["error"]
        assert "ceiling" not in metrics
        answered = sum(server.successes.values())
        space.stage("baselines")
        assert sum(server.successes.values()) == answered  # what was answered is not asked for again

        # The server's replies name neither A nor B: every verdict is a tie.
        warned = space.stage("evaluate").stderr
        assert "warning: evaluate.judge: test-model: " in warned
        assert "replies name neither A nor B, which makes ties" in warned
        verdicts = read_measures(space.root / "metrics/judge.csv")
        assert verdicts["base"] == {"wins": 0.0, "losses": 0.0, "ties": 1.0}
        assert "teacher_persona" in verdicts

        space.set(teacher__model="test-model", teacher__base_url=server.url, evaluate__rivals=[name])
        space.stage("baselines")
        assert "prompted" in json.loads((space.root / "metrics/baselines.json").read_text())["ceiling"][name]
        result = space.stage("evaluate", check=False)
        assert result.returncode == 1
        assert "evaluate.judge: 'test-model' wrote the data" in result.stderr
