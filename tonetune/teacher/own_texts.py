"""What a live teacher adds to somebody's own texts: the question that a lone text answers, and the same in plain words."""

from collections.abc import Sequence

from tonetune.core.rows import Question, question_id
from tonetune.core.text import contact, lead_in, refusal, shingle_similarity, word_count
from tonetune.teacher.answer_check import answer_fault
from tonetune.teacher.endpoint.protocol import ResponseCheck, Teacher, Unusable, together
from tonetune.teacher.endpoint.request import Request
from tonetune.teacher.prompts import TeacherPrompts

MAX_WORDS = 40  # of a question
COPIED = 0.7  # similarity to the text from which on a question gives it away
MAX_EXTRA_WORDS = 20  # words that a plain answer to a short text may have more


async def ask_questions(prompts: TeacherPrompts, teacher: Teacher, texts: Sequence[str]) -> list[str | None]:
    """The question that each text answers; None where no usable one was had."""
    return await together(
        _asked(teacher, prompts.reverse_question(text), text, _question_check(text)) for text in texts
    )


async def ask_plain_twins(
    prompts: TeacherPrompts, teacher: Teacher, pairs: Sequence[tuple[str, str]]
) -> list[str | None]:
    """Each (question, answer)'s answer in plain words; None where no usable one was had."""
    return await together(
        _asked(teacher, prompts.plain_twin(question, answer), question, _twin_check(prompts, question, answer))
        for question, answer in pairs
    )


async def _asked(teacher: Teacher, request: Request, about: str, check: ResponseCheck) -> str | None:
    try:
        return (await teacher.respond(request, about=about, check=check)).text.strip()
    except Unusable:
        return None


def _question_check(text: str) -> ResponseCheck:
    def check(question: str) -> str | None:
        if "\n" in question.strip():
            return "more than one line"
        if not 0 < word_count(question) <= MAX_WORDS:
            return f"{word_count(question)} words, a question has 1 to {MAX_WORDS}"
        if found := lead_in(question) or refusal(question) or contact(question):
            return f'"{found}" in a question'
        return "the text itself and no question" if shingle_similarity(question, text) > COPIED else None

    return check


def _twin_check(prompts: TeacherPrompts, question: str, answer: str) -> ResponseCheck:
    asked = Question(id=question_id(question), category="own texts", text=question)
    most = 2 * word_count(answer) + MAX_EXTRA_WORDS

    def check(plain: str) -> str | None:
        # The gate lets somebody's own texts begin and decline as they like; a plain answer may not.
        if found := lead_in(plain):
            return f'a lead-in ("{found}")'
        if (found := refusal(plain)) and not refusal(answer):
            return f'declines ("{found}")'
        if (count := word_count(plain)) > most:
            return f"{count} words for {word_count(answer)}"
        return answer_fault(plain, asked, prompts.params.split.own_quality)

    return check
