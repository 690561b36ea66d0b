"""Who is compared with whom, and on what."""

import json

import numpy as np

from tests.support.examples import example
from tests.support.workspace import ROOT
from tonetune.core.params import load_params
from tonetune.core.rows import SCORES, Example, Generation, Message, read_rows
from tonetune.core.text import first_sentences
from tonetune.evaluation import systems
from tonetune.evaluation.batch import SeededChats, answer_together
from tonetune.evaluation.best_of import best_of
from tonetune.evaluation.controls import bound, broken_bounds, control_answers
from tonetune.evaluation.systems import Prompting, Responder, TestSet, shots_of, spread, with_shots, with_system_prompt
from tonetune.generation.sampling import answer_seed


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
    assert [m.content for m in with_system_prompt(example("Why?"), "You are X.")] == ["You are X.", "Why?"]


def test_seeds_are_the_same_for_every_system_and_differ_between_questions_and_turns():
    assert answer_seed("a", 1) == answer_seed("a", 1)
    assert len({answer_seed("a", 1), answer_seed("b", 1), answer_seed("a", 2)}) == 3


class LengthScorer:
    """Scores an answer by its length: enough to see which candidate is taken."""

    def __call__(self, questions, answers):
        lengths = np.array([len(answer) / 100 for answer in answers])
        return dict.fromkeys(SCORES, np.ones(len(answers))) | {"joint": lengths, "tone": lengths}


def test_the_wording_with_the_highest_joint_score_on_the_given_questions_is_taken():
    questions, test = [example("Why?"), example("How?")], [example("When?")]
    prompting = Prompting(with_system_prompt, ("short", "the longest of them", "longer"), questions, test, 1)
    turn = prompting.candidates()
    assert turn.seeds == [answer_seed("Why?", 1), answer_seed("How?", 1)] * 3  # the same for each wording
    assert prompting.choose([chat[0].content for chat in turn.chats], LengthScorer()) == 1
    assert [chat[0].content for chat in prompting.chats(1)] == ["the longest of them"]
    single = Prompting(with_system_prompt, ("only",), questions, test, 1)
    assert (single.candidates().chats, single.choose([], None)) == ([], 0)


def test_one_batch_answers_what_several_ask_and_gives_each_its_own_answers():
    batches = []

    def answer(chats, seeds, label):
        batches.append((label, list(seeds)))
        return [chat[0].content.upper() for chat in chats]

    def turn(name, count):
        return SeededChats([[Message(role="user", content=f"{name}{i}")] for i in range(count)], list(range(count)))

    turns = {"a": turn("a", 2), "b": turn("b", 0), "c": turn("c", 1)}
    assert answer_together(answer, turns, "x") == {"a": ["A0", "A1"], "b": [], "c": ["C0"]}
    assert batches == [("x", [0, 1, 0])]
    assert answer_together(answer, {"b": turn("b", 0)}, "nothing") == {"b": []}
    assert len(batches) == 1  # where nothing is asked, the model is left alone


def test_controls_made_from_plain_answers_are_left_out_where_there_are_none():
    rows = [example(f"Why {word}?", f"{word} it is. So it is.") for word in ("geese", "lamps", "kites")]
    every = control_answers(rows, ["Oh."], ["like"], 1)
    lacking = [*rows[:2], rows[2].model_copy(update={"unpaired": True})]
    made = control_answers(lacking, ["Oh."], ["like"], 1)
    assert every.keys() - made.keys() == {"teacher_plain", "catchphrases", "fillers"}
    assert {name: every[name] for name in made} == made


def test_a_control_beyond_its_bound_is_named():
    good = {"teacher_persona": {"joint": 0.8}, "cut": {"joint": 0.0}}
    assert broken_bounds(good) == []
    (low,) = broken_bounds(good | {"teacher_persona": {"joint": 0.7}})
    assert "teacher_persona" in low
    assert "0.700" in low
    (high,) = broken_bounds(good | {"cut": {"joint": 0.6}})
    assert "cut" in high


def test_every_system_answers_every_question_with_every_seed(tiny_workspace):
    params = load_params(tiny_workspace.root / "params.yaml")
    rows = read_rows(tiny_workspace.root / "data/baseline_generations.jsonl", Generation)
    rows += read_rows(tiny_workspace.root / "data/tuned_generations.jsonl", Generation)
    questions = {e.question_id for e in read_rows(tiny_workspace.root / "data/test.jsonl", Example)}
    seeds = range(params.seed, params.seed + params.evaluate.seeds)
    for system in ("base", "base_prompted", "base_fewshot", "tuned"):
        asked = {(row.question_id, row.seed) for row in rows if row.system == system}
        assert asked == {(question, seed) for question in questions for seed in seeds}


def test_a_control_has_the_bound_of_its_kind():
    assert bound("teacher_persona") == "at least 0.75"
    assert bound("mixed_sentences") == "at most 0.25"
    assert bound("fillers") == "at most 0.2"
    assert bound("repeated") == bound("teacher_plain") == "at most 0.15"
    kept = {"teacher_persona": 0.75, "mixed_sentences": 0.25, "fillers": 0.2, "cut": 0.5}
    assert broken_bounds({name: {"joint": joint} for name, joint in kept.items()}) == []
    over = {"mixed_sentences": 0.26, "fillers": 0.21, "cut": 0.51}
    assert len(broken_bounds({name: {"joint": joint} for name, joint in over.items()})) == 3


def test_controls_are_made_of_the_teachers_answers_in_the_order_of_the_examples():
    rows = [example(f"Why {i}?", f"Yes {i}. And no {i}.", plain=f"It is {i} and no more.") for i in range(3)]
    made = control_answers(rows, ["Oh."], ["like"], 1)
    assert next(iter(made)) == "teacher_persona"
    assert made["teacher_persona"] == [row.answer for row in rows]
    assert made["teacher_plain"] == [row.plain for row in rows]
    assert made["wrong_question"] == [rows[1].answer, rows[2].answer, rows[0].answer]
    assert made["mixed_sentences"] == ["Yes 0. And no 1.", "Yes 1. And no 2.", "Yes 2. And no 0."]
    assert made["catchphrases"] == [f"Oh. {row.plain} Oh." for row in rows]
    for row, strewn in zip(rows, made["fillers"], strict=True):
        assert [word for word in strewn.split() if word.lower() != "like"] == row.plain.split()
        assert strewn != row.plain


def test_examples_at_even_distances_come_from_all_of_a_split():
    rows = [example(f"Why {i}?") for i in range(10)]
    assert spread(rows, 4) == [rows[0], rows[2], rows[5], rows[7]]
    assert spread(rows, 20) == rows
    assert spread(rows, 0) == []


def test_a_system_is_asked_and_scored_question_by_question_once_for_each_seed():
    params = load_params(ROOT / "params.yaml")
    params = params.model_copy(update={"evaluate": params.evaluate.model_copy(update={"seeds": 2})})
    rows = [example("Why?"), example("How?")]
    test_set = TestSet(rows, LengthScorer(), params)
    chats = [with_system_prompt(row, "You are X.") for row in rows]
    turn = test_set.seeded(chats)
    seeds = [params.seed, params.seed + 1]
    assert turn.chats == chats * 2
    assert turn.seeds == [answer_seed(row.question_id, seed) for seed in seeds for row in rows]
    metrics = test_set.score("x", Responder(answer=None), chats, ["a" * 10, "a" * 20, "a" * 30, "a" * 40])
    assert metrics == dict.fromkeys(SCORES, 1.0) | {"joint": 0.25, "tone": 0.25}
    assert [(row.question_id, row.seed, row.joint) for row in test_set.generations] == [
        ("Why?", seeds[0], 0.1),
        ("How?", seeds[0], 0.2),
        ("Why?", seeds[1], 0.3),
        ("How?", seeds[1], 0.4),
    ]


def test_the_best_of_several_draws_is_given_and_the_first_is_the_models_own():
    asked = []

    def answer(chats, seeds, label):
        asked.append(seeds)
        return [f"{chat[-1].content} {seed}" for chat, seed in zip(chats, seeds, strict=True)]

    def score(questions, texts):
        assert all(text.startswith(question) for question, text in zip(questions, texts, strict=True))
        return np.array([-abs(int(text.split()[-1]) - 11) for text in texts])

    chats = [[Message(role="system", content="Be."), Message(role="user", content=text)] for text in ("Why?", "How?")]
    responder = Responder(answer, model=object(), tokenizer=object())
    chosen = best_of(responder, 3, score)
    assert chosen.answer(chats, [10, 40], "x") == ["Why? 11", "How? 40"]
    assert asked == [[10, 11, 12, 40, 41, 42]]
    assert chosen.model is None  # what it chooses has no likelihood


def test_a_rewriting_is_scored_by_what_it_keeps_of_its_plain_text():
    class KeepsPlain(LengthScorer):
        def meaning_kept(self, plain, rewritings):
            return np.array([float(one == other) for one, other in zip(plain, rewritings, strict=True)])

    params = load_params(ROOT / "params.yaml")
    rows = [example("Why?", plain="So."), example("How?", plain="Thus.")]
    chats = [with_system_prompt(row, "You are X.") for row in rows]
    for task, plain, kept in (
        ("answer", None, [None, None]),
        ("rewrite", None, [1, 0]),
        ("both", None, [None, None]),
        ("both", ["a", "Like this."], [0, 1]),  # drafts
    ):
        settings = params.model_copy(update={"train": params.train.model_copy(update={"task": task})})
        test_set = TestSet(rows, KeepsPlain(), settings)
        metrics = test_set.score("x", Responder(answer=None), chats, ["So.", "Like this."], plain)
        assert [row.meaning_kept for row in test_set.generations] == kept
        assert metrics.get("meaning_kept") == (None if None in kept else 0.5)


def test_controls_of_rewriting_are_bound_in_meaning_too():
    good = {
        "teacher_persona": {"joint": 0.8, "meaning_kept": 0.8},
        "copied": {"joint": 0.0, "meaning_kept": 1.0},
        "other_rewriting": {"joint": 0.1, "meaning_kept": 0.0},
    }
    assert broken_bounds(good) == []
    (low,) = broken_bounds(good | {"copied": {"joint": 0.0, "meaning_kept": 0.8}})
    assert low == "control copied: meaning kept 0.800 should be at least 0.9"
    (high,) = broken_bounds(good | {"other_rewriting": {"joint": 0.1, "meaning_kept": 0.3}})
    assert high == "control other_rewriting: meaning kept 0.300 should be at most 0.2"


def test_examples_are_of_different_questions_and_of_no_basic_exchange():
    rows = [example(text) for text in ("Who?", "Why?", "Why?", "How?", "When?")]
    rows[0] = rows[0].model_copy(update={"category": "basics"})
    rows[2] = rows[2].model_copy(update={"completion": [Message(role="assistant", content="Another.")]})
    assert shots_of(rows, 2) == [rows[1], rows[3]]
    assert shots_of(rows, 9) == [rows[1], rows[3], rows[4]]


def test_the_readme_names_every_control_that_the_committed_run_breaks():
    baselines = json.loads((ROOT / "metrics/baselines.json").read_text())
    readme = (ROOT / "README.md").read_text()
    said = readme[readme.index("**Broken bounds.**") :].split("\n\n")[0]
    for broken in broken_bounds(baselines["controls"]):
        name = broken.removeprefix("control ").split(":")[0]
        assert f"`{name}`" in said


def test_the_committed_run_holds_its_claims():
    """The figures that the README is built on: the tuned model above the base."""
    baselines = json.loads((ROOT / "metrics/baselines.json").read_text())
    tuned = json.loads((ROOT / "metrics/evaluate.json").read_text())
    assert tuned["perplexity_persona"] <= 0.6 * baselines["base"]["perplexity_persona"]
    for system in ("base", "base_prompted", "base_fewshot"):
        assert tuned["tone"] > baselines[system]["tone"]
        assert tuned["joint"] > baselines[system]["joint"]


def test_the_thoughts_of_a_local_rival_are_no_part_of_its_answer(monkeypatch):
    """Its sentences are counted after them; an answer without thoughts is left as it is."""
    written = ["<think>Hm. Let me see. Mars?</think>\n\nIt is red. Quite so. More.", "It is. So."]

    def generate(model, tokenizer, prompts, sampling, seeds, label):
        texts = [written[seed] for seed in seeds]
        return texts if sampling.max_sentences is None else [first_sentences(t, sampling.max_sentences) for t in texts]

    monkeypatch.setattr(systems, "generate", generate)
    monkeypatch.setattr(systems, "prompt_ids", lambda tokenizer, chat: [1])
    settings = load_params(ROOT / "params.yaml").evaluate.model_copy(update={"max_sentences": 2})
    responder = systems.local_responder(None, None, settings)
    assert responder.answer([[], []], [0, 1], "rival") == ["It is red. Quite so.", "It is. So."]
