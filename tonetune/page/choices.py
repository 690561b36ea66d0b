"""What readers of the page say of two answers without knowing whose they are, and what that comes to."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scipy.stats import binomtest

from tonetune.core.rows import Row, read_rows, write_rows
from tonetune.core.validation import Text
from tonetune.evaluation.names import TUNED
from tonetune.report.readers import ReadersFigure
from tonetune.report.statistics import LEVEL

Side = Literal["left", "right", "neither"]
FIGURES = {"persona": "taken for the persona's", "sense": "said to make more sense"}


class Pair(Row):
    """Two answers to one question, drawn from the same seed; which stands left is chance."""

    question: Text
    seed: int
    other: Text
    """The system beside the tuned one."""
    left: Text
    """The system whose answer stands left."""
    tuned_answer: str
    other_answer: str

    @property
    def shown(self) -> tuple[str, str]:
        """The answers, left and right."""
        answers = (self.tuned_answer, self.other_answer)
        return answers if self.left == TUNED else answers[::-1]


class Choice(Pair):
    """A pair with what a reader said of it."""

    reader: Text
    persona: Side
    """The answer that is the persona's."""
    sense: Side
    """The answer that makes more sense."""


def pair(question: str, seed: int, other: str, tuned_answer: str, other_answer: str, chance: random.Random) -> Pair:
    """The two answers on sides that `chance` decides."""
    left = chance.choice((TUNED, other))
    return Pair(
        question=question, seed=seed, other=other, left=left, tuned_answer=tuned_answer, other_answer=other_answer
    )


def merged(*choices: Sequence[Choice]) -> list[Choice]:
    """All of them; a reader's newer choice between the same two answers takes the place of the older."""
    found = {(c.reader, c.question, c.other, c.tuned_answer, c.other_answer): c for several in choices for c in several}
    return list(found.values())


def save(choice: Choice, path: Path) -> list[Choice]:
    """Add the choice to those in the file; all of them."""
    every = merged(read_rows(path, Choice) if path.exists() else [], [choice])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rows(path, every)
    return every


@dataclass(frozen=True)
class Share:
    """How often the tuned answer was chosen, of the choices that were for one of the two."""

    other: str
    figure: str
    share: float
    low: float
    high: float
    decided: int
    undecided: int


def shares(choices: Sequence[Choice]) -> list[Share]:
    """The share beside each other system, with its 95 % Wilson interval; what nobody decided is left out."""
    found = []
    for other in sorted({choice.other for choice in choices}):
        for scale, figure in FIGURES.items():
            given = [(getattr(c, scale), c.left) for c in choices if c.other == other]
            decided = [(side == "left") == (left == TUNED) for side, left in given if side != "neither"]
            if decided:
                test = binomtest(sum(decided), len(decided))
                interval = test.proportion_ci(LEVEL, method="wilson")
                share, ends = sum(decided) / len(decided), (float(interval.low), float(interval.high))
                undecided = len(given) - len(decided)
                found.append(Share(other, figure, share, *ends, len(decided), undecided))
    return found


def choice_figures(choices: Sequence[Choice]) -> list[ReadersFigure]:
    """The shares as rows of metrics/readers.csv."""
    return [
        ReadersFigure(
            TUNED, f"{s.figure}, beside {s.other}", round(s.share, 4), round(s.low, 4), round(s.high, 4), s.decided
        )
        for s in shares(choices)
    ]
