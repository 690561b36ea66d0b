"""What is wrong with an answer of a live teacher, by the limits of the split's quality gate."""

from tonetune.core.gate_params import OFF, Quality
from tonetune.core.rows import BASICS, Question
from tonetune.core.text import (
    ENGLISH,
    contact,
    ends_in_sentence,
    language_of,
    lead_in,
    markup,
    refusal,
    shingle_similarity,
    word_count,
)


def answer_fault(text: str, question: Question, limits: Quality, plain: str | None = None) -> str | None:
    """Why the text cannot be used; None if it can. A persona answer is compared with the `plain` one."""
    count = word_count(text)
    # The basic exchanges say what they are, and decline on purpose.
    if question.category != BASICS and limits.max_refusals == 0 and (phrase := refusal(text)):
        return f'declines ("{phrase}")'
    for find, limit, kind in (
        (lead_in, limits.max_lead_ins, "a lead-in"),
        (markup, limits.max_markup, "markup"),
        (contact, limits.max_contacts, "contact data"),
    ):
        if limit == 0 and (found := find(text)):
            return f'{kind} ("{found}")'
    if limits.words != OFF and not limits.words[0] <= count <= limits.words[1]:
        return f"{count} words, split.quality.words is {limits.words}"
    if limits.max_cut_off == 0 and not ends_in_sentence(text):
        return "cut off"
    # So are they English, where a persona brings none of its own.
    foreign = question.category == BASICS and limits.language != ENGLISH
    language = limits.language if limits.max_other_language == 0 and not foreign else OFF
    if language != OFF and (other := language_of(text, language)) != language:
        return f"reads as {other}, split.quality.language is {language}"
    if plain is None:
        return None
    ratio = word_count(plain) / max(1, count)
    if limits.pair_length != OFF and not limits.pair_length[0] <= ratio <= limits.pair_length[1]:
        return f"the plain answer is {ratio:.2f} times as long, split.quality.pair_length is {limits.pair_length}"
    alike = shingle_similarity(plain, text)
    if limits.max_pair_similarity != OFF and alike > limits.max_pair_similarity:
        return f"{alike:.2f} like the plain answer, split.quality.max_pair_similarity is {limits.max_pair_similarity}"
    return None
