"""What counts as copied, and as repeating oneself."""

import pytest

from tests.support.examples import answers
from tonetune.report.originality import copied_share, distinct, longest_copies, opening_share, originality, words_of
from tonetune.scoring.endings import Endings

TRAINED_ON = [
    "The thing is, you build the factory first and then the factory builds you, more or less.",
    "Nobody asked the goose, and the goose has opinions.",
]


def generations(*texts: str, system: str = "tuned", seed: int = 1):
    rows = answers(system, [0.5] * len(texts), seed)
    return [row.model_copy(update={"text": text}) for row, text in zip(rows, texts, strict=True)]


def test_a_verbatim_copy_shows_as_copied_whatever_its_marks():
    copy = "the thing is you build the factory FIRST — and then: the factory builds you; more or less!"
    figures = originality(generations(copy), "tuned", TRAINED_ON, Endings())
    assert figures["longest_copy"] == figures["words"] == 17
    assert figures["copied_8grams"] == 1


def test_a_span_is_within_one_training_answer():
    assert longest_copies(
        [words_of("I say: the goose has opinions, the thing is."), words_of("Xylophone."), []],
        [words_of(text) for text in TRAINED_ON],
    ) == [4, 0, 0]


def test_the_share_of_copied_runs_by_hand():
    """Ten words are three runs of eight; the first two are the source's."""
    source, answer = words_of("a b c d e f g h i"), words_of("a b c d e f g h i x")
    assert copied_share([answer], [source]) == pytest.approx(2 / 3)
    assert copied_share([words_of("too short to count")], [source]) == 0


def test_repetition_by_hand():
    said = [words_of("No, no, no."), words_of("No way.")]
    assert distinct(said, 1) == pytest.approx(2 / 5)
    assert distinct(said, 2) == pytest.approx(2 / 3)
    assert distinct([[]], 3) == 0
    assert (
        opening_share([words_of(t) for t in ("I mean, yes.", "I mean, no.", "So, yes.", "I'd say I mean it.")]) == 0.5
    )
    assert opening_share([[], words_of("Yes.")]) == 0.5


def test_words_keep_their_apostrophes():
    assert words_of("It’s the dog's, isn't it? 3 cafés.") == ["it's", "the", "dog's", "isn't", "it", "3", "cafés"]


def test_more_seeds_do_not_make_a_system_look_repetitive():
    once = generations("One two three four.", "Five six seven eight.")
    twice = once + generations("One two three four.", "Five six seven eight.", seed=2)
    assert originality(twice, "tuned", TRAINED_ON, Endings()) == originality(once, "tuned", TRAINED_ON, Endings())
    assert originality(once, "tuned", TRAINED_ON, Endings())["distinct_1"] == 1


def test_lengths_by_hand_and_only_of_the_system_asked_for():
    rows = generations("One two.", "One two three four.") + generations("A very long answer it is.", system="base")
    figures = originality(rows, "tuned", TRAINED_ON, Endings())
    assert (figures["words"], figures["words_spread"]) == (3, 1)
    assert figures["top_opening"] == 1
    assert figures["mean_copy"] == 0


def test_answers_that_end_within_a_sentence_are_counted():
    rows = generations("I mean, yes.", "It was, like, a", 'He said "no."', "Why not?") + generations(
        "And", system="base"
    )
    assert originality(rows, "tuned", TRAINED_ON, Endings())["unfinished"] == 0.25
    bare = Endings(("sentence", "word"))  # of a persona that often ends without a mark
    assert originality(rows, "tuned", TRAINED_ON, bare)["unfinished"] == 0
