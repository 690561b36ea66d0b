"""A sweep of the LoRA rank: one DVC experiment a rank, and what came of them as a table and a picture.

    python -m tone.sweep 2 4 8 16

Each rank is `dvc exp run --temp -n r<rank> -S train.lora.r=<rank>`: it runs beside the workspace, which stays as it is.
A rank whose experiment is there already is not run again, so a sweep that was stopped goes on where it was.
"""

import argparse
import csv
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import dvc.api
import numpy as np
from dvc.exceptions import FileMissingError
from dvc.repo import Repo
from scipy.stats import bootstrap

from tone.errors import UserError, run
from tone.files import replacing
from tone.rows import parse_lines
from tone.systems import Generation

RANK = "train.lora.r"
ROWS = "data/tuned_generations.jsonl"
CODE = ("stages", "tone", "measures", "personas", "data/recordings", "dvc.yaml")
TABLE, PICTURE = Path("reports/sweep.csv"), Path("reports/sweep.png")
LEVEL = 0.95
RESAMPLES = 9999


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
    parser = argparse.ArgumentParser(prog="python -m tone.sweep", description="Run and compare LoRA ranks.")
    parser.add_argument("ranks", nargs="+", type=int, metavar="RANK")
    ranks = sorted(set(parser.parse_args().ranks))

    failed = []
    for rank in ranks:
        revision = experiments().get(f"r{rank}")
        if revision is not None:
            check_same(f"r{rank}", revision, rank)
            print(f"r{rank}: there already", flush=True)
        elif not run_rank(rank):
            failed.append(rank)
    known = experiments()
    points = [measured(f"r{rank}", known[f"r{rank}"], rank) for rank in ranks if rank not in failed]
    if points:
        points.sort(key=lambda point: point.joint, reverse=True)
        write_table(points)
        draw(points, PICTURE)
        print(f"{TABLE} and {PICTURE} written")
    if failed:
        raise UserError(f"no experiment for rank {', '.join(map(str, failed))}: see the messages above")


def experiments() -> dict[str, str]:
    """The experiments on the current commit: name and revision."""
    with Repo() as repo:
        return {name: revision for found in repo.experiments.ls().values() for name, revision in found}


def check_same(name: str, revision: str, rank: int) -> None:
    """A `UserError` if the experiment differs from the workspace in more than its rank."""
    there, here = dvc.api.params_show(rev=revision), dvc.api.params_show()
    here["train"]["lora"]["r"] = rank
    changed = subprocess.run(
        ["git", "diff", "--name-only", revision, "--", *CODE], capture_output=True, text=True, check=True
    ).stdout.split()
    differing = [f"{key} ({a!r}, here {b!r})" for key, a, b in differences(there, here)] + changed
    if differing:
        raise UserError(
            f"experiment {name} exists and differs from the workspace: {', '.join(differing[:3])}.\n"
            f"`dvc exp remove {name}` or `dvc exp rename {name} <name>` makes way for a new one."
        )


def differences(there: Any, here: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """The keys, dotted, whose values differ between two nested dicts."""
    if isinstance(there, dict) and isinstance(here, dict):
        names = sorted(there.keys() | here.keys())
        return [
            found
            for name in names
            for found in differences(there.get(name), here.get(name), f"{key}.{name}".lstrip("."))
        ]
    return [] if there == here else [(key, there, here)]


def run_rank(rank: int) -> bool:
    """Run one experiment beside the workspace; whether it succeeded."""
    command = ["dvc", "exp", "run", "--temp", "-n", f"r{rank}", "-S", f"{RANK}={rank}"]
    print(f"$ {' '.join(command)}", flush=True)
    return subprocess.run(command).returncode == 0


def measured(name: str, revision: str, rank: int) -> Point:
    """The experiment's scores, from the rows of its answers."""
    try:
        lines = dvc.api.read(ROWS, rev=revision).splitlines()
    except FileMissingError:
        raise UserError(f"{name}: {ROWS} is not in the cache; `dvc fetch --all-commits` or `dvc exp pull`") from None
    rows = parse_lines(lines, f"{name}: {ROWS}", Generation)
    metrics = dvc.api.metrics_show("metrics/train.json", rev=revision)
    seed = dvc.api.params_show(rev=revision)["seed"]

    # The questions are the sample: two answers to one question are not two independent pieces of evidence.
    questions = sorted({row.question_id for row in rows})
    joint = np.array([np.mean([row.joint for row in rows if row.question_id == q]) for q in questions])
    predicted = {row.question_id: (row.teacher_nats, row.teacher_tokens) for row in rows}
    nats, tokens = np.array([predicted[q] for q in questions], dtype=float).T
    return Point(
        name,
        rank,
        float(joint.mean()),
        *interval(lambda x, axis: x.mean(axis=axis), [joint], seed),
        float(np.exp(nats.sum() / tokens.sum())),
        *interval(lambda x, n, axis: np.exp(x.sum(axis=axis) / n.sum(axis=axis)), [nats, tokens], seed),
        trainable_parameters=metrics["trainable_parameters"],
    )


def interval(statistic: Callable[..., np.ndarray], columns: Sequence[np.ndarray], seed: int) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of `columns`, which are resampled together."""
    drawn = bootstrap(
        columns,
        statistic,
        paired=True,
        vectorized=True,
        confidence_level=LEVEL,
        n_resamples=RESAMPLES,
        batch=1000,
        method="percentile",
        rng=seed,
    ).confidence_interval
    return float(drawn.low), float(drawn.high)


def write_table(points: Sequence[Point]) -> None:
    """Print the points, best joint first, and write them as CSV."""
    print(f"\n{'experiment':<12}{'rank':>6}  {'joint':<22}{'perplexity, persona':<26}{'trainable parameters':>20}")
    for p in points:
        joint = f"{p.joint:.3f} [{p.joint_low:.3f}, {p.joint_high:.3f}]"
        perplexity = f"{p.perplexity:.4g} [{p.perplexity_low:.4g}, {p.perplexity_high:.4g}]"
        print(f"{p.experiment:<12}{p.rank:>6}  {joint:<22}{perplexity:<26}{p.trainable_parameters:>20,}")
    print("in brackets: 95 % bootstrap intervals over the test questions\n")
    with replacing(TABLE) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Point)])
        writer.writerows([round(v, 6) if isinstance(v, float) else v for v in astuple(point)] for point in points)


def draw(points: Sequence[Point], path: Path) -> None:
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
