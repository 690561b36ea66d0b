"""A text is finished where the persona's own are, and the persona's own say where that is."""

import pytest

from tests.support.exports import ADA, talk
from tonetune.scoring.endings import EMOJI, SENTENCE, WORD, Endings, kind_of_end, learn_endings

TEACHER = [f"Number {n} is a whole sentence, I mean it." for n in range(100)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('He said "no."', SENTENCE),
        ("yes!! \U0001f389", SENTENCE),  # the mark counts, and what follows it is beside the point
        ("haha nope \U0001f605", EMOJI),
        ("love it \u2764\ufe0f", EMOJI),
        ("fine by me \U0001f44d\U0001f3fd", EMOJI),
        ("see you there :)", ")"),
        ("well~", "~"),
        ("miss you loads", WORD),
        ("at half past 7", WORD),
        ("un cafe\u0301", WORD),
        ("ask [name]", WORD),
        ("  ", ""),
    ],
)
def test_the_kind_of_an_end(text, kind):
    assert kind_of_end(text) == kind


def test_whoever_writes_sentences_has_finished_with_a_full_stop_alone():
    endings = learn_endings([*TEACHER, "cut off within", "and this \U0001f605"])  # slips: 1 % each
    assert endings == Endings()
    assert endings.finished('He said "this is quite enough."')
    assert not endings.finished("This is not quite")
    assert not endings.finished("This is quite enough \U0001f605")
    assert not endings.finished("Yes.")


def test_whoever_ends_in_an_emoji_has_finished_there_and_not_within_a_word():
    endings = learn_endings([f"so it is then, {n} \U0001f605" for n in range(50)] + TEACHER)
    assert endings.finished("the kettle stays where it is \U0001f389")
    assert endings.finished("The kettle stays where it is.")
    assert not endings.finished("the kettle stays where it")
    assert not endings.finished("the kettle stays where it is :)")


def test_of_short_messages_without_a_mark_each_that_says_a_word_is_finished():
    endings = learn_endings([one.text for one in talk(1) if one.author == ADA])
    assert {SENTENCE, EMOJI, WORD} <= {*endings.kinds}
    assert endings.finished("brb")
    assert not endings.finished("")
