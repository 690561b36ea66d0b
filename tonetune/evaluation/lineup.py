"""Who is on the page and what is known of them, from what the stages baselines and evaluate measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tonetune.evaluation.names import told_name

GROUPS = ("rivals", "ceiling", "controls")


@dataclass(frozen=True)
class Lineup:
    """Names as the rows of the generations have them."""

    others: list[str]
    """What the tuned system is compared with."""
    ceilings: list[str]
    """The teacher itself as a rival: reported apart, since the scores are fitted on its text."""
    controls: list[str]
    failed: dict[str, str]
    """Rivals that could not be had, and why."""
    metrics: dict[str, Mapping[str, Any]]


def lineup(baselines: Mapping[str, Any]) -> Lineup:
    """From metrics/baselines.json: a system a key, rivals and ceilings by label and way of asking, and the controls."""
    entered: dict[str, dict[str, Mapping[str, Any]]] = {"rivals": {}, "ceiling": {}}
    failed = {}
    for group, found in entered.items():
        for label, ways in baselines.get(group, {}).items():
            if "error" in ways:
                failed[label] = ways["error"]
            else:
                found |= {told_name(label, way): metrics for way, metrics in ways.items()}
    own = {name: metrics for name, metrics in baselines.items() if name not in GROUPS}
    return Lineup(
        others=[*own, *entered["rivals"]],
        ceilings=list(entered["ceiling"]),
        controls=list(baselines["controls"]),
        failed=failed,
        metrics={**own, **entered["rivals"], **entered["ceiling"]},
    )
