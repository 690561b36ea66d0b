"""Answers from the teacher: to each question a plain one first, then the same as the persona would say it.

In this order the content is sensible before it has a tone: an answer that is written in the tone from the start leans on
jokes and anecdotes, which a small model can only imitate as word salad.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tonetune.core.rows import BASICS, Answer, Dropped, Message, Question, Recording, Style
from tonetune.teacher.endpoint.protocol import ResponseCheck, Teacher, Unusable, first_error
from tonetune.teacher.prompts import TeacherPrompts


@dataclass(frozen=True)
class AnsweredTurn:
    """An answer, and the talk that ends with it, which a follow-up question goes on with."""

    answer: Answer
    talk: list[Message]


def samples_of(question: Question, samples: int) -> int:
    """How many persona answers a question gets; the basic exchanges get one, as a follow-up needs one talk to follow."""
    return 1 if question.category == BASICS else samples


async def collect_answers(
    prompts: TeacherPrompts, teacher: Teacher, questions: Sequence[Question]
) -> tuple[list[Answer], list[Dropped]]:
    """The plain answer to each question, `answers.samples` persona answers, and what could not be had.

    Everything is asked as soon as what it depends on is there: the persona's answers after the plain one, a follow-up
    after the answer that it follows. A question without its plain answer or without its first persona answer is dropped.
    """
    plain: dict[str, asyncio.Task[AnsweredTurn | Dropped]] = {}
    persona: dict[tuple[str, int], asyncio.Task[AnsweredTurn | Dropped]] = {}

    async def ask_plain(question: Question) -> AnsweredTurn | Dropped:
        before = await plain[question.after] if question.after else None
        if isinstance(before, Dropped):
            return _dropped(question, "plain", 0, "what it follows was dropped")
        history = before.talk if before else []
        request = prompts.plain_answer(question, history)
        try:
            recording = await teacher.respond(request, about=question.text, check=_check(prompts, question))
        except Unusable as reason:
            return _dropped(question, "plain", 0, str(reason))
        return _answered(question, "plain", 0, recording, history)

    async def ask_persona(question: Question, sample: int) -> AnsweredTurn | Dropped:
        said = await plain[question.id]
        if isinstance(said, Dropped):
            return said
        before = await persona[question.after, 0] if question.after else None
        if isinstance(before, Dropped):
            return _dropped(question, "persona", sample, "what it follows was dropped")
        history = before.talk if before else []
        request = prompts.persona_answer(question, said.answer.text, history, sample)
        check = _check(prompts, question, said.answer.text)
        try:
            recording = await teacher.respond(request, about=question.text, check=check)
        except Unusable as reason:
            return _dropped(question, "persona", sample, str(reason))
        return _answered(question, "persona", sample, recording, history)

    try:
        async with asyncio.TaskGroup() as group:
            for question in questions:
                plain[question.id] = group.create_task(ask_plain(question))
                for sample in range(samples_of(question, prompts.samples)):
                    persona[question.id, sample] = group.create_task(ask_persona(question, sample))
    except BaseExceptionGroup as errors:
        raise first_error(errors) from None
    return _gathered(questions, plain, persona)


def _gathered(
    questions: Sequence[Question],
    plain: dict[str, asyncio.Task[AnsweredTurn | Dropped]],
    persona: dict[tuple[str, int], asyncio.Task[AnsweredTurn | Dropped]],
) -> tuple[list[Answer], list[Dropped]]:
    """The answers in the order of the questions, and what was dropped; a question has both styles or neither."""
    answers: list[Answer] = []
    dropped: list[Dropped] = []
    spoken = {key: task.result() for key, task in persona.items()}
    for question in questions:
        both = plain[question.id].result(), spoken[question.id, 0]
        if lacking := next((outcome for outcome in both if isinstance(outcome, Dropped)), None):
            dropped.append(lacking)
            continue
        answers += [outcome.answer for outcome in both if isinstance(outcome, AnsweredTurn)]
        sample = 1
        while further := spoken.get((question.id, sample)):
            if isinstance(further, AnsweredTurn):
                answers.append(further.answer)
            else:
                dropped.append(further)
            sample += 1
    return answers, dropped


def _check(prompts: TeacherPrompts, question: Question, plain: str | None = None) -> ResponseCheck:
    """What a live teacher's answer must not be: by the limits that the split's quality gate sets afterwards."""

    def check(text: str) -> str | None:
        from tonetune.teacher.answer_check import answer_fault  # here, because replay needs none of what it imports

        return answer_fault(text, question, prompts.params.split.quality, plain)

    return check


def _answered(
    question: Question, style: Style, sample: int, recording: Recording, history: Sequence[Message]
) -> AnsweredTurn:
    answer = Answer(
        question_id=question.id,
        style=style,
        sample=sample or None,
        text=recording.text,
        teacher=recording.teacher,
        writer=recording.writer,
        before=recording.before,
        request=recording.request,
    )
    turn = [Message(role="user", content=question.text), Message(role="assistant", content=recording.text)]
    return AnsweredTurn(answer, [*history, *turn])


def _dropped(question: Question, style: Style, sample: int, reason: str) -> Dropped:
    return Dropped(question_id=question.id, style=style, sample=sample or None, text=question.text, reason=reason)
