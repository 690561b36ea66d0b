"""Looking at the data and mending it: what the review page shows, and its decisions as recordings."""

from collections.abc import Mapping, Sequence
from typing import Literal

from tonetune.core.errors import UserError
from tonetune.core.rows import UNPAIRED, Answer, Message, Question, Recording, Row
from tonetune.core.text import shingles
from tonetune.core.validation import Text
from tonetune.data.quality import QualityCheck
from tonetune.teacher.prompts import TeacherPrompts

REASON = "dropped in a review"
BY_HAND = "written by hand"
"""The teacher of a plain answer that a review put in the place of a stand-in."""


class ReviewItem(Row):
    """A persona answer with what there is to know of it."""

    id: Text
    question: Text
    answer: Text
    plain: str
    """Empty where nobody wrote one."""
    category: Text
    split: str
    """Of the split; empty where it is in none."""
    findings: list[str]
    """The checks of the gate that complain about it."""
    nearest: str
    """The most similar other question."""
    similarity: float


class Decision(Row):
    """What a reader made of an item; accepted ones stay as they are."""

    id: Text
    action: Literal["accept", "edit", "drop"]
    answer: Text | None = None
    plain: Text | None = None


class Edit(Row):
    """An answer before and after its edit."""

    question_id: Text
    question: Text
    style: Literal["persona", "plain"]
    before: Text
    after: Text


def item_id(answer: Answer) -> str:
    """Of a persona answer: its question, and which of the samples it is."""
    return f"{answer.question_id}-{answer.sample or 0}"


def review_items(
    questions: Sequence[Question],
    answers: Sequence[Answer],
    split_of: Mapping[str, str],
    checks: Sequence[QualityCheck],
) -> list[ReviewItem]:
    """One item for each persona answer, in the order of the questions."""
    # A stand-in answers another question: beside this answer it would be read, and mended, as if it were its twin.
    plain = {a.question_id: a.text for a in answers if a.style == "plain" and a.teacher != UNPAIRED}
    by_question: dict[str, list[Answer]] = {}
    for answer in answers:
        if answer.style == "persona":
            by_question.setdefault(answer.question_id, []).append(answer)
    findings: dict[str, list[str]] = {}
    for check in checks:
        for offender in check.offenders:
            findings.setdefault(offender.partition(" ")[0], []).append(f"{check.name}: {offender.partition(' ')[2]}")
    nearest = _nearest([question.text for question in questions])
    return [
        ReviewItem(
            id=item_id(answer),
            question=question.text,
            answer=answer.text,
            plain=plain.get(question.id, ""),
            category=question.category,
            split=split_of.get(question.id, ""),
            findings=findings.get(question.id, []),
            nearest=questions[other].text if other is not None else "",
            similarity=round(alike, 2),
        )
        for question, (other, alike) in zip(questions, nearest, strict=True)
        for answer in by_question.get(question.id, [])
    ]


def _nearest(texts: Sequence[str]) -> list[tuple[int | None, float]]:
    """For each text the most similar other one, by Jaccard similarity of their shingles."""
    sets = [shingles(text) for text in texts]
    holders: dict[str, list[int]] = {}
    for index, one in enumerate(sets):
        for shingle in one:
            holders.setdefault(shingle, []).append(index)
    found: list[tuple[int | None, float]] = []
    for index, one in enumerate(sets):
        shared: dict[int, int] = {}
        for shingle in one:
            for other in holders[shingle]:
                shared[other] = shared.get(other, 0) + 1
        shared.pop(index)
        scores = {other: count / (len(one) + len(sets[other]) - count) for other, count in shared.items()}
        best = max(scores, key=lambda other: (scores[other], -other), default=None)
        found.append((best, scores[best] if best is not None else 0.0))
    return found


def mended(
    prompts: TeacherPrompts, questions: Sequence[Question], answers: Sequence[Answer], decisions: Sequence[Decision]
) -> tuple[list[Recording], list[Edit]]:
    """The recordings that make the decisions true, and the edits among them.

    A request holds what was said before it, so with an edited answer the requests of its follow-ups change as well: they get
    recordings of their own with the texts that they had. A `UserError` names a decision about what is not there.
    """
    decided = {decision.id: decision for decision in decisions}
    if unknown := decided.keys() - {item_id(answer) for answer in answers if answer.style == "persona"}:
        raise UserError(f"{sorted(unknown)[0]!r} is no answer of this data; was the page made from another run?")
    if bare := [d.id for d in decisions if d.action == "edit" and d.answer is None and d.plain is None]:
        raise UserError(f"{bare[0]!r}: an edit without a new answer")
    given: dict[str, list[Answer]] = {}
    for answer in answers:
        given.setdefault(answer.question_id, []).append(answer)
    talks: dict[tuple[str, str], list[Message]] = {}
    recordings: list[Recording] = []
    edits: list[Edit] = []
    for question in questions:
        if question.id not in given:
            continue
        plain = next(answer for answer in given[question.id] if answer.style == "plain")
        spoken = [answer for answer in given[question.id] if answer.style == "persona"]
        before = {style: talks.get((question.after or "", style), []) for style in ("plain", "persona")}
        chosen = [decided.get(item_id(answer)) for answer in spoken]
        new_plain = next((d.plain for d in chosen if d and d.action == "edit" and d.plain), plain.text)
        request = prompts.plain_answer(question, before["plain"])
        dropped = chosen[0] is not None and chosen[0].action == "drop"
        recordings += _changed(plain, request.key, new_plain, question, dropped)
        edits += _edit(question, plain, new_plain)
        for answer, decision in zip(spoken, chosen, strict=True):
            text = (decision.answer if decision and decision.action == "edit" else None) or answer.text
            request = prompts.persona_answer(question, new_plain, before["persona"], answer.sample or 0)
            gone = dropped or (decision is not None and decision.action == "drop")
            recordings += _changed(answer, request.key, text, question, gone)
            edits += _edit(question, answer, text)
            if answer is spoken[0]:
                for style, said in (("plain", new_plain), ("persona", text)):
                    turn = [Message(role="user", content=question.text), Message(role="assistant", content=said)]
                    talks[question.id, style] = [*before[style], *turn]
    return recordings, edits


def _changed(answer: Answer, key: str, text: str, question: Question, dropped: bool) -> list[Recording]:
    """The recording that says it, if the one that there is does not."""
    if dropped:
        return [Recording(request=key, about=question.text, teacher=answer.teacher, text=REASON, dropped=True)]
    if (key, text) == (answer.request, answer.text):
        return []
    # What an edit replaced is what train.objective dpo learns to avoid.
    before = answer.before if text == answer.text else answer.text
    return [
        Recording(
            request=key,
            about=question.text,
            teacher=BY_HAND if answer.teacher == UNPAIRED and text != answer.text else answer.teacher,
            text=text,
            writer=answer.writer,
            before=before if answer.style == "persona" else None,
        )
    ]


def _edit(question: Question, answer: Answer, text: str) -> list[Edit]:
    if text == answer.text:
        return []
    return [Edit(question_id=question.id, question=question.text, style=answer.style, before=answer.text, after=text)]
