"""What is wrong with an answer of a live teacher, by the limits of the split's quality gate."""

from tonetune.core.params import Quality
from tonetune.core.rows import BASICS, Question
from tonetune.core.text import ends_in_sentence, english_share, refusal, shingle_similarity


def answer_fault(text: str, question: Question, limits: Quality, persona_answer: str | None = None) -> str | None:
    """Why the text cannot be used; None if it can. A plain answer is compared with the `persona_answer`."""
    count = len(text.split())
    lowest, highest = limits.words
    # The basic exchanges say what they are, and decline on purpose.
    if question.category != BASICS and (phrase := refusal(text)):
        return f'declines ("{phrase}")'
    if not lowest <= count <= highest:
        return f"{count} words, split.quality.words is {limits.words}"
    if not ends_in_sentence(text):
        return "cut off"
    if (share := english_share(text)) < limits.english_share_min:
        return f"not English (english_share {share:.2f}, split.quality.english_share_min is {limits.english_share_min})"
    if persona_answer is None:
        return None
    ratio = count / max(1, len(persona_answer.split()))
    if not limits.pair_length[0] <= ratio <= limits.pair_length[1]:
        return f"{ratio:.2f} times the persona's length, split.quality.pair_length is {limits.pair_length}"
    if (alike := shingle_similarity(persona_answer, text)) > limits.pair_similarity_max:
        return f"{alike:.2f} like the persona's, split.quality.pair_similarity_max is {limits.pair_similarity_max}"
    return None
