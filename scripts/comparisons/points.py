"""What the comparisons share: figures with their intervals, in a line, in a CSV file and in a picture.

A point is a dataclass of figures; a figure `joint` may have its interval beside it, as `joint_low` and `joint_high`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tonetune.core.files import replacing
from tonetune.core.tables import write_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def with_interval(middle: float, low: float, high: float, digits: str = ".3f") -> str:
    """A figure with its interval, each formatted as `digits` says."""
    return f"{middle:{digits}} [{low:{digits}}, {high:{digits}}]"


def figure_of(point: Any, name: str, digits: str = ".3f") -> str:
    """The point's figure `name` with its interval."""
    middle, low, high = (getattr(point, name + end) for end in ("", "_low", "_high"))
    return with_interval(middle, low, high, digits)


def write_points(path: Path, kind: type, points: Sequence[Any]) -> None:
    """Write points of the dataclass `kind` as CSV, to 6 digits."""
    rows = ([round(v, 6) if isinstance(v, float) else v for v in astuple(point)] for point in points)
    write_table(path, [field.name for field in fields(kind)], rows)


@contextmanager
def picture(path: Path, columns: int, size: tuple[float, float], title: str | None = None) -> Iterator[list["Axes"]]:
    """Axes side by side to plot on, of `size` inches together; at the end they are at `path` as a PNG."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, columns, figsize=size, layout="constrained", squeeze=False)
    for axis in axes[0]:
        axis.grid(alpha=0.3)
    yield list(axes[0])
    if title:
        figure.suptitle(title)
    with replacing(path, "wb") as file:
        figure.savefig(file, format="png", dpi=150)
    pyplot.close(figure)


def plot_intervals(
    axis: "Axes", at: Sequence[float], points: Sequence[Any], name: str, label: str | None = None
) -> None:
    """The points' figure `name` with its intervals, at the places `at`."""
    middle, low, high = (np.array([getattr(point, name + end) for point in points]) for end in ("", "_low", "_high"))
    axis.errorbar(at, middle, yerr=[middle - low, high - middle], marker="o", capsize=4, label=label)


def number_by_doubling(axis: "Axes", values: Sequence[int], label: str) -> None:
    """A logarithmic axis below, with a mark at each of the values."""
    axis.set_xscale("log", base=2)
    axis.set_xticks(values, [str(value) for value in values])
    axis.minorticks_off()
    axis.set_xlabel(label)
