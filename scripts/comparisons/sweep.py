"""A sweep of the LoRA rank: one DVC experiment a rank, and what came of them as a table and a picture.

    python -m scripts.comparisons.sweep 2 4 8 16

Each rank is `dvc exp run --temp -n r<rank> -S train.tuning=qlora -S train.lora.r=<rank>`: it runs beside the workspace, which stays as it is.
A rank whose experiment is there already is not run again, so a sweep that was stopped goes on where it was.
"""

import argparse
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import dvc.api
import numpy as np

from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.files import replacing
from tonetune.core.tables import write_table
from tonetune.experiments import answers_of, ensure, experiments
from tonetune.report.statistics import LEVEL, mean_interval, question_means, teacher_perplexity

TABLE, PICTURE = Path("reports/sweep.csv"), Path("reports/sweep.png")


@dataclass(frozen=True)
class Point:
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
        draw_picture(points, PICTURE)
        print(f"{TABLE} and {PICTURE} written")
    if failed:
        raise UserError(f"no experiment for rank {', '.join(map(str, failed))}: see the messages above")


def measured(name: str, revision: str, rank: int) -> Point:
    """The experiment's scores, from the rows of its answers."""
    rows = answers_of(name, revision)
    metrics = dvc.api.metrics_show("metrics/train.json", rev=revision)
    seed = dvc.api.params_show(rev=revision)["seed"]
    joint = np.array(list(question_means(rows, "tuned", "joint").values()))
    return Point(
        name,
        rank,
        float(joint.mean()),
        *mean_interval(joint, LEVEL, seed),
        *teacher_perplexity(rows, "tuned", seed),
        trainable_parameters=metrics["trainable_parameters"],
    )


def show(points: Sequence[Point]) -> None:
    """Print the points, best joint first, and write them as CSV."""
    print(f"\n{'experiment':<12}{'rank':>6}  {'joint':<22}{'perplexity, persona':<26}{'trainable parameters':>20}")
    for p in points:
        joint = f"{p.joint:.3f} [{p.joint_low:.3f}, {p.joint_high:.3f}]"
        perplexity = f"{p.perplexity:.4g} [{p.perplexity_low:.4g}, {p.perplexity_high:.4g}]"
        print(f"{p.experiment:<12}{p.rank:>6}  {joint:<22}{perplexity:<26}{p.trainable_parameters:>20,}")
    print("in brackets: 95 % bootstrap intervals over the test questions\n")
    rows = ([round(v, 6) if isinstance(v, float) else v for v in astuple(point)] for point in points)
    write_table(TABLE, [field.name for field in fields(Point)], rows)


def draw_picture(points: Sequence[Point], path: Path) -> None:
    """Rank against joint and against perplexity, with their intervals, as a PNG."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    points = sorted(points, key=lambda point: point.rank)
    ranks = [point.rank for point in points]
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    panels = (("joint", "joint, higher is better"), ("perplexity", "perplexity, lower is better"))
    for axis, (name, label) in zip(axes, panels, strict=True):
        middle, low, high = (
            np.array([getattr(point, name + end) for point in points]) for end in ("", "_low", "_high")
        )
        axis.errorbar(ranks, middle, yerr=[middle - low, high - middle], marker="o", capsize=4)
        axis.set_xscale("log", base=2)
        axis.set_xticks(ranks, [str(rank) for rank in ranks])
        axis.minorticks_off()
        axis.set_xlabel("LoRA rank")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    figure.suptitle("95 % intervals over the test questions")
    with replacing(path, "wb") as file:
        figure.savefig(file, format="png", dpi=150)
    pyplot.close(figure)


if __name__ == "__main__":
    run(main)
