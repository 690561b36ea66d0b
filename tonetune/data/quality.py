"""A gate before training: what teachers are known to get wrong is measured, and too much of it stops the split.

Each check says which knob of `split.quality` limits it and which rows are beyond. Whether an answer is about its
question at all needs a sentence model: see tonetune/data/semantic_checks.py.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

from pydantic import BaseModel

from tonetune.core.errors import UserError
from tonetune.core.gate_params import OFF, Off, Quality
from tonetune.core.rows import BASICS, Question, Style
from tonetune.core.text import (
    ENGLISH,
    contact,
    ends_in_sentence,
    excerpt,
    language_of,
    lead_in,
    markup,
    opening,
    phrases,
    refusal,
    shingle_similarity,
    word_count,
    words,
)
from tonetune.data.near_duplicates import near_pairs

LISTED = 20
FEW = 3  # In a small data set any share is soon passed: this many may always open alike or use the same phrase.
OPENING, TIC = 2, 4  # words


@dataclass(frozen=True)
class QualityCheck:
    """What one check measured, the knob of `split.quality` that limits it, and the rows that it complains about."""

    name: str
    value: float
    knob: str
    failed: bool
    offenders: Sequence[str]


class WrittenAnswer(NamedTuple):
    """An answer with the question it belongs to."""

    question: Question
    style: Style
    text: str

    def __str__(self) -> str:
        return f'{self.question.id} {self.style} "{excerpt(self.text)}"'


def check_quality(
    questions: Sequence[Question],
    answers: Mapping[tuple[str, Style], Sequence[str]],
    split_of: Mapping[str, str],
    near: Sequence[tuple[int, int, float]],
    limits: Quality,
) -> list[QualityCheck]:
    """All checks on the data set, in a fixed order; `near` holds the questions' near pairs by index.

    Every question needs an answer in both styles: `answers` maps (question id, style) to the texts, one or several samples.
    """
    by_style = {
        style: [WrittenAnswer(q, style, text) for q in questions for text in _answers(answers, q.id, style)]
        for style in get_args(Style)
    }
    written = [answer for group in by_style.values() for answer in group]
    checks = [
        _counted("duplicate_questions", _duplicate_questions(questions), "max_duplicates", limits),
        _counted("duplicate_answers", _duplicate_answers(written), "max_duplicates", limits),
        _counted("near_questions", _near_questions(questions, near), "max_near_questions", limits),
        _counted("near_answers", _near_answers(by_style.values(), limits.near_answer), "max_near_answers", limits),
        _counted("crossing_pairs", _crossing(questions, split_of, near), "max_crossing", limits),
        _counted("refusals", _found(written, _refusal_in), "max_refusals", limits),
        _counted("lead_ins", _found(written, _text_check(lead_in)), "max_lead_ins", limits),
        _counted("markup", _found(written, _text_check(markup)), "max_markup", limits),
        _counted("contacts", _found(written, _text_check(contact)), "max_contacts", limits),
        _counted("cut_off", _cut_off(written), "max_cut_off", limits),
        _counted("other_language", _other_language(written, limits.language), "max_other_language", limits),
        *_within("words", [(word_count(w.text), w) for w in written], limits.words, "words"),
    ]
    plain = {answer.question.id: answer.text for answer in by_style["plain"]}
    # The basic exchanges say what they are, in whatever tone: there two answers may be alike, and phrases come again.
    free = {style: [w for w in group if w.question.category != BASICS] for style, group in by_style.items()}
    pairs = [(in_tone, plain[in_tone.question.id]) for in_tone in free["persona"]]
    similarities = [(shingle_similarity(in_tone.text, text), in_tone) for in_tone, text in pairs]
    lengths = [(word_count(text) / max(1, word_count(in_tone.text)), in_tone) for in_tone, text in pairs]
    checks += [
        _highest("pair_similarity", similarities, limits.max_pair_similarity, "max_pair_similarity"),
        *_within("pair_length", lengths, limits.pair_length, "pair_length"),
    ]
    for style, group in by_style.items():
        openings = [{opening(w.text, OPENING)} for w in group]
        checks.append(_shared(f"opening_share_{style}", group, openings, limits.max_opening_share, "max_opening_share"))
    for style, group in free.items():
        runs = [set(phrases(w.text, TIC)) for w in group]
        checks.append(_shared(f"tic_share_{style}", group, runs, limits.max_tic_share, "max_tic_share"))
    return checks


def enforce(checks: Iterable[QualityCheck], limits: BaseModel, section: str) -> None:
    """Raise a `UserError` that lists the failed checks, their knobs in `section` of params.yaml and up to 20 rows."""
    failed = [check for check in checks if check.failed]
    if not failed:
        return
    lines = ["data/questions.jsonl, data/answers.jsonl: not good enough to train on"]
    shown = max(1, LISTED // len(failed))
    for check in failed:
        limit = getattr(limits, check.knob)
        lines.append(f"{check.name} is {check.value:g}, beyond {section}.{check.knob}: {limit} in params.yaml")
        lines += [f"  {offender}" for offender in check.offenders[:shown]]
        if len(check.offenders) > shown:
            lines.append(f"  and {len(check.offenders) - shown} more")
    lines.append("mend these rows where they come from (the recordings, the prompts), or move the limits")
    raise UserError("\n".join(lines))


def _answers(answers: Mapping[tuple[str, Style], Sequence[str]], identifier: str, style: Style) -> Sequence[str]:
    try:
        return answers[identifier, style]
    except KeyError:
        raise UserError(
            f"data/answers.jsonl: no {style} answer to question {identifier}; `dvc repro` makes both"
        ) from None


def _duplicate_questions(questions: Sequence[Question]) -> list[str]:
    # A follow-up such as "Why?" may stand after several answers: what it follows is part of what it asks.
    first: dict[tuple[str | None, str], int] = {}
    offenders = []
    for number, question in enumerate(questions):
        earlier = first.setdefault((question.after, " ".join(words(question.text))), number)
        if earlier != number:
            offenders.append(f'{question.id} "{excerpt(question.text)}": the same as {questions[earlier].id}')
    return offenders


def _duplicate_answers(written: Sequence[WrittenAnswer]) -> list[str]:
    first: dict[tuple[str, str], WrittenAnswer] = {}
    offenders = []
    for answer in written:
        earlier = first.setdefault((answer.style, " ".join(words(answer.text))), answer)
        if earlier is not answer:
            offenders.append(f"{answer}: the same as {earlier.question.id}")
    return offenders


def _near_questions(questions: Sequence[Question], near: Sequence[tuple[int, int, float]]) -> list[str]:
    offenders = []
    for i, j, alike in near:
        one, other = questions[i], questions[j]
        if one.after is None and other.after is None and words(one.text) != words(other.text):
            offenders.append(f'{other.id} "{excerpt(other.text)}": {alike:.2f} like {one.id} "{excerpt(one.text)}"')
    return offenders


def _near_answers(groups: Iterable[Sequence[WrittenAnswer]], threshold: float) -> list[str]:
    offenders = []
    for group in groups:
        for i, j, alike in near_pairs([answer.text for answer in group], threshold):
            # Two samples to one question say the same, and may be near.
            if group[i].question.id != group[j].question.id and words(group[i].text) != words(group[j].text):
                offenders.append(f"{group[j]}: {alike:.2f} like {group[i]}")
    return offenders


def _crossing(
    questions: Sequence[Question], split_of: Mapping[str, str], near: Sequence[tuple[int, int, float]]
) -> list[str]:
    offenders = []
    for i, j, alike in near:
        one, other = questions[i], questions[j]
        if split_of[one.id] != split_of[other.id]:
            offenders.append(
                f'{other.id} "{excerpt(other.text)}" ({split_of[other.id]}): {alike:.2f} like '
                f'{one.id} "{excerpt(one.text)}" ({split_of[one.id]})'
            )
    return offenders


def _found(written: Sequence[WrittenAnswer], find: Callable[[WrittenAnswer], str | None]) -> list[str]:
    """The answers in which `find` finds something, with what that is."""
    return [f'{answer}: "{found}"' for answer in written if (found := find(answer))]


def _text_check(find: Callable[[str], str | None]) -> Callable[[WrittenAnswer], str | None]:
    return lambda answer: find(answer.text)


def _refusal_in(answer: WrittenAnswer) -> str | None:
    # The basic exchanges say what they are, and decline on purpose.
    return None if answer.question.category == BASICS else refusal(answer.text)


def _other_language(written: Sequence[WrittenAnswer], language: str) -> list[str]:
    if language == OFF:
        return []
    # The basic exchanges are English where a persona brings none of its own.
    checked = [answer for answer in written if language == ENGLISH or answer.question.category != BASICS]
    found = [(answer, language_of(answer.text, language)) for answer in checked]
    return [f"{answer}: reads as {other}" for answer, other in found if other != language]


def _cut_off(written: Sequence[WrittenAnswer]) -> list[str]:
    offenders = []
    for answer in written:
        if not ends_in_sentence(answer.text):
            offenders.append(f'{answer.question.id} {answer.style} "...{answer.text[-40:]}": no sentence end')
    return offenders


def _counted(name: str, offenders: Sequence[str], knob: str, limits: Quality) -> QualityCheck:
    limit = getattr(limits, knob)
    return QualityCheck(name, len(offenders), knob, limit != OFF and len(offenders) > limit, offenders)


def _lowest(name: str, measured: Sequence[tuple[float, WrittenAnswer]], limit: float | Off, knob: str) -> QualityCheck:
    offenders = [f"{answer}: {value:.3g}" for value, answer in measured if limit != OFF and value < limit]
    return QualityCheck(
        name, round(min((value for value, _ in measured), default=0), 4), knob, bool(offenders), offenders
    )


def _highest(name: str, measured: Sequence[tuple[float, WrittenAnswer]], limit: float | Off, knob: str) -> QualityCheck:
    offenders = [f"{answer}: {value:.3g}" for value, answer in measured if limit != OFF and value > limit]
    return QualityCheck(
        name, round(max((value for value, _ in measured), default=0), 4), knob, bool(offenders), offenders
    )


def _within(
    name: str, measured: Sequence[tuple[float, WrittenAnswer]], limits: Sequence[float] | Off, knob: str
) -> tuple[QualityCheck, QualityCheck]:
    if limits == OFF:
        return _lowest(f"{name}_min", measured, OFF, knob), _highest(f"{name}_max", measured, OFF, knob)
    return _lowest(f"{name}_min", measured, limits[0], knob), _highest(f"{name}_max", measured, limits[1], knob)


def _shared(
    name: str, group: Sequence[WrittenAnswer], features: Sequence[set[str]], limit: float | Off, knob: str
) -> QualityCheck:
    """How many of the group share the feature that is the most frequent (of equals, the first in the alphabet)."""
    counts = Counter(feature for found in features for feature in found)
    phrase, count = min(counts.items(), key=lambda item: (-item[1], item[0]), default=("", 0))
    offenders = [f'{answer}: "{phrase}"' for answer, found in zip(group, features, strict=True) if phrase in found]
    return QualityCheck(
        name,
        round(count / max(1, len(group)), 4),
        knob,
        limit != OFF and count > max(FEW, limit * len(group)),
        offenders,
    )
