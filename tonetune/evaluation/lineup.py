"""Who is on the page and what is known of them: the shape of metrics/baselines.json, which the stage baselines writes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tonetune.core.files import read_json, write_json
from tonetune.evaluation.names import system_name

PATH = Path("metrics/baselines.json")
RIVALS, CEILING, CONTROLS, CONTENTS = "rivals", "ceiling", "controls", "rival_contents"
ERROR = "error"

Metrics = Mapping[str, Any]
"""The headline metrics of one system, by their names."""


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
    metrics: dict[str, Metrics]


@dataclass
class Baselines:
    """The headline metrics of all systems but the tuned one, and of the controls."""

    systems: dict[str, Metrics] = field(default_factory=dict)
    """The base in all its ways, by name: in the file each is a key of its own."""
    groups: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    """Other models under `RIVALS`, and the teacher itself under `CEILING`: by label and way of asking.

    One that could not be had has the reason under `ERROR` instead.
    """
    controls: dict[str, Metrics] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    """By label: the fingerprint of a rival in a folder or file, whose content its name does not say."""

    @classmethod
    def read(cls, path: Path = PATH) -> "Baselines":
        """What `write` wrote; a `UserError` if there is no such file."""
        found = read_json(path)
        groups = {name: found.pop(name) for name in list(found) if name in (RIVALS, CEILING)}
        controls, contents = found.pop(CONTROLS, {}), found.pop(CONTENTS, {})
        return cls(found, groups, controls, contents)

    def write(self, path: Path = PATH) -> None:
        contents = {CONTENTS: self.contents} if self.contents else {}
        write_json(path, {**self.systems, **self.groups, CONTROLS: self.controls, **contents})

    def enter(self, label: str, ways: Mapping[str, Metrics], is_teacher: bool) -> None:
        """Add another model, prompted in each of the `ways`."""
        self.groups.setdefault(CEILING if is_teacher else RIVALS, {})[label] = dict(ways)

    def leave_out(self, label: str, reason: str) -> None:
        """Note why a rival could not be had."""
        self.groups.setdefault(RIVALS, {})[label] = {ERROR: reason}

    def entered(self, group: str) -> dict[str, dict[str, Metrics]]:
        """Those of the group that could be had: by label and way of asking."""
        return {label: ways for label, ways in self.groups.get(group, {}).items() if ERROR not in ways}

    def lineup(self) -> Lineup:
        """Everybody under the name that the rows of the generations have."""
        named = {
            group: {
                system_name(label, way): m for label, ways in self.entered(group).items() for way, m in ways.items()
            }
            for group in (RIVALS, CEILING)
        }
        return Lineup(
            others=[*self.systems, *named[RIVALS]],
            ceilings=list(named[CEILING]),
            controls=list(self.controls),
            failed={
                label: ways[ERROR]
                for group in (RIVALS, CEILING)
                for label, ways in self.groups.get(group, {}).items()
                if ERROR in ways
            },
            metrics={**self.systems, **named[RIVALS], **named[CEILING]},
        )
