"""Texts that should not pass, made from texts that should."""

import random

from tonetune.core.text import sentences
from tonetune.scoring.words.corruptions import (
    cut_in_half,
    mix_sentences,
    paste_catchphrases,
    repeat_sentence,
    shuffle_words,
    slip_words,
    strew_fillers,
)


def test_shuffling_keeps_the_words_and_the_marks():
    text = "I like it. The goose, however, does not like me!"
    shuffled = shuffle_words(text, 1)
    assert shuffled != text
    assert len(sentences(shuffled)) == 2
    assert shuffled.endswith("!")
    assert sorted(w.strip(".,!").lower() for w in shuffled.split()) == sorted(
        w.strip(".,!").lower() for w in text.split()
    )


def test_the_draws_of_ordinary_text_are_fixed():
    text = "I like it. The goose, however, does not like me!"
    assert shuffle_words(text, 1) == "I like it. Not the does me goose, however, like!"
    assert slip_words(text, 1) == "I like it. goose, The however, does not like like me me!"


def odd_texts():
    """Texts of marks, spaces and a few words in any order, the empty one among them."""
    rng = random.Random(1)
    pieces = (
        ".",
        "?",
        "!",
        "...",
        "\u2026",
        ",",
        '"',
        "'",
        ")",
        "*",
        " ",
        "\n",
        "I",
        "I'm",
        "word",
        "Ünd",
        "\U0001f680",
        "1",
    )
    yield from ("", " ", "\n", ".", "...", ". . .", '"', "?!", "Well . . . maybe.", "...well", "I", "I . I'm . i")
    for _ in range(500):
        yield "".join(rng.choice(pieces) for _ in range(rng.randrange(12)))


def words_of(text):
    return sorted(word.strip(".?!,;:").lower() for word in text.split() if word.strip(".?!,;:"))


def test_a_sentence_is_repeated():
    assert repeat_sentence("A b c. D e.", 2) == "A b c. A b c."


def test_fillers_are_strewn_and_no_word_is_lost():
    text = "It is a long way to the sea, and nobody walks it twice in one day if they can help it."
    strewn = strew_fillers(text, ["like,", "you know,"], 1, share=0.5)
    assert strewn == strew_fillers(text, ["like,", "you know,"], 1, share=0.5)
    assert strewn != strew_fillers(text, ["like,", "you know,"], 2, share=0.5)
    assert strewn.startswith(("Like, It is", "You know, It is", "Like, like,", "Like, you", "You know, "))
    without = strewn.replace("you know,", "").replace("You know,", "").replace("like,", "").replace("Like,", "")
    assert without.split() == text.split()
    assert strew_fillers(text, ["like,"], 1, share=0) == f"Like, {text}"
    assert strew_fillers("a b", ["um"], 1, share=1) == "Um um a um b"
    assert strew_fillers(text, [], 1) == text


def test_sentences_of_two_texts_stand_by_turns():
    assert mix_sentences("A one. A two. A three.", "B one. B two. B three.") == "A one. B two. A three."
    assert mix_sentences("A one.", "B one. B two. B three. B four.") == "A one. B two. B four."
    assert mix_sentences("A one. A two. A three.", "B one.") == "A one. A three."
    assert mix_sentences("A one.", "B one.") == "A one."


def test_any_text_has_controls_and_shuffling_loses_no_word():
    for text in odd_texts():
        kept = " ".join(sentences(text))
        assert words_of(shuffle_words(text, 1)) == words_of(kept), text
        assert words_of(slip_words(text, 1, share=0)) == words_of(kept), text
        for seed in range(3):
            assert set(words_of(slip_words(text, seed))) <= set(words_of(kept)), text
        assert len(cut_in_half(text).split()) <= max(1, len(text.split()) // 2), text
        assert paste_catchphrases(text, ["Oh."], 1) == f"Oh. {text} Oh."
        assert [word for word in strew_fillers(text, ["zz"], 1).split() if word.lower() != "zz"] == text.split(), text
        assert words_of(mix_sentences(text, text)) == words_of(kept), text
