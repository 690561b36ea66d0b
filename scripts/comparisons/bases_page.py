"""docs/bases.md: the ladder of bases as a table, what follows from it, and a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scripts.comparisons.points import figure_of, picture
from tonetune.core.errors import UserError
from tonetune.core.files import replacing
from tonetune.evaluation.names import BASE_FEWSHOT, BASE_PROMPTED, TUNED
from tonetune.report.statistics import LEVEL, mean_interval

MARKS = ("<!-- written by make compare-bases -->\n", "<!-- end -->")
SYSTEMS = {BASE_PROMPTED: "prompted", BASE_FEWSHOT: "prompted with examples", TUNED: "tuned"}
SCORED = ("joint", "sense", "tone")
SENSIBLE = 0.5
"""Half of what readers can give for sense."""
STEPS = 8

Scores = Mapping[str, Mapping[str, np.ndarray]]
"""System and score: (test questions), in the order of their ids."""


@dataclass(frozen=True)
class Rung:
    """What one base came to."""

    base: str
    scores: Scores
    steps: int
    minutes: float | None
    """Of training: its steps, each as long as those of a short run; None where the objective has other steps than sft's."""
    peak_gib: float


@dataclass(frozen=True)
class LadderRow:
    """A base in one system; low and high are the ends of the 95 % interval over the test questions."""

    base: str
    system: str
    joint: float
    joint_low: float
    joint_high: float
    sense: float
    tone: float


def rows_of(one: Rung, seed: int) -> list[LadderRow]:
    """The base's line for each system."""
    found = []
    for system, shown in SYSTEMS.items():
        joint, sense, tone = (one.scores[system][score] for score in SCORED)
        low, high = mean_interval(joint, LEVEL, seed)
        values = (round(float(value), 6) for value in (joint.mean(), low, high, sense.mean(), tone.mean()))
        found.append(LadderRow(one.base, shown, *values))
    return found


def section(
    rungs: Sequence[Rung],
    rows: Sequence[LadderRow],
    changes: Sequence[str],
    left_out: Mapping[str, str],
    seed: int,
) -> str:
    """The page's measured part, in Markdown."""
    asked = len(next(iter(rungs[0].scores.values()))["joint"])
    with_changes = f" with {', '.join(f'`{change}`' for change in changes)}" if changes else ""
    lines = [
        f"Measured{with_changes} on {asked} test questions. In brackets: 95 % bootstrap intervals over the questions; they do not "
        f"cover the luck of training. Training: the steps that the run took, each as long as in {STEPS} measured steps on the "
        "machine that wrote this; validations and loading come on top.",
        "",
        "| base | system | joint | sense | tone | training, min | peak GiB |",
        "|---|---|---|---|---|---|---|",
    ]
    by_base = {one.base: one for one in rungs}
    for row in rows:
        one, last = by_base[row.base], row.system == SYSTEMS[TUNED]
        took = "–" if one.minutes is None else f"{one.minutes:.1f}"
        cost = f"{took} | {one.peak_gib:.1f}" if last else "|"
        joint = figure_of(row, "joint")
        lines.append(
            f"| `{shown_name(row.base)}` | {row.system} | {joint} | {row.sense:.2f} | {row.tone:.2f} | {cost} |"
        )
    lines += ["", *(f"- {sentence}" for sentence in conclusions(rungs, seed))]
    lines += [f"- Left out: {reason}." for reason in left_out.values()]
    return "\n".join(lines) + "\n"


def shown_name(base: str) -> str:
    """A path as its last part: where it lay is nobody else's business."""
    kind, _, rest = base.partition(":")
    return f"path:{Path(rest).name}" if kind == "path" else base


def conclusions(rungs: Sequence[Rung], seed: int) -> list[str]:
    """What tuning adds to examples, base by base, and the first of the `rungs` that scores as making sense."""
    found = []
    examples = BASE_FEWSHOT
    for one in rungs:
        lead = one.scores[TUNED]["joint"] - one.scores[examples]["joint"]
        low, high = mean_interval(lead, LEVEL, seed)
        verdict = "higher" if low > 0 else "lower" if high < 0 else "no difference shown"
        found.append(
            f"`{shown_name(one.base)}`, tuned less prompted with examples: joint {lead.mean():+.3f} [{low:+.3f}, {high:+.3f}], {verdict}."
        )
    first = next((one for one in rungs if one.scores[TUNED]["sense"].mean() >= SENSIBLE), None)
    what = (
        f"`{shown_name(first.base)}` is the first whose tuned answers have" if first else "No base's tuned answers have"
    )
    return [
        *found,
        f"{what} a mean sense of at least {SENSIBLE} by the score; whether they make sense, blind readers say.",
    ]


def write_section(page: Path, text: str) -> None:
    """Put `text` between the page's marks; the rest of it is written by hand."""
    start, end = MARKS
    there = page.read_text(encoding="utf-8") if page.is_file() else f"# Bases, compared\n\n{start}{end}\n"
    if there.count(start) != 1 or end not in there.partition(start)[2]:
        raise UserError(
            f"{page}: lacks the lines {start.strip()} and {end}, between which the figures go; `git checkout {page}`"
        )
    head, _, rest = there.partition(start)
    with replacing(page) as file:
        file.write(f"{head}{start}{text}{end}{rest.partition(end)[2]}")


def plot(rows: Sequence[LadderRow], path: Path) -> None:
    """Joint of each base in each system, with its interval, as a PNG."""
    bases = list(dict.fromkeys(row.base for row in rows))
    places = np.arange(len(bases))
    with picture(path, 1, (2.5 + 2 * len(bases), 4)) as (axis,):
        for place, system in enumerate(SYSTEMS.values()):
            own = [row for row in rows if row.system == system]
            middle, low, high = (
                np.array([getattr(row, f"joint{end}") for row in own]) for end in ("", "_low", "_high")
            )
            spread = [middle - low, high - middle]
            axis.bar(places + 0.27 * (place - 1), middle, 0.25, yerr=spread, capsize=4, label=system)
        axis.set_xticks(places, [Path(base.partition("@")[0]).name.removesuffix(".gguf") for base in bases], fontsize=8)
        axis.set_ylabel("joint, with 95 % intervals over the test questions")
        axis.grid(visible=False, axis="x")
        axis.legend()
