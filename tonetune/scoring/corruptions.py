"""Texts that should not pass, made from texts that should: for training what scores, and for testing the scores."""

import random
from collections.abc import Sequence

from tonetune.core.text import sentences


def shuffle_words(text: str, seed: int) -> str:
    """The same words within each sentence, in another order; the first stays capitalised and the last mark last."""
    drawn = random.Random(f"{seed}/{text}")
    shuffled = []
    for sentence in sentences(text):
        body, mark = (sentence[:-1], sentence[-1]) if sentence[-1] in ".?!" else (sentence, "")
        words = body.split()  # none in a mark that stands by itself
        if words and words[0] != "I" and not words[0].startswith("I'"):
            words[0] = words[0].lower()
        drawn.shuffle(words)
        joined = " ".join(words).rstrip(",;:")
        shuffled.append(joined[:1].upper() + joined[1:] + mark)
    return " ".join(shuffled)


def slip_words(text: str, seed: int, share: float = 0.25) -> str:
    """The text with slips at a `share` of its words: lost, doubled, or swapped with the next one, each as often."""
    drawn = random.Random(f"{seed}/{text}")
    slipped = []
    for sentence in sentences(text):
        body, mark = (sentence[:-1], sentence[-1]) if sentence[-1] in ".?!" else (sentence, "")
        words = body.split()
        written: list[str] = []
        while words:
            slip = drawn.choice(("lost", "doubled", "swapped")) if drawn.random() < share else None
            if slip == "swapped" and len(words) > 1:
                words[:2] = words[1::-1]
            if slip != "lost":
                written.append(words[0])
            if slip == "doubled":
                written.append(words[0])
            if slip == "swapped" and len(words) > 1:
                written.append(words.pop(1))
            words.pop(0)
        slipped.append(" ".join(written) + mark)
    return " ".join(slipped)


def repeat_sentence(text: str, times: int = 6) -> str:
    """The text's first sentence, said `times` times."""
    return " ".join(sentences(text)[:1] * times)


def cut_in_half(text: str) -> str:
    """The first half of the text's words."""
    words = text.split()
    return " ".join(words[: max(1, len(words) // 2)]).rstrip(".?!")


def strew_fillers(text: str, fillers: Sequence[str], seed: int, share: float = 0.16) -> str:
    """The text with fillers before a `share` of its words: the tone's favourite words without its way of thinking."""
    if not fillers:
        return text
    drawn = random.Random(f"{seed}/{text}")
    words = [
        word
        for spoken in text.split()
        for word in ([drawn.choice(fillers)] if drawn.random() < share else []) + [spoken]
    ]
    return " ".join([drawn.choice(fillers).capitalize(), *words])


def mix_sentences(text: str, other: str) -> str:
    """The sentences of two texts by turns: each is sound, and none follows from the one before."""
    ours, theirs = sentences(text), sentences(other)
    return " ".join(
        source[place]
        for place in range(max(len(ours), len(theirs)))
        for source in [ours if place % 2 == 0 else theirs]
        if place < len(source)
    )


def paste_catchphrases(text: str, phrases: Sequence[str], seed: int) -> str:
    """The text with one catchphrase before it and another one after it."""
    if not phrases:
        return text
    drawn = random.Random(f"{seed}/{text}")
    first, last = drawn.sample(phrases, 2) if len(phrases) > 1 else [phrases[0]] * 2
    return f"{first} {text} {last}"
