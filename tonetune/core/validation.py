"""What pydantic complains of, as one line that names the field or key, the value and what is allowed."""

import json
import types
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, StringConstraints, ValidationError

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def explain(error: ValidationError) -> str:
    """The first of pydantic's complaints as `field: what is wrong (value)`."""
    first = error.errors(include_url=False)[0]
    field = ".".join(map(str, first["loc"])) or "row"
    return f"{field}: {first['msg']}, got {str(first['input'])[:60]!r}"


def explain_param(problem: Any, model: type[BaseModel]) -> str:
    """`key: value: what is allowed`, for one of pydantic's complaints about `model`."""
    location = [part for part in problem["loc"] if not str(part).startswith(("literal[", "constrained-"))]
    key = ".".join(map(str, location)) or "the whole file"
    if problem["type"] == "missing":
        return f"{key}: missing"
    value = json.dumps(problem["input"], default=str)[:60]
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key (value {value}); known here: {', '.join(siblings(location, model))}"
    return f"{key}: {value}: {problem['msg'].removeprefix('Value error, ')}"


def siblings(location: list[str | int], model: type[BaseModel]) -> list[str]:
    """The keys that are known where an unknown one was found."""
    section = model
    for part in location[:-1]:
        annotation: Any = section.model_fields[str(part)].annotation
        if get_origin(annotation) in (types.UnionType, Annotated):
            annotation = get_args(annotation)[0]
        section = annotation
    return list(section.model_fields)
