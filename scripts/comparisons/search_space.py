"""What scripts.comparisons.search may try: the keys of search.yaml, each with its choices or its range."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, RootModel, ValidationError, model_validator

from tonetune.core.errors import UserError
from tonetune.core.files import load_yaml
from tonetune.core.params import Params
from tonetune.core.validation import explain_param
from tonetune.experiments import changed

if TYPE_CHECKING:
    import optuna

# What changes neither the questions nor the scorers: joints of experiments that differ in it compare.
ALLOWED = (
    "train.",
    "evaluate.temperature",
    "evaluate.top_p",
    "evaluate.max_new_tokens",
    "evaluate.max_sentences",
    "evaluate.own_texts.",
)

Value = bool | int | float | str | None


class Dimension(BaseModel):
    """The values of one key: `choices`, or those from `low` to `high`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    choices: Annotated[list[Value], Field(min_length=1)] | None = None
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    step: int | float | None = Field(None, gt=0)
    when: dict[str, list[Value]] = {}
    """Keys that come before it, and the values of them with which it matters."""

    @model_validator(mode="after")
    def _one_of_both(self) -> "Dimension":
        if (self.choices is None) == (self.low is None and self.high is None):
            raise ValueError("needs choices, or low and high")
        if self.choices is None:
            if self.low is None or self.high is None or self.low >= self.high:
                raise ValueError(f"low {self.low} must be under high {self.high}")
            if self.log and self.low <= 0:
                raise ValueError(f"low {self.low} with log must be over 0")
            if self.log and self.step:
                raise ValueError("log and step: drop one")
        return self

    @property
    def ends(self) -> list[Value]:
        """The values that are to be possible, so that all are."""
        return self.choices if self.choices is not None else [self.low, self.high]

    def propose(self, key: str, trial: "optuna.Trial") -> Value:
        """A value that the optimiser picks."""
        if self.choices is not None:
            return trial.suggest_categorical(key, self.choices)
        assert self.low is not None
        assert self.high is not None
        if all(isinstance(end, int) for end in (self.low, self.high, self.step or 1)):
            return trial.suggest_int(key, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(key, self.low, self.high, step=self.step, log=self.log)


def _choices(value: Any) -> Any:
    """A list alone stands for `choices`."""
    return {"choices": value} if isinstance(value, list) else value


class Space(RootModel[dict[str, Annotated[Dimension, BeforeValidator(_choices)]]]):
    """Keys of params.yaml, dotted, in the order in which they are chosen."""

    def propose(self, trial: "optuna.Trial") -> dict[str, Value]:
        """A value for each key that matters with the values before it."""
        values: dict[str, Value] = {}
        for key, dimension in self.root.items():
            if all(values.get(other) in allowed for other, allowed in dimension.when.items()):
                values[key] = self.rounded(dimension.propose(key, trial))
        return values

    @staticmethod
    def rounded(value: Value) -> Value:
        """Three digits are enough to try, and to type."""
        return float(f"{value:.3g}") if isinstance(value, float) else value


def as_change(key: str, value: Value) -> str:
    """`key=value` as `dvc exp run -S` reads it."""
    return f"{key}={value if isinstance(value, str) else json.dumps(value)}"


def read_space(path: Path, params: Params) -> Space:
    """Read and check a file such as search.yaml; a `UserError` names the key, the value and what is allowed."""
    raw = load_yaml(path)
    if not isinstance(raw, dict) or not raw:
        raise UserError(f"{path}: names no parameter; write e.g. train.learning_rate: {{low: 1.0e-4, high: 1.0e-3}}")
    try:
        space = Space.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"][:2])
        raise UserError(f"{path}: {key}: {first['msg'].removeprefix('Value error, ')}") from None
    before: set[str] = set()
    for key, dimension in space.root.items():
        if key == "train.task" or not key.startswith(ALLOWED):
            raise UserError(f"{path}: {key}: changes what is asked or how it is scored; allowed: {', '.join(ALLOWED)}…")
        if unknown := dimension.when.keys() - before:
            raise UserError(f"{path}: {key}.when: {min(unknown)} is no key above it")
        before.add(key)
        _check_possible(path, key, dimension, params)
    return space


def _check_possible(path: Path, key: str, dimension: Dimension, params: Params) -> None:
    """A `UserError` if params.yaml has no such key, or must not have one of the values."""
    for value in dimension.ends:
        allowed = {other: values[0] for other, values in dimension.when.items()}
        try:
            changes = [as_change(other, chosen) for other, chosen in (allowed | {key: value}).items()]
            Params.model_validate(changed(params.model_dump(), changes))
        except (KeyError, TypeError):
            raise UserError(f"{path}: {key}: params.yaml has no such parameter") from None
        except ValidationError as error:
            raise UserError(f"{path}: {explain_param(error.errors(include_url=False)[0], Params)}") from None
