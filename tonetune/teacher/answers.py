"""Answers from the teacher: each question as the persona, and the same content in plain words."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tonetune.core.rows import Answer, Dropped, Message, Question, Recording, Style
from tonetune.teacher.endpoint.protocol import ResponseCheck, Teacher, Unusable, first_error
from tonetune.teacher.prompts import TeacherPrompts


@dataclass(frozen=True)
class AnswerPair:
    """Both answers to a question, and the talk up to them."""

    answers: tuple[Answer, Answer]
    talk: list[Message]


async def collect_answers(
    asking: TeacherPrompts, teacher: Teacher, questions: Sequence[Question]
) -> tuple[list[Answer], list[Dropped]]:
    """Both answers to each question, `answers.samples` times, and the questions left without.

    Everything is asked as soon as what it depends on is there: the plain answer after the persona's, a follow-up after
    the answer that it follows.
    """
    samples = asking.params.answers.samples
    tasks: dict[tuple[str, int], asyncio.Task[AnswerPair | Dropped]] = {}

    async def answer(question: Question, sample: int) -> AnswerPair | Dropped:
        history: list[Message] = []
        if question.after:
            before = await tasks[question.after, sample]
            if isinstance(before, Dropped):
                return _dropped(question, "persona", sample, "what it follows was dropped")
            history = before.talk
        style: Style = "persona"
        try:
            in_tone = await teacher.respond(
                asking.persona_answer(question, history, sample),
                about=question.text,
                check=_check(asking, question),
            )
            style = "plain"
            plain = await teacher.respond(
                asking.plain_answer(question, in_tone.text, sample),
                about=question.text,
                check=_check(asking, question, in_tone.text),
            )
        except Unusable as reason:
            return _dropped(question, style, sample, str(reason))
        turn = [Message(role="user", content=question.text), Message(role="assistant", content=in_tone.text)]
        both = (_answer(question, "persona", sample, in_tone), _answer(question, "plain", sample, plain))
        return AnswerPair(both, [*history, *turn])

    try:
        async with asyncio.TaskGroup() as group:
            for question in questions:
                for sample in range(samples):
                    tasks[question.id, sample] = group.create_task(answer(question, sample))
    except BaseExceptionGroup as errors:
        raise first_error(errors) from None
    outcomes = [task.result() for task in tasks.values()]
    answers = [answer for outcome in outcomes if isinstance(outcome, AnswerPair) for answer in outcome.answers]
    return answers, [outcome for outcome in outcomes if isinstance(outcome, Dropped)]


def _check(asking: TeacherPrompts, question: Question, persona_answer: str | None = None) -> ResponseCheck:
    """What a live teacher's answer must not be: by the limits that the split's quality gate sets afterwards."""

    def check(text: str) -> str | None:
        from tonetune.teacher.answer_check import answer_fault  # here, because replay needs none of what it imports

        return answer_fault(text, question, asking.params.split.quality, persona_answer)

    return check


def _answer(question: Question, style: Style, sample: int, recording: Recording) -> Answer:
    return Answer(
        question_id=question.id,
        style=style,
        sample=sample or None,
        text=recording.text,
        teacher=recording.teacher,
        request=recording.request,
    )


def _dropped(question: Question, style: Style, sample: int, reason: str) -> Dropped:
    return Dropped(question_id=question.id, style=style, sample=sample or None, text=question.text, reason=reason)
