"""How much data is enough: one DVC experiment for each number of training questions, as a table and a picture.

    python -m scripts.comparisons.learning_curve 50 100 200 400

Each size is `dvc exp run --temp -n n<size> -S split.train_size=<size> --single-item split train_qlora`; the workspace's own run, on all of its
training questions, is the last point. A size whose experiment is there already is not run again. Each adapter then answers the
test questions, and the scorers of the workspace score all answers.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tonetune.core.startup import import_bitsandbytes, silence_libraries

PARSER = argparse.ArgumentParser(
    prog="python -m scripts.comparisons.learning_curve", description="Compare amounts of data."
)
PARSER.add_argument("sizes", nargs="+", type=int, metavar="SIZE")
if __name__ == "__main__":
    PARSER.parse_args()  # help, and what is mistyped, before what takes long to load

silence_libraries()
import_bitsandbytes()

import dvc.api
import numpy as np

from scripts.comparisons.points import figure_of, number_by_doubling, picture, plot_intervals, write_points
from scripts.comparisons.trained import ADAPTER, STAGES, measured, measured_experiment
from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.params import load_params
from tonetune.core.rows import read_examples
from tonetune.experiments import ensure, experiments
from tonetune.report.statistics import LEVEL, mean_interval

TABLE, PICTURE = Path("reports/learning_curve.csv"), Path("reports/learning_curve.png")
# A test of the level 5 % finds a true difference of so many standard errors in 80 % of the cases.
DETECTABLE = 1.96 + 0.84


@dataclass(frozen=True)
class SizePoint:
    """What one number of training questions came to; low and high are the ends of the 95 % interval over the test questions."""

    questions: int
    validation_loss: float
    """Of the persona's answers, in nats a token."""
    joint: float
    joint_low: float
    joint_high: float


def main() -> None:
    sizes = sorted(set(PARSER.parse_args().sizes))
    here = {example.question_id for example in read_examples("train")}
    if sizes[0] < 1 or sizes[-1] >= len(here):
        wrong = sizes[0] if sizes[0] < 1 else sizes[-1]
        raise UserError(
            f"size {wrong}: there are {len(here)} training questions, all of which are the last point; give 1 to {len(here) - 1}"
        )

    failed = [size for size in sizes if not ensure(f"n{size}", [f"split.train_size={size}"], STAGES)]
    if len(failed) == len(sizes):
        raise UserError(f"no experiment for size {', '.join(map(str, failed))}: see the messages above")
    known = {size: experiments()[f"n{size}"] for size in sizes if size not in failed}
    params, test = load_params(), read_examples("test")
    losses = {size: loss(revision) for size, revision in known.items()} | {len(here): loss(None)}
    found = {size: measured_experiment(revision, params, test, f"n{size}") for size, revision in known.items()}
    found[len(here)] = measured(params, params, ADAPTER, test, "the workspace")
    joints = {size: np.array(scores["joint"]) for size, scores in found.items()}
    points = [
        SizePoint(size, losses[size], float(joints[size].mean()), *mean_interval(joints[size], LEVEL, params.seed))
        for size in joints
    ]
    show(points)
    for sentence in conclusions(joints, params.seed):
        print(sentence)
    plot(points, PICTURE)
    print(f"{TABLE} and {PICTURE} written")
    if failed:
        raise UserError(f"no experiment for size {', '.join(map(str, failed))}: see the messages above")


def loss(revision: str | None) -> float:
    """The validation loss of an experiment, or of the workspace's run."""
    return float(dvc.api.metrics_show("metrics/train.json", rev=revision)["validation_loss"])


def conclusions(joints: Mapping[int, np.ndarray], seed: int) -> list[str]:
    """What a hundred more questions bring, and the smallest difference that the test questions can show.

    `joints` are those of each size on the same test questions, in the same order; sizes rise.
    """
    smaller, larger = list(joints)[-2:]
    gain = (joints[larger] - joints[smaller]) * 100 / (larger - smaller)
    low, high = mean_interval(gain, LEVEL, seed)
    differences = joints[larger] - joints[smaller]
    least = DETECTABLE * differences.std(ddof=1) / np.sqrt(len(differences))
    return [
        f"From {smaller} to {larger} questions, a hundred more bring {gain.mean():+.3f} joint [{low:+.3f}, {high:+.3f}].",
        f"{len(differences)} test questions show a difference of {least:.3f} joint in four of five cases, a smaller one less often.",
    ]


def show(points: Sequence[SizePoint]) -> None:
    """Print the points and write them as CSV."""
    print(f"\n{'questions':>9}  {'validation loss':>15}  joint")
    for p in points:
        print(f"{p.questions:>9}  {p.validation_loss:>15.3f}  {figure_of(p, 'joint')}")
    print("in brackets: 95 % bootstrap intervals over the test questions\n")
    write_points(TABLE, SizePoint, points)


def plot(points: Sequence[SizePoint], path: Path) -> None:
    """Number of training questions against validation loss and against joint with its interval, as a PNG."""
    sizes = [point.questions for point in points]
    with picture(path, 2, (9, 3.6)) as (left, right):
        left.plot(sizes, [point.validation_loss for point in points], marker="o")
        left.set_ylabel("validation loss, lower is better")
        plot_intervals(right, sizes, points, "joint")
        right.set_ylabel("joint, higher is better")
        for axis in (left, right):
            number_by_doubling(axis, sizes, "training questions")


if __name__ == "__main__":
    run(main)
