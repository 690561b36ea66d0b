"""Models that refuse unknown keys, and what pydantic complains of as one line: the field or key, the value, what is allowed."""

import json
import types
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from tonetune.core.errors import UserError

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class StrictModel(BaseModel):
    """What files are read into: an unknown key is an error, and nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


AnyModel = TypeVar("AnyModel", bound=BaseModel)


def validated(model: type[AnyModel], value: object, where: object) -> AnyModel:
    """`value` as a `model`; a `UserError` that begins with `where`, a file or a place in one, and names the field."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise UserError(f"{where}: {explain(error)}") from None


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
