"""What becomes of messages: bursts, pairs, talks, and texts that answer nothing."""

import random
from datetime import datetime, timedelta

import pytest

from tests.support.exports import ADA, BOB, talk
from tonetune.core.rows import question_id
from tonetune.imports.examples import make_examples
from tonetune.imports.messages import OWNER, ChatMessage

START = datetime(2024, 3, 1, 12, 0)
LENGTH = 512


def said(*lines: tuple[str, float, str], **fields: str) -> list[ChatMessage]:
    """Messages as (author, minutes from the start, text)."""
    return [
        ChatMessage(author, text, time=START + timedelta(minutes=minutes), id=str(number), **fields)  # type: ignore[arg-type]
        for number, (author, minutes, text) in enumerate(lines)
    ]


def pairs(messages: list[ChatMessage], me: str = ADA, length: int = LENGTH) -> list[tuple[str, str]]:
    return [(e.question, e.answer) for e in make_examples(messages, me, length).kept]


def test_what_one_says_in_a_row_is_one_turn_and_what_comes_much_later_is_none_of_it():
    messages = said(
        (BOB, 0, "a?"), (BOB, 1, "b?"), (ADA, 2, "yes"), (ADA, 4, "no"), (ADA, 60, "or maybe we should ask somebody")
    )
    found = make_examples(messages, ADA, LENGTH)
    assert (found.kept[0].question, found.kept[0].answer) == ("a?\nb?", "yes\nno")
    assert found.kept[1].made_question
    assert found.kept[1].answer == "or maybe we should ask somebody"


def test_an_answer_of_the_next_day_answers_nothing_unless_it_names_what_it_answers():
    late = said((BOB, 0, "coming?"), (ADA, 24 * 60, "here I am with all of my geese"))
    assert make_examples(late, ADA, LENGTH).kept[0].made_question
    named = [*late[:1], ChatMessage(ADA, late[1].text, time=late[1].time, id="1", reply_to="0")]
    assert pairs(named) == [("coming?", "here I am with all of my geese")]


def test_a_named_message_counts_before_the_one_that_came_last():
    messages = said((BOB, 0, "who feeds the goose?"), ("Carol", 3, "and who eats cake?"), (ADA, 5, "me!"))
    assert pairs(messages) == [("and who eats cake?", "me!")]
    messages[2] = ChatMessage(ADA, "me!", time=messages[2].time, id="2", reply_to="0")
    assert pairs(messages) == [("who feeds the goose?", "me!")]


def test_turns_of_two_people_are_one_talk_until_it_would_be_too_long():
    messages = said(*[(who, 10 * n, f"{who} says thing {n}") for n in range(6) for who in [(BOB, ADA)[n % 2]]])
    kept = make_examples(messages, ADA, LENGTH).kept
    assert [example.after for example in kept] == [None, kept[0].id, kept[1].id]
    assert kept[1].id == question_id(f"{kept[0].id} {kept[1].question}")
    short = make_examples(messages, ADA, 60 + 30).kept  # room for 90 bytes: two turns and two more, and no third time
    assert [example.after for example in short] == [None, short[0].id, None]


def test_a_third_person_or_a_long_pause_begins_a_new_talk():
    lines = [
        (BOB, 0, "one?"),
        (ADA, 1, "first"),
        (BOB, 2000, "two?"),
        (ADA, 2001, "second"),
        ("Carol", 2002, "x"),
        (BOB, 2003, "three?"),
        (ADA, 2004, "third"),
    ]
    assert [example.after for example in make_examples(said(*lines), ADA, LENGTH).kept] == [None, None, None]


def test_threads_are_kept_apart():
    one, other = said((BOB, 0, "here?"), thread="a"), said((ADA, 1, "there, where else would I have been"), thread="b")
    assert make_examples([*one, *other], ADA, LENGTH).kept[0].made_question


def test_a_question_that_comes_again_and_what_is_too_short_or_too_long_is_counted():
    messages = said(
        (BOB, 0, "ok?"),
        (ADA, 1, "yes"),
        (BOB, 3000, "OK?"),
        (ADA, 3001, "no"),
        (ADA, 9000, "morning!"),
        (ADA, 20000, "goose " * 400),
    )
    found = make_examples(messages, ADA, LENGTH)
    assert [(e.question, e.answer) for e in found.kept] == [("ok?", "yes")]
    assert found.turns == 4
    assert found.left_out == {
        "the same question again": 1,
        "single turns of fewer than 5 words that answer nothing": 1,
        "longer than train.max_length": 1,
    }


def test_a_text_that_answers_nothing_is_asked_for_by_its_rarest_words():
    texts = [f"the weather is fine and the weather holds, says {word}" for word in ("goose", "badger")]
    posts = [ChatMessage(OWNER, text, kind="post", thread=text) for text in texts]
    questions = [example.question for example in make_examples(posts, "", LENGTH).kept]
    assert len(questions) == 2
    assert all(question.startswith("Write something of your own about ") for question in questions)
    assert "goose" in questions[0]
    assert "badger" in questions[1]


def test_a_placeholder_is_no_subject():
    post = ChatMessage(OWNER, "call me at [number] or [mail] about the goose", kind="post")
    assert (
        make_examples([post], "", LENGTH).kept[0].question == "Write something of your own about call, about and goose."
    )


@pytest.mark.parametrize("seed", range(20))
def test_of_any_talk_every_own_turn_is_an_answer_once_or_left_out_and_no_word_of_others_is_one(seed):
    messages = [
        ChatMessage(one.author, one.text, time=one.time) for one in talk(seed, random.Random(seed).randint(2, 200))
    ]
    found = make_examples(messages, ADA, LENGTH)
    assert found.turns == len(found.kept) + found.left_out.total()
    own = "\n".join(message.text for message in messages if message.author == ADA)
    assert all(example.answer in own for example in found.kept)
    ids = [example.id for example in found.kept]
    assert len(set(ids)) == len(ids)
    assert all(e.after is None or ids.index(e.after) < number for number, e in enumerate(found.kept))
