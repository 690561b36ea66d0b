"""What the current params' requests have by way of responses, in the recordings and the store, without prompts."""

import asyncio
import re
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tonetune.core.errors import UserError
from tonetune.core.gate_params import OFF
from tonetune.core.params import Params
from tonetune.core.persona import Persona, exchanges_of, load_persona
from tonetune.core.rows import Dropped, Question, Recording
from tonetune.core.teacher_params import TeacherSettings
from tonetune.teacher.answers import collect_answers
from tonetune.teacher.endpoint.cost import Prices, prompt_tokens
from tonetune.teacher.endpoint.protocol import ResponseCheck, Result, Unusable
from tonetune.teacher.endpoint.request import Request
from tonetune.teacher.endpoint.store import Store
from tonetune.teacher.own_questions import read_own_questions
from tonetune.teacher.own_texts import ask_plain_twins, ask_questions
from tonetune.teacher.prompts import TeacherPrompts
from tonetune.teacher.questions import collect_questions
from tonetune.teacher.recordings import answer_paths, read_recordings, shared_path

QUESTION_WORDS = 14
ANSWER_WORDS = 75  # guessed where split.quality.words is off
NUMBER = re.compile(r"\d+")


class OfflineTeacher:
    """Answers from the recordings and the store; notes what it found and what it did not."""

    def __init__(self, recordings: Mapping[str, Recording], store: Store):
        self.recordings = recordings
        self.store = store
        self.found: dict[str, Recording] = {}
        self.missing: dict[str, tuple[Request, str]] = {}

    async def respond(
        self, *forms: Request, about: str, check: ResponseCheck | None = None, whole: bool = True
    ) -> Recording:
        """What a live run would find without prompts, by the same `check`."""
        for request in forms:
            recording = self.recordings.get(request.key)
            reply = None if recording else self.store.get(request.key)
            if reply and not (check and check(reply.text)):
                recording = Recording(request=request.key, about=about, teacher=reply.model, text=reply.text)
            if recording is not None:
                self.found[request.key] = recording
                return recording
        return self.without(forms[-1], about, whole)

    def without(self, request: Request, about: str, whole: bool) -> Recording:
        self.missing[request.key] = request, about
        raise Unusable("not there")

    def run(self, work: Coroutine[Any, Any, Result], expected: int, title: str) -> Result:
        return asyncio.run(work)


class GuessingTeacher(OfflineTeacher):
    """Makes up a response of likely length where there is none, so that what follows can be counted as well."""

    def __init__(self, recordings: Mapping[str, Recording], store: Store, words: int):
        super().__init__(recordings, store)
        self.words = words
        self.completion_tokens = 0

    def without(self, request: Request, about: str, whole: bool) -> Recording:
        self.missing[request.key] = request, about
        if whole:
            text = "word " * self.words
        else:
            count = max(map(int, NUMBER.findall(request.messages[-1].content)), default=10)
            start = count * len(request.messages)
            filler = "word " * (QUESTION_WORDS - 2)
            text = "\n".join(f"{about} {filler}{start + number}?" for number in range(count))
        self.completion_tokens += min(request.max_tokens, len(text) // 4)
        return Recording(request=request.key, about=about, teacher="-", text=text)


@dataclass
class Estimate:
    """What one stage would still take."""

    stage: str
    kept: int
    missing: int
    prompt_tokens: int
    completion_tokens: int
    most_completion_tokens: int

    def dollars(self, settings: TeacherSettings) -> tuple[float, float]:
        """What the missing responses would cost: the likely sum, and the most that it can be; 0 where no price is known."""
        prices = Prices(settings)
        return (
            prices.dollars(self.prompt_tokens, self.completion_tokens),
            prices.dollars(self.prompt_tokens, self.most_completion_tokens),
        )


def estimate(params: Params) -> list[Estimate]:
    """What each stage that asks the teacher would take under `params`. Nothing is sent.

    A persona of own texts asks nothing: its import did.
    """
    if (own := read_own_questions(params.persona)) is not None:
        return [Estimate("questions", len(own), 0, 0, 0, 0)]
    prompts = TeacherPrompts(params, load_persona(params.persona))
    limits = params.split.quality.words
    words = sum(limits) // 2 if limits != OFF else ANSWER_WORDS
    estimates = []
    questions: list[Question] = []
    with Store() as store:
        recordings = _recordings(params, prompts)
        for stage in ("questions", "answers"):
            teacher = GuessingTeacher(recordings, store, words)
            if stage == "questions":
                questions = asyncio.run(collect_questions(prompts, teacher))
                questions += exchanges_of(prompts.persona) if params.questions.exchanges else []
            else:
                asyncio.run(collect_answers(prompts, teacher, questions))
            estimates.append(_counted(stage, teacher))
    return estimates


def estimate_own_texts(
    params: Params, persona: Persona, lone: Sequence[str], untwinned: Sequence[tuple[str | None, str]]
) -> list[Estimate]:
    """What an import of own texts would ask: a question for each `lone` text, and a plain answer beside each (question, text).

    A question that is None is still to be asked for, and counts with a likely length. Nothing is sent.
    """
    prompts = TeacherPrompts(params, persona)
    words = sum(len(text.split()) for _, text in untwinned) // max(1, len(untwinned))
    with Store() as store:
        asking, twinning = (GuessingTeacher({}, store, count) for count in (QUESTION_WORDS, max(1, words)))
        found = dict(zip(lone, asyncio.run(ask_questions(prompts, asking, lone)), strict=True))
        pairs = [(question or found.get(text) or "", text) for question, text in untwinned]
        asyncio.run(ask_plain_twins(prompts, twinning, pairs))
        return [_counted("questions", asking), _counted("answers", twinning)]


def _counted(stage: str, teacher: GuessingTeacher) -> Estimate:
    missing = [request for request, _ in teacher.missing.values()]
    return Estimate(
        stage=stage,
        kept=len(teacher.found),
        missing=len(missing),
        prompt_tokens=sum(map(prompt_tokens, missing)),
        completion_tokens=teacher.completion_tokens,
        most_completion_tokens=sum(request.max_tokens for request in missing),
    )


def used_recordings(params: Params, dropped: list[Dropped]) -> tuple[list[Recording], list[Recording]]:
    """The recordings (of questions, of answers) that replay of `params` needs; a `UserError` counts those missing.

    What a run dropped is recorded as dropped.
    """
    prompts = TeacherPrompts(params, load_persona(params.persona))
    with Store() as store:
        recordings = _recordings(params, prompts)
        lists, answering = OfflineTeacher(recordings, store), OfflineTeacher(recordings, store)
        try:
            questions = asyncio.run(collect_questions(prompts, lists))
        except Unusable:
            raise _not_there(params, len(lists.missing)) from None
        questions += exchanges_of(prompts.persona) if params.questions.exchanges else []
        asyncio.run(collect_answers(prompts, answering, questions))
    given_up = {row.text: row.reason for row in dropped}
    left = [about for _, about in answering.missing.values() if about not in given_up]
    if left:
        raise _not_there(params, len(left))
    answers = list(answering.found.values())
    for request, about in answering.missing.values():
        reason = given_up[about]
        answers.append(Recording(request=request.key, about=about, teacher=request.model, text=reason, dropped=True))
    return list(lists.found.values()), answers


def _recordings(params: Params, prompts: TeacherPrompts) -> dict[str, Recording]:
    shared = shared_path(prompts.persona.prompts is not None, params.persona)
    paths = dict.fromkeys([shared, *answer_paths(params.persona)])
    return {r.request: r for path in paths if path.exists() for r in read_recordings(path) if not r.dropped}


def _not_there(params: Params, count: int) -> UserError:
    return UserError(
        f"{count} responses of teacher.model {params.teacher.model!r} are not there; `dvc repro` with teacher.mode: live "
        "asks for them, with the same params"
    )
