"""Which language an answer is in."""

import pytest

from tests.support.talks import TALKS
from tonetune.core.errors import UserError
from tonetune.core.text import language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (
            "C'est une question intéressante, et je pense que nous devons d'abord parler de la physique avant de décider.",
            "fr",
        ),
        (
            "Es una pregunta muy buena, y no me gusta como he pensado en ella hasta ahora, pero la física es la ley.",
            "es",
        ),
        (
            "Dat is een goede vraag, en ik denk dat we eerst over de natuurkunde moeten praten, want het is niet zo makkelijk.",
            "nl",
        ),
        ("这是一个很好的问题。", "zh"),
    ],
)
def test_english_stands_apart_from_its_neighbours(text: str, language: str) -> None:
    assert language_of(text, "en") == language


def test_english_is_english() -> None:
    assert {language_of(text, "en") for _, *texts in TALKS for text in texts} == {"en"}


def test_english_is_not_what_was_wanted_where_that_is_german() -> None:
    texts = [text for _, *texts in TALKS for text in texts]
    assert {language_of(text, "de") for text in texts} == {"en"}


def test_too_few_words_to_tell_pass() -> None:
    assert language_of("Mon cher ami.", "en") == "en"


def test_few_words_are_told_by_letters_that_english_has_not() -> None:
    assert language_of("Voilà, mon ami.", "en") == "fr"


def test_an_unknown_language_is_named_with_the_knob() -> None:
    with pytest.raises(UserError, match=r"split\.quality\.language: 'xx' is not among .*\ben\b.*; or off"):
        language_of("Whatever this may be.", "xx")
