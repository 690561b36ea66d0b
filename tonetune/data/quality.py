"""A gate before training: what teachers are known to get wrong is measured, and too much of it stops the split.

Each check says which knob of `split.quality` limits it and which rows are beyond. Whether an answer is about its
question at all needs a sentence model: see tonetune/data/semantic_checks.py.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

from pydantic import BaseModel

from tonetune.core.errors import UserError
from tonetune.core.params import Quality
from tonetune.core.rows import BASICS, Question, Style
from tonetune.core.text import ends_in_sentence, english_share, excerpt, refusal, shingle_similarity, words
from tonetune.data.near_duplicates import near_pairs
from tonetune.data.split import Side

LISTED = 20


FEW = 3  # In a small data set any share is soon passed: this many may always open alike or use the same phrase.


TIC = 4  # words


@dataclass(frozen=True)
class QualityCheck:
    """What one check measured, the knob of `split.quality` that limits it, and the rows that it complains about."""

    name: str
    value: float
    knob: str
    failed: bool
    offenders: Sequence[str]


class Written(NamedTuple):
    """An answer with the question it belongs to."""

    question: Question
    style: Style
    text: str

    def __str__(self) -> str:
        return f'{self.question.id} {self.style} "{excerpt(self.text)}"'


def check_quality(
    questions: Sequence[Question],
    answers: Mapping[tuple[str, Style], str],
    sides: Mapping[str, Side],
    near: Sequence[tuple[int, int, float]],
    limits: Quality,
) -> list[QualityCheck]:
    """All checks on the data set, in a fixed order; `near` holds the questions' near pairs by index.

    Every question needs an answer in both styles: `answers` maps (question id, style) to the text.
    """
    by_style = {
        style: [Written(q, style, _answer(answers, q.id, style)) for q in questions] for style in get_args(Style)
    }
    written = [answer for group in by_style.values() for answer in group]
    checks = [
        _counted("duplicate_questions", _duplicate_questions(questions), "most_duplicates", limits),
        _counted("duplicate_answers", _duplicate_answers(written), "most_duplicates", limits),
        _counted("near_questions", _near_questions(questions, near), "most_near_questions", limits),
        _counted("near_answers", _near_answers(by_style.values(), limits.near_answer), "most_near_answers", limits),
        _counted("crossing_pairs", _crossing(questions, sides, near), "most_crossing", limits),
        _counted("refusals", _refusals(written), "most_refusals", limits),
        _counted("cut_off", _cut_off(written), "most_cut_off", limits),
        _lowest(
            "english_share",
            [(english_share(w.text), w) for w in written],
            limits.english_share_min,
            "english_share_min",
        ),
        *_within("words", [(len(w.text.split()), w) for w in written], limits.words, "words"),
    ]
    pairs = list(zip(by_style["persona"], by_style["plain"], strict=True))
    similarities = [(shingle_similarity(in_tone.text, plain.text), in_tone) for in_tone, plain in pairs]
    lengths = [(len(plain.text.split()) / max(1, len(in_tone.text.split())), in_tone) for in_tone, plain in pairs]
    checks += [
        _highest("pair_similarity", similarities, limits.pair_similarity_max, "pair_similarity_max"),
        *_within("pair_length", lengths, limits.pair_length, "pair_length"),
    ]
    for style, group in by_style.items():
        openings = [{" ".join(words(w.text)[:2])} for w in group]
        checks.append(_shared(f"opening_share_{style}", group, openings, limits.opening_share_max, "opening_share_max"))
    for style, group in by_style.items():
        phrases = [_phrases(w.text) for w in group]
        checks.append(_shared(f"tic_share_{style}", group, phrases, limits.tic_share_max, "tic_share_max"))
    return checks


def enforce(checks: Iterable[QualityCheck], limits: BaseModel, section: str) -> None:
    """Raise a `UserError` that lists the failed checks, their knobs in `section` of params.yaml and up to 20 rows."""
    failed = [check for check in checks if check.failed]
    if not failed:
        return
    lines = ["data/questions.jsonl, data/answers.jsonl: not good enough to train on"]
    room = max(1, LISTED // len(failed))
    for check in failed:
        limit = getattr(limits, check.knob)
        lines.append(f"{check.name} is {check.value:g}, beyond {section}.{check.knob}: {limit} in params.yaml")
        lines += [f"  {offender}" for offender in check.offenders[:room]]
        if len(check.offenders) > room:
            lines.append(f"  and {len(check.offenders) - room} more")
    lines.append("mend these rows where they come from (the recordings, the prompts), or move the limits")
    raise UserError("\n".join(lines))


def _answer(answers: Mapping[tuple[str, Style], str], identifier: str, style: Style) -> str:
    try:
        return answers[identifier, style]
    except KeyError:
        raise UserError(
            f"data/answers.jsonl: no {style} answer to question {identifier}; `dvc repro` makes both"
        ) from None


def _phrases(text: str) -> set[str]:
    found = words(text)
    return {" ".join(found[i : i + TIC]) for i in range(len(found) - TIC + 1)}


def _duplicate_questions(questions: Sequence[Question]) -> list[str]:
    # A follow-up such as "Why?" may stand after several answers: what it follows is part of what it asks.
    first: dict[tuple[str | None, str], int] = {}
    offenders = []
    for number, question in enumerate(questions):
        earlier = first.setdefault((question.after, " ".join(words(question.text))), number)
        if earlier != number:
            offenders.append(f'{question.id} "{excerpt(question.text)}": the same as {questions[earlier].id}')
    return offenders


def _duplicate_answers(written: Sequence[Written]) -> list[str]:
    first: dict[tuple[str, str], Written] = {}
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


def _near_answers(groups: Iterable[Sequence[Written]], threshold: float) -> list[str]:
    offenders = []
    for group in groups:
        for i, j, alike in near_pairs([answer.text for answer in group], threshold):
            if words(group[i].text) != words(group[j].text):
                offenders.append(f"{group[j]}: {alike:.2f} like {group[i]}")
    return offenders


def _crossing(
    questions: Sequence[Question], sides: Mapping[str, Side], near: Sequence[tuple[int, int, float]]
) -> list[str]:
    offenders = []
    for i, j, alike in near:
        one, other = questions[i], questions[j]
        if sides[one.id] != sides[other.id]:
            offenders.append(
                f'{other.id} "{excerpt(other.text)}" ({sides[other.id]}): {alike:.2f} like '
                f'{one.id} "{excerpt(one.text)}" ({sides[one.id]})'
            )
    return offenders


def _refusals(written: Sequence[Written]) -> list[str]:
    offenders = []
    for answer in written:
        # The basic exchanges say what they are, and decline on purpose.
        if answer.question.category != BASICS and (phrase := refusal(answer.text)):
            offenders.append(f'{answer}: says "{phrase}"')
    return offenders


def _cut_off(written: Sequence[Written]) -> list[str]:
    offenders = []
    for answer in written:
        if not ends_in_sentence(answer.text):
            offenders.append(f'{answer.question.id} {answer.style} "...{answer.text[-40:]}": no sentence end')
    return offenders


def _counted(name: str, offenders: Sequence[str], knob: str, limits: Quality) -> QualityCheck:
    return QualityCheck(name, len(offenders), knob, len(offenders) > getattr(limits, knob), offenders)


def _lowest(name: str, measured: Sequence[tuple[float, Written]], limit: float, knob: str) -> QualityCheck:
    offenders = [f"{answer}: {value:.3g}" for value, answer in measured if value < limit]
    return QualityCheck(
        name, round(min((value for value, _ in measured), default=0), 4), knob, bool(offenders), offenders
    )


def _highest(name: str, measured: Sequence[tuple[float, Written]], limit: float, knob: str) -> QualityCheck:
    offenders = [f"{answer}: {value:.3g}" for value, answer in measured if value > limit]
    return QualityCheck(
        name, round(max((value for value, _ in measured), default=0), 4), knob, bool(offenders), offenders
    )


def _within(
    name: str, measured: Sequence[tuple[float, Written]], limits: Sequence[float], knob: str
) -> tuple[QualityCheck, QualityCheck]:
    return _lowest(f"{name}_min", measured, limits[0], knob), _highest(f"{name}_max", measured, limits[1], knob)


def _shared(name: str, group: Sequence[Written], features: Sequence[set[str]], limit: float, knob: str) -> QualityCheck:
    """How many of the group share the feature that is the most frequent (of equals, the first in the alphabet)."""
    counts = Counter(feature for found in features for feature in found)
    phrase, count = min(counts.items(), key=lambda item: (-item[1], item[0]), default=("", 0))
    offenders = [f'{answer}: "{phrase}"' for answer, found in zip(group, features, strict=True) if phrase in found]
    return QualityCheck(
        name, round(count / max(1, len(group)), 4), knob, count > max(FEW, limit * len(group)), offenders
    )
