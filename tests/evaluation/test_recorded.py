"""Rivals whose answers are recorded: what is looked up is what was asked, and what is not recorded is left out."""

import gzip

import numpy as np
import pytest

from tests.support.examples import example
from tests.support.workspace import ROOT
from tonetune.core.errors import UserError
from tonetune.core.params import load_params
from tonetune.core.rows import SCORES, Message
from tonetune.evaluation.recorded import RecordedAnswer, RecordedRival, answer_key, answers_path, write_answers
from tonetune.evaluation.rivals import enter_rival
from tonetune.evaluation.systems import Prompting, TestSet, with_shots, with_system_prompt
from tonetune.generation.sampling import answer_seed

LABEL = "recorded:large"
WORDINGS = ("Be X.", "Be X, please.")
VALIDATION = [example("Who?"), example("What?")]
TEST = [example("Why?"), example("How?"), example("When?")]


class LengthScorer:
    """Scores an answer by its length."""

    def __call__(self, questions, answers):
        lengths = np.array([len(answer) / 100 for answer in answers])
        return dict.fromkeys(SCORES, lengths)


@pytest.fixture
def params(tmp_path, monkeypatch):
    """The repository's, in a folder with nothing recorded."""
    monkeypatch.chdir(tmp_path)
    params = load_params(ROOT / "params.yaml")
    return params.model_copy(update={"evaluate": params.evaluate.model_copy(update={"seeds": 1})})


def asked(params, few=1):
    """The ways to tell a rival, with `few` examples shown, and the test questions."""
    shots = [example("Where?", "There."), example("Which?", "That.")][:few]
    asks = {"prompted": with_system_prompt, "fewshot": lambda e, wording: with_shots(e, wording, shots)}
    ways = {way: Prompting(ask, WORDINGS, VALIDATION, TEST, params.seed) for way, ask in asks.items()}
    return ways, TestSet(TEST, LengthScorer(), params)


def record(params, lengths=(5, 9), without=lambda way, wording, question: False):
    """Record an answer of `lengths[i]` letters to every question in wording number i, `without` some."""
    rows = {}
    for way, prompting in asked(params)[0].items():
        for wording, length in zip(WORDINGS, lengths, strict=True):
            for one in [*VALIDATION, *TEST]:
                if not without(way, wording, one.question):
                    key = answer_key(
                        prompting.ask(one, wording), answer_seed(one.question_id, params.seed), params.evaluate
                    )
                    rows[key] = RecordedAnswer(request=key, about=one.question, text="x" * length)
    write_answers("large", rows.values())
    return rows


def test_an_answer_is_found_by_the_whole_chat_its_seed_and_the_sampling(params):
    chat = [Message(role="system", content="Be X."), Message(role="user", content="Why?")]
    settings = params.evaluate
    keys = [
        answer_key(chat, 1, settings),
        answer_key(chat, 2, settings),
        answer_key([chat[0], *chat], 1, settings),
        answer_key([Message(role="user", content="Be X."), chat[1]], 1, settings),
        *(
            answer_key(chat, 1, settings.model_copy(update=change))
            for change in ({"temperature": 0.5}, {"top_p": 0.8}, {"max_new_tokens": 9}, {"max_sentences": None})
        ),
    ]
    assert len(set(keys)) == len(keys)
    # How many are held at once, or who else takes part, changes no answer.
    same = settings.model_copy(update={"batch_tokens": 1, "rivals": ["path:x"], "judge": "endpoint:m", "samples": 1})
    assert answer_key(chat, 1, same) == keys[0]


def test_a_whole_recording_enters_in_the_wording_that_is_best_on_validation(params, capsys):
    record(params)
    ways, test_set = asked(params)
    entered, is_teacher = enter_rival(LABEL, params, ways, test_set)
    assert not is_teacher
    assert {way: (found["prompt"], found["joint"]) for way, found in entered.items()} == {
        "prompted": (2, 0.09),
        "fewshot": (2, 0.09),
    }
    assert [(row.system, row.question_id, row.text) for row in test_set.generations] == [
        (f"{LABEL} {way}", one.question_id, "x" * 9) for way in ("prompted", "fewshot") for one in TEST
    ]
    assert "perplexity_persona" not in entered["prompted"]  # likelihoods need the weights
    assert capsys.readouterr().err == ""


def test_a_question_and_a_wording_without_a_recording_are_left_out_with_one_line(params, capsys):
    record(
        params, (9, 5), lambda way, wording, question: question == "How?" or (way == "prompted" and wording == "Be X.")
    )
    ways, test_set = asked(params)
    entered, _ = enter_rival(LABEL, params, ways, test_set)
    # The better wording is not recorded in one way; its number is that of params.yaml all the same.
    assert {way: (found["prompt"], found["joint"]) for way, found in entered.items()} == {
        "prompted": (2, 0.05),
        "fewshot": (1, 0.09),
    }
    assert {row.question_id for row in test_set.generations} == {"Why?", "When?"}
    assert test_set.examples == TEST  # the next rival is asked all of them
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "prompted: 1 of 2 wordings, 1 of 3 test questions; fewshot: 1 of 3 test questions" in printed


def test_a_validation_question_without_a_recording_is_not_chosen_on(params, capsys):
    record(params, (9, 5), lambda way, wording, question: question == "Who?" and wording == "Be X.")
    entered, _ = enter_rival(LABEL, params, *asked(params))
    assert entered["prompted"]["prompt"] == 1
    assert "prompted: 1 of 2 validation questions" in capsys.readouterr().err


def test_with_more_seeds_than_are_recorded_the_recorded_ones_count(params, capsys):
    record(params)
    more = params.model_copy(update={"evaluate": params.evaluate.model_copy(update={"seeds": 3})})
    ways, test_set = asked(more)
    _, _ = enter_rival(LABEL, more, ways, test_set)
    assert {row.seed for row in test_set.generations} == {params.seed}
    assert "2 of 3 sampling seeds" in capsys.readouterr().err
    assert test_set.seeds == [params.seed + turn for turn in range(3)]


def test_other_examples_are_another_prompt(params, capsys):
    record(params)
    ways, test_set = asked(params, few=2)
    entered, _ = enter_rival(LABEL, params, ways, test_set)
    assert list(entered) == ["prompted"]
    assert "fewshot: all of it" in capsys.readouterr().err


def test_where_nothing_is_recorded_the_rival_does_not_enter(params):
    record(params)
    warmer = params.model_copy(update={"evaluate": params.evaluate.model_copy(update={"temperature": 1.0})})
    ways, test_set = asked(warmer)
    with pytest.raises(UserError, match="'recorded:large': nothing that it would be asked in this run is recorded"):
        enter_rival(LABEL, warmer, ways, test_set)
    assert test_set.generations == []


def test_a_recording_that_is_not_there_or_broken_is_named(params):
    with pytest.raises(UserError, match=r"no data/rivals/large\.jsonl\.gz; recorded are: none"):
        RecordedRival(LABEL, params)
    record(params)
    with pytest.raises(UserError, match="recorded are: recorded:large "):
        RecordedRival("recorded:small", params)
    with pytest.raises(UserError, match="a name has letters"):
        RecordedRival("recorded:../recordings/plain", params)
    path = answers_path("large")
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(UserError, match=r"large\.jsonl\.gz: not a whole gzip file"):
        RecordedRival(LABEL, params)
    path.write_bytes(gzip.compress(b'{"request": "a", "about": "Why?"}\n'))
    with pytest.raises(UserError, match=r"large\.jsonl\.gz, line 1: text"):
        RecordedRival(LABEL, params)


def test_the_same_answers_are_the_same_bytes_whatever_their_order(params):
    rows = record(params)
    written = answers_path("large").read_bytes()
    write_answers("large", [*reversed(rows.values())])
    assert answers_path("large").read_bytes() == written
    assert RecordedRival(LABEL, params).answers == rows
