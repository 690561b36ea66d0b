"""YAML 1.2, which reads `1e-05` as a number; DVC writes such numbers into params.yaml."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tone.errors import UserError


def load_yaml(path: str | Path) -> Any:
    """Parse a YAML file; a `UserError` if it is missing or broken."""
    try:
        return YAML(typ="safe", pure=True).load(Path(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: not YAML ({getattr(error, 'problem', None) or error})") from None
