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
LOADED: list[module.Params] = []  # kept, so that no other object takes an id of theirs


def note(model: BaseModel, place: str = "") -> None:
    """Let a section and those in it note what is read of them."""
    PLACES[id(model)] = place
    fields = type(model).model_fields
    for name in fields:
        if isinstance(value := getattr(model, name), BaseModel):
            note(value, f"{place}{name}.")
    watch(type(model), frozenset(fields))


def watch(section: type[BaseModel], fields: frozenset[str]) -> None:
    plain = section.__getattribute__

    def noting(self: Any, name: str) -> Any:
        value = plain(self, name)
        if name in fields and id(self) in PLACES and not isinstance(value, BaseModel):
            READ.add(PLACES[id(self)] + name)
        return value

    section.__getattribute__ = noting  # type: ignore[method-assign]


def main() -> None:
    stage, target = sys.argv[1:]
    load = module.load_params

    def noted(*arguments: Any) -> module.Params:
        params = load(*arguments)
        LOADED.append(params)
        note(params)
        return params

    module.load_params = noted
    try:
        runpy.run_module(f"stages.{stage}", run_name="__main__", alter_sys=True)
    finally:
        Path(target).write_text(json.dumps(sorted(READ)))


if __name__ == "__main__":
    main()
