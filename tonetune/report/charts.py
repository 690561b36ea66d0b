"""The report's drawings as inline SVG. Colours come from the page's style sheet, so they follow light and dark."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from tonetune.evaluation.validity import Agreement
from tonetune.scoring.calibration import CalibrationBin

BARS = 20


def interval_bar(
    low: float, middle: float, high: float, scale: tuple[float, float], marks: Sequence[float], kind: str, label: str
) -> Markup:
    """A dot on its interval, over a line at each of `marks`; as wide as its cell, `label` is read out."""

    def at(value: float) -> str:
        return f"{100 * (value - scale[0]) / (scale[1] - scale[0]):.2f}"

    ticks = Markup("").join(
        Markup('<line class="mark" x1="{0}" x2="{0}" y1="0" y2="20"/>').format(at(mark)) for mark in marks
    )
    return Markup(
        '<svg class="interval {kind}" viewBox="0 0 100 20" preserveAspectRatio="none" role="img" aria-label="{label}">'
        '<line class="axis" x1="0" x2="100" y1="10" y2="10"/>{ticks}'
        '<line class="range" x1="{low}" x2="{high}" y1="10" y2="10"/>'
        '<line class="dot" x1="{middle}" x2="{middle}" y1="10" y2="10"/></svg>'
    ).format(kind=kind, label=label, ticks=ticks, low=at(low), high=at(high), middle=at(middle))


def share_bar(values: Sequence[float]) -> list[float]:
    """The share of the values, each from 0 to 1, that falls into each of `BARS` bins."""
    counts = [0] * BARS
    for value in values:
        counts[min(int(value * BARS), BARS - 1)] += 1
    return [count / max(1, len(values)) for count in counts]


def histogram(heights: Sequence[float], peak: float, kind: str, label: str) -> Markup:
    """A bar for each of the shares; the full height is `peak`, and what is not nothing can be seen."""
    bars = Markup("").join(
        Markup('<rect x="{0}" y="{1:.2f}" width="0.9" height="{2:.2f}"/>').format(i, 40 - height, height)
        for i, share in enumerate(heights)
        if (height := max(1.2, 40 * share / peak) if share else 0)
    )
    return Markup(
        '<svg class="histogram {kind}" viewBox="0 0 {bars} 40" preserveAspectRatio="none" role="img" aria-label="{label}">'
        '{svg}<line class="axis" x1="0" x2="{bars}" y1="40" y2="40"/></svg>'
    ).format(kind=kind, label=label, bars=BARS, svg=bars)


def calibration_chart(bins: Sequence[CalibrationBin], label: str) -> Markup:
    """Observed share against predicted probability; a dot's area grows with the texts in its bin."""
    total = max(1, sum(b.count for b in bins))

    def position(b: CalibrationBin) -> tuple[str, str]:
        return f"{40 + 250 * b.predicted:.1f}", f"{260 - 250 * b.observed:.1f}"

    line = " ".join(",".join(position(b)) for b in bins)
    dots = Markup("").join(
        Markup('<circle cx="{0}" cy="{1}" r="{2:.1f}"><title>{3} texts</title></circle>').format(
            *position(b), 3 + 9 * math.sqrt(b.count / total), b.count
        )
        for b in bins
    )
    svg = Markup('<polyline points="{0}"/>{1}').format(line, dots)
    return _square(svg, "predicted probability", "share that is the persona", label)


def validity_chart(rows: Sequence[Agreement], label: str) -> Markup:
    """Mean score against mean rating, a dot for each writer; on the dashed line score and readers agree."""
    dots = Markup("").join(
        Markup(
            '<circle cx="{0:.1f}" cy="{1:.1f}" r="4"><title>{2}: rated {3:.2f}, scored {4:.2f}</title></circle>'
        ).format(40 + 250 * row.rated, 260 - 250 * row.scored, row.writer, row.rated, row.scored)
        for row in rows
    )
    return _square(dots, "mean rating", "mean score", label)


def _square(svg: Markup, across: str, up: str, label: str) -> Markup:
    """The inner `svg` in a frame from 0 to 1 either way, over a dashed line on which both are equal."""
    ticks = Markup("").join(
        Markup(
            '<text x="{0:.1f}" y="278" text-anchor="middle">{1}</text><text x="32" y="{2:.1f}" text-anchor="end">{1}</text>'
        ).format(40 + 250 * tick, tick, 264 - 250 * tick)
        for tick in (0, 0.5, 1)
    )
    return Markup(
        '<svg class="calibration" viewBox="0 0 304 304" role="img" aria-label="{label}">'
        '<rect class="frame" x="40" y="10" width="250" height="250"/>'
        '<line class="mark" x1="40" y1="260" x2="290" y2="10"/>{svg}{ticks}'
        '<text x="165" y="298" text-anchor="middle">{across}</text>'
        '<text x="-135" y="10" text-anchor="middle" transform="rotate(-90)">{up}</text></svg>'
    ).format(label=label, svg=svg, ticks=ticks, across=across, up=up)
