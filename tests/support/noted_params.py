"""Run a stage and write which parameters it read: `python -m tests.support.noted_params STAGE FILE`.

Only leaves count (`train.lora.r`, not `train`): whoever takes a section along has not read what is in it.
"""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tonetune.core import params as module

READ: set[str] = set()
PLACES: dict[int, str] = {}
REPLACED: dict[int, frozenset[str]] = {}  # the fields of a copy that no longer hold what params.yaml says
KEPT: list[BaseModel] = []  # so that no other object takes an id of theirs


def note(model: BaseModel, place: str = "") -> None:
    """Let a section and those in it note what is read of them."""
    PLACES[id(model)] = place
    KEPT.append(model)
    fields = type(model).model_fields
    for name in fields:
        if isinstance(value := getattr(model, name), BaseModel):
            note(value, f"{place}{name}.")
    watch(type(model), frozenset(fields))


def watch(section: type[BaseModel], fields: frozenset[str]) -> None:
    plain, copy = section.__getattribute__, section.model_copy

    def noting(self: Any, name: str) -> Any:
        value = plain(self, name)
        if (
            name in fields - REPLACED.get(id(self), frozenset())
            and id(self) in PLACES
            and not isinstance(value, BaseModel)
        ):
            READ.add(PLACES[id(self)] + name)
        return value

    def noting_copy(self: Any, **options: Any) -> Any:
        copied = copy(self, **options)
        if id(self) in PLACES:
            PLACES[id(copied)] = PLACES[id(self)]
            REPLACED[id(copied)] = REPLACED.get(id(self), frozenset()) | {*(options.get("update") or {})}
            KEPT.append(copied)
        return copied

    section.__getattribute__ = noting  # type: ignore[method-assign]
    section.model_copy = noting_copy  # type: ignore[method-assign]


def main() -> None:
    stage, target = sys.argv[1:]
    load = module.load_params

    def noted(*arguments: Any) -> module.Params:
        params = load(*arguments)
        note(params)
        return params

    module.load_params = noted
    try:
        runpy.run_module(f"stages.{stage}", run_name="__main__", alter_sys=True)
    finally:
        Path(target).write_text(json.dumps(sorted(READ)))


if __name__ == "__main__":
    main()
