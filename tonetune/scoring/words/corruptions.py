"""Texts that should not pass, made from texts that should: for training what scores, and for testing the scores."""

import random
from collections.abc import Sequence

from tonetune.core.text import sentences


def shuffle_words(text: str, seed: int) -> str:
    """The same words within each sentence, in another order; the first stays capitalised and the last mark last."""
    rng = random.Random(f"{seed}/{text}")
    shuffled = []
    for sentence in sentences(text):
        body, mark = (sentence[:-1], sentence[-1]) if sentence[-1] in ".?!" else (sentence, "")
        words = body.split()  # none in a mark that stands by itself
        if words and words[0] != "I" and not words[0].startswith("I'"):
            words[0] = words[0].lower()
        rng.shuffle(words)
        joined = " ".join(words).rstrip(",;:")
        shuffled.append(joined[:1].upper() + joined[1:] + mark)
    return " ".join(shuffled)


def slip_words(text: str, seed: int, share: float = 0.25) -> str:
    """The text with slips at a `share` of its words: lost, doubled, or swapped with the next one, each as often."""
    rng = random.Random(f"{seed}/{text}")
    slipped = []
    for sentence in sentences(text):
        body, mark = (sentence[:-1], sentence[-1]) if sentence[-1] in ".?!" else (sentence, "")
        words = body.split()
        written: list[str] = []
        while words:
            slip = rng.choice(("lost", "doubled", "swapped")) if rng.random() < share else None
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
    rng = random.Random(f"{seed}/{text}")
    words = [
        word for spoken in text.split() for word in ([rng.choice(fillers)] if rng.random() < share else []) + [spoken]
    ]
    return " ".join([rng.choice(fillers).capitalize(), *words])


def mix_sentences(text: str, other: str) -> str:
    """The first sentence of `text`, the second of `other`, the third of `text` and so on: sound ones, of which none goes on."""
    ours, theirs = sentences(text), sentences(other)
    return " ".join(
        source[index]
        for index in range(max(len(ours), len(theirs)))
        for source in [ours if index % 2 == 0 else theirs]
        if index < len(source)
    )


def paste_catchphrases(text: str, phrases: Sequence[str], seed: int) -> str:
    """The text with one catchphrase before it and another one after it."""
    if not phrases:
        return text
    rng = random.Random(f"{seed}/{text}")
    first, last = rng.sample(phrases, 2) if len(phrases) > 1 else [phrases[0]] * 2
    return f"{first} {text} {last}"
