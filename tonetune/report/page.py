"""The evaluation as one HTML page that needs nothing else: no network, no script, no font."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tonetune.core.persona import Persona
from tonetune.core.rows import Example, Generation, Scores
from tonetune.evaluation.controls import CEILING_CONTROL, bound, bound_mark, keeps_bound
from tonetune.evaluation.lineup import Lineup
from tonetune.evaluation.names import is_recorded
from tonetune.evaluation.validity import Agreement
from tonetune.report import charts
from tonetune.report.best_and_worst import Rank
from tonetune.report.originality import COPIED_NGRAM
from tonetune.report.statistics import COMPARED, SCORES, UNDECIDED, Comparison, Interval, simultaneous_level
from tonetune.report.system_names import title
from tonetune.scoring.calibration import CalibrationBin, calibration_bins, calibration_error

EXPLAINING = tuple(score for score in SCORES if score not in ("joint", "tone", "sense", "reported_tone"))
"""What an answer of the samples shows beside joint and its factors."""
PREDICTION = ("perplexity_", "bits_per_byte_")


@dataclass(frozen=True)
class Calibration:
    """How a classifier's probabilities compare with what the texts are."""

    title: str
    error: float
    bins: Sequence[CalibrationBin]


def calibration(name: str, probabilities: np.ndarray, labels: np.ndarray) -> Calibration:
    """The calibration of a classifier's `probabilities` for texts labelled 1 (the persona's) and 0."""
    return Calibration(name, calibration_error(probabilities, labels), calibration_bins(probabilities, labels))


@dataclass(frozen=True)
class Evaluation:
    """All that the page shows."""

    persona: Persona
    params: Mapping[str, object]
    """Dotted names and values."""
    task: str
    """What the model was tuned to do (train.task)."""
    tuned: str
    lineup: Lineup
    examples: Sequence[Example]
    generations: Sequence[Generation]
    intervals: Sequence[Interval]
    comparisons: Sequence[Comparison]
    calibrations: Sequence[Calibration]
    originality: Mapping[str, Mapping[str, float]]
    metrics: Mapping[str, Any]
    """Of the tuned system; the page takes the perplexities and bits per byte."""
    retention: Mapping[str, Mapping[str, float]]
    """By system: the tone under the probes, and what it still knows of neutral text."""
    judged: Mapping[str, Mapping[str, float]]
    """By system: the shares of questions that the tuned one wins, ties and loses, if there was a judge."""
    validity: Mapping[tuple[str, str], Sequence[Agreement]]
    """By score and by what is new: each writer's mean score and mean rating; empty without ratings."""
    agreement: Mapping[str, float]
    """The rank correlations, under the names of metrics/validity.json."""
    ranks: Mapping[str, Sequence[Rank]]
    """Best, median and worst answers of the tuned system."""


def report_page(shown: Evaluation) -> str:
    """The page: the same bytes for the same evaluation."""
    values: dict[tuple[str, str], list[float]] = {}
    answers: dict[tuple[str, str], dict[int, Generation]] = {}
    for row in shown.generations:
        answers.setdefault((row.system, row.question_id), {})[row.seed] = row
        for score in SCORES:
            values.setdefault((row.system, score), []).append(getattr(row, score))

    def answer_of(system: str, rank: Rank) -> Generation | None:
        """The system's answer with the same sampling seed; controls have one answer whatever the seed.

        None where a recorded rival has none to the question.
        """
        given = answers.get((system, rank.question_id), {})
        return given.get(rank.seed) or next(iter(given.values()), None)

    found = {(row.system, row.score): row for row in shown.intervals}
    kept: dict[str, list[float]] = {}
    for row in shown.generations:
        if row.meaning_kept is not None:
            kept.setdefault(row.system, []).append(row.meaning_kept)
    controls = shown.lineup.controls
    ceilings = [*shown.lineup.ceilings, *(name for name in controls if name == CEILING_CONTROL)]
    systems = [shown.tuned, *shown.lineup.others]
    rows = [*systems, *ceilings]
    shares = {(system, score): charts.share_bar(values[system, score]) for system in rows for score in SCORES}

    measured = {**shown.lineup.metrics, shown.tuned: shown.metrics}
    predictions = {
        system: {
            name: value
            for name, value in {**measured[system], **shown.retention.get(system, {})}.items()
            if name.startswith(PREDICTION)
        }
        for system in [*systems, *shown.lineup.ceilings]
    }

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "label": label,
        "number": number,
        "share": share,
        "signed": signed,
        "title": title,
        "words": in_words,
    }
    return environment.get_template("template.html.j2").render(
        shown=shown,
        scores=SCORES,
        definitions={score: field.description for score, field in Scores.model_fields.items()},
        explaining=EXPLAINING,
        meaning={system: float(np.mean(values)) for system, values in kept.items()},
        found=found,
        rows=rows,
        beside=[shown.tuned, *reversed(ceilings), *shown.lineup.others],
        answered=len(values[shown.tuned, "joint"]) // len(shown.examples),
        verdicts={score: verdicts(shown, score) for score in COMPARED},
        compared={score: list(rows) for score, rows in groupby(shown.comparisons, key=lambda row: row.score)},
        reach=max([0.1, *(abs(x) for row in shown.comparisons for x in (row.low, row.high))]),
        level=simultaneous_level(len(shown.comparisons)),
        ceilings=ceilings,
        bound=bound,
        bound_mark=bound_mark,
        broken=[name for name in controls if not keeps_bound(name, found[name, "joint"].mean)],
        shares=shares,
        peak=max(map(max, shares.values())),
        predictions=predictions,
        prediction_names=list(dict.fromkeys(name for row in predictions.values() for name in row)),
        retention={system: shown.retention[system] for system in rows if system in shown.retention},
        probes=probes(shown.retention),
        examples={example.question_id: example for example in shown.examples},
        answer_of=answer_of,
        charts=charts,
        recorded={name: len({q for s, q in answers if s == name}) for name in shown.lineup.others if is_recorded(name)},
        copied=COPIED_NGRAM,
        own_words=any(example.own_words for example in shown.examples),
        unpaired=sum(bool(example.unpaired) for example in shown.examples),
        undecided=UNDECIDED,
    )


def verdicts(shown: Evaluation, score: str) -> list[tuple[str, list[str]]]:
    """What happened in `score`, in words, and against whom."""
    outcomes: dict[str, list[str]] = {"wins against": [], "loses to": [], "is undecided against": []}
    for row in shown.comparisons:
        if row.score == score:
            outcome = {shown.tuned: "wins against", UNDECIDED: "is undecided against"}.get(row.winner, "loses to")
            outcomes[outcome].append(title(row.system))
    return [(outcome, names) for outcome, names in outcomes.items() if names]


def probes(retention: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The kinds of probe that a tone was measured in, in the order of the file."""
    names = dict.fromkeys(name for row in retention.values() for name in row)
    return [name.removeprefix("tone_") for name in names if name.startswith("tone_")]


def number(value: float, digits: int = 2, sign: str = "", unit: str = "") -> Markup:
    """A figure as it is read, with the exact one beside it in the markup."""
    text = f"{value:.{digits}f}"
    text = text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")
    return Markup('<data value="{}">{}{}{}</data>').format(value, sign, text, unit)


def signed(value: float) -> Markup:
    """The same, with a plus where it is above 0."""
    return number(value, sign="+" if round(value, 2) > 0 else "")


def share(value: float) -> Markup:
    """A share as a percentage."""
    return Markup('<data value="{}">{:.1f}&nbsp;%</data>').format(value, 100 * value)


def label(name: str) -> str:
    """A metric's name as a column heading."""
    if name == "reported_tone":
        return "reported tone"
    for measure in PREDICTION:
        name = name.replace(measure, measure.replace("_", " ").rstrip() + ", ")
    return name


def in_words(names: Sequence[str]) -> str:
    """Names, some of which hold commas, as a list in a sentence."""
    return "; ".join(names)


def flat(values: Mapping[str, Any], names: Sequence[str], before: str = "") -> dict[str, object]:
    """The values at and under the dotted `names`, one each."""
    found: dict[str, object] = {}
    for name, value in values.items():
        path = f"{before}{name}"
        if isinstance(value, Mapping):
            found |= flat(value, names, f"{path}.")
        elif any(f"{path}.".startswith(f"{wanted}.") for wanted in names):
            found[path] = value
    return found
