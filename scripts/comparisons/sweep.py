"""A sweep of the LoRA rank: one DVC experiment a rank, and what came of them as a table and a picture.

    python -m scripts.comparisons.sweep 2 4 8 16

Each rank is `dvc exp run --temp -n r<rank> -S train.tuning=qlora -S train.lora.r=<rank>`: it runs beside the workspace, which stays as it is.
A rank whose experiment is there already is not run again, so a sweep that was stopped goes on where it was.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dvc.api
import numpy as np

from scripts.comparisons.points import figure_of, number_by_doubling, picture, plot_intervals, write_points
from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.evaluation.names import TUNED
from tonetune.experiments import answers_of, ensure, experiments
from tonetune.report.statistics import LEVEL, mean_interval, question_means, teacher_perplexity

TABLE, PICTURE = Path("reports/sweep.csv"), Path("reports/sweep.png")


@dataclass(frozen=True)
class RankPoint:
    """What one rank came to; low and high are the ends of the 95 % interval over the test questions."""

    experiment: str
    rank: int
    joint: float
    joint_low: float
    joint_high: float
    perplexity: float
    """Of the teacher's persona answers."""
    perplexity_low: float
    perplexity_high: float
    trainable_parameters: int


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.comparisons.sweep", description="Run and compare LoRA ranks."
    )
    parser.add_argument("ranks", nargs="+", type=int, metavar="RANK")
    ranks = sorted(set(parser.parse_args().ranks))

    failed = [rank for rank in ranks if not ensure(f"r{rank}", ["train.tuning=qlora", f"train.lora.r={rank}"])]
    known = experiments()
    points = [measured(f"r{rank}", known[f"r{rank}"], rank) for rank in ranks if rank not in failed]
    if points:
        points.sort(key=lambda point: point.joint, reverse=True)
        show(points)
        plot(points, PICTURE)
        print(f"{TABLE} and {PICTURE} written")
    if failed:
        raise UserError(f"no experiment for rank {', '.join(map(str, failed))}: see the messages above")


def measured(name: str, revision: str, rank: int) -> RankPoint:
    """The experiment's scores, from the rows of its answers."""
    rows = answers_of(name, revision)
    metrics = dvc.api.metrics_show("metrics/train.json", rev=revision)
    seed = dvc.api.params_show(rev=revision)["seed"]
    joint = np.array(list(question_means(rows, TUNED, "joint").values()))
    return RankPoint(
        name,
        rank,
        float(joint.mean()),
        *mean_interval(joint, LEVEL, seed),
        *teacher_perplexity(rows, TUNED, seed),
        trainable_parameters=metrics["trainable_parameters"],
    )


def show(points: Sequence[RankPoint]) -> None:
    """Print the points, best joint first, and write them as CSV."""
    print(f"\n{'experiment':<12}{'rank':>6}  {'joint':<22}{'perplexity, persona':<26}{'trainable parameters':>20}")
    for p in points:
        joint, perplexity = figure_of(p, "joint"), figure_of(p, "perplexity", ".4g")
        print(f"{p.experiment:<12}{p.rank:>6}  {joint:<22}{perplexity:<26}{p.trainable_parameters:>20,}")
    print("in brackets: 95 % bootstrap intervals over the test questions\n")
    write_points(TABLE, RankPoint, points)


def plot(points: Sequence[RankPoint], path: Path) -> None:
    """Rank against joint and against perplexity, with their intervals, as a PNG."""
    points = sorted(points, key=lambda point: point.rank)
    ranks = [point.rank for point in points]
    with picture(path, 2, (9, 3.6), "95 % intervals over the test questions") as axes:
        labels = {"joint": "joint, higher is better", "perplexity": "perplexity, lower is better"}
        for axis, (name, label) in zip(axes, labels.items(), strict=True):
            plot_intervals(axis, ranks, points, name)
            number_by_doubling(axis, ranks, "LoRA rank")
            axis.set_ylabel(label)


if __name__ == "__main__":
    run(main)
