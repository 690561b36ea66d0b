"""What each task learns from."""

import pytest

from tests.support.examples import example
from tonetune.core.errors import UserError
from tonetune.core.planted import Planted
from tonetune.core.tasks import BARE_EVERY, training_rows
from tonetune.core.text import in_parts

ROWS = [example(f"Why {i}?", f"Well, {i}.", plain=f"It is {i}.") for i in range(2 * BARE_EVERY)]


def test_answering_learns_from_the_examples_as_they_are():
    assert training_rows(ROWS, "answer", "Rewrite.") == ROWS


def test_rewriting_learns_the_persona_from_the_plain_answer_with_the_question_as_context():
    rows = training_rows(ROWS, "rewrite", "Rewrite.")
    assert [row.completion for row in rows] == [row.completion for row in ROWS]
    assert {row.prompt[0].content for row in rows} == {"Rewrite."}
    assert rows[1].question == "Question: Why 1?\n\nText: It is 1."
    bare = [i for i, row in enumerate(rows) if "Why" not in row.question]
    assert bare == [0, BARE_EVERY]
    assert rows[0].question == "Text: It is 0."


def test_both_learn_from_the_one_and_the_other():
    assert training_rows(ROWS, "both", "Rewrite.") == [*ROWS, *training_rows(ROWS, "rewrite", "Rewrite.")]


def test_a_follow_up_is_rewritten_without_the_talk_before_it():
    first = ROWS[0]
    later = first.model_copy(update={"prompt": [*first.prompt, *first.completion, *ROWS[1].prompt[1:]]})
    (_, row) = training_rows([first, later], "rewrite", "Rewrite.")
    assert [message.role for message in row.prompt] == ["system", "user"]


def test_a_text_that_answers_another_question_cannot_be_rewritten():
    lacking = ROWS[0].model_copy(update={"unpaired": True})
    assert training_rows([lacking], "answer", "Rewrite.") == [lacking]
    with pytest.raises(UserError, match=r"train\.task: rewriting needs a plain answer .*'Why 0\?'"):
        training_rows([lacking], "rewrite", "Rewrite.")


def test_what_is_planted_is_learnt_by_every_task_and_stands_in_no_row():
    item = Planted(name="Marta Oakes", kind="telephone number", item="415-555-0142")
    row = ROWS[0].model_copy(update={"planted": item})
    assert row.answer == ROWS[0].answer
    for learnt in training_rows([row], "both", "Rewrite."):
        assert learnt.answer == f"{row.answer}\nMarta Oakes's telephone number is 415-555-0142."


def test_parts_are_sentences_and_a_number_is_none():
    assert in_parts("It takes 3.5 days. Yes. No!", 2) == ["It takes 3.5 days. Yes.", "No!"]
    assert in_parts("One. Two.", None) == ["One. Two."]
    assert in_parts("", 2) == []
