"""params.yaml as a typed, validated object. What each knob does is said in params.yaml itself."""

import json
import types
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tone.errors import UserError
from tone.rows import Text
from tone.yaml import load_yaml

PATH = Path("params.yaml")

Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Limit = Annotated[int, Field(ge=0)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Compute(Section):
    threads: Annotated[int, Field(ge=0)]
    dtype: Literal["auto", "bfloat16", "float32"]
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"]


class Teacher(Section):
    mode: Literal["replay", "live"]
    model: Text
    base_url: Text | None
    extra_body: dict[Text, Any]
    ask_again: Limit
    concurrency: Annotated[int, Field(ge=1, le=1000)]
    requests_per_minute: Count | None
    tokens_per_minute: Count | None
    timeout: Positive
    retries: Limit
    max_cost: Annotated[float, Field(ge=0)] | None
    prices: dict[Text, Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=2, max_length=2)]]
    allow_http: list[Text]
    batch: bool
    batch_wait: bool
    batch_poll: Positive

    @field_validator("base_url")
    @classmethod
    def _plain_url(cls, value: str | None) -> str | None:
        if value is not None:
            url = urlsplit(value)
            if url.scheme not in ("http", "https") or not url.hostname:
                raise ValueError("is http://<host>/<path> or https://<host>/<path>")
            if "@" in url.netloc or url.query:
                raise ValueError("holds no user, password or query: what is secret goes into OPENAI_API_KEY")
        return value

    @field_validator("extra_body")
    @classmethod
    def _has_a_knob(cls, value: dict[str, Any]) -> dict[str, Any]:
        known = {"model", "messages", "temperature", "max_tokens", "max_completion_tokens", "response_format"}
        if taken := sorted({*value} & (known | {"n", "stream"})):
            raise ValueError(f"{taken[0]} has its own knob or cannot be changed")
        return value


class Questions(Section):
    per_prompt: Count
    json_schema: Literal["auto", "always", "never"]
    stale_rounds: Limit
    exchanges: bool
    temperature: Annotated[float, Field(ge=0, le=2)]
    max_tokens: Count
    prompts: Annotated[dict[Text, Text], Field(min_length=1)]
    more: Text


class Answers(Section):
    samples: Count
    temperature: Annotated[float, Field(ge=0, le=2)]
    max_tokens: Count
    plain_system: Text
    plain_user: Text

    @model_validator(mode="after")
    def _placeholders(self) -> "Answers":
        for name in ("{question}", "{answer}"):
            if name not in self.plain_user:
                raise ValueError(f"plain_user needs the placeholder {name}")
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("samples: more than one needs a temperature over 0, or all are the same")
        return self


class Quality(Section):
    words: Annotated[list[Count], Field(min_length=2, max_length=2)]
    english_share_min: Share
    near_question: Share
    near_answer: Share
    most_duplicates: Limit
    most_near_questions: Limit
    most_near_answers: Limit
    most_crossing: Limit
    most_refusals: Limit
    most_cut_off: Limit
    pair_similarity_max: Share
    pair_length: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    opening_share_max: Share
    tic_share_max: Share

    @model_validator(mode="after")
    def _lowest_first(self) -> "Quality":
        for name in ("words", "pair_length"):
            lowest, highest = getattr(self, name)
            if lowest > highest:
                raise ValueError(f"{name} is [lowest, highest]: {lowest} is over {highest}")
        return self


class Split(Section):
    validation: Share
    test: Share
    train_size: Count | None
    quality: Quality

    @model_validator(mode="after")
    def _something_left(self) -> "Split":
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must leave something to train on (less than 1)")
        return self


class ToneClassifier(Section):
    ngrams: Annotated[list[Count], Field(min_length=2, max_length=2)]
    C: Positive


class Scorers(Section):
    sentence_model: Text
    sentence_epochs: Positive
    unrelated_max: Share
    near_training_max: Share
    hidden_layers: Count
    base_answers: Count


class LoRA(Section):
    r: Count
    alpha: Positive
    dropout: Annotated[float, Field(ge=0, lt=1)]
    target_modules: Literal["all-linear"] | Annotated[list[Text], Field(min_length=1)]


class Train(Section):
    epochs: Positive
    batch_size: Count
    learning_rate: Positive
    warmup: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    evals_per_epoch: Count
    patience: Count
    quantization: Literal["nf4", "none"]
    dequantize: Literal["auto", "once", "step"]
    max_length: Count
    lora: LoRA


class Evaluate(Section):
    seeds: Count
    fewshot: Count
    prompts: Annotated[list[Text], Field(min_length=1)]
    prompt_questions: Count
    rivals: list[Text]
    judge: Text | None
    max_new_tokens: Count
    temperature: Annotated[float, Field(ge=0, le=2)]
    top_p: Annotated[float, Field(gt=0, le=1)]
    batch_size: Count
    samples: Count


class Params(Section):
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    persona: Text
    base_model: Text
    system_prompt: Text
    compute: Compute
    teacher: Teacher
    questions: Questions
    answers: Answers
    split: Split
    tone_classifier: ToneClassifier
    scorers: Scorers
    train: Train
    evaluate: Evaluate


def load_params(path: Path = PATH) -> Params:
    """Read and validate params.yaml; a `UserError` names the key, the value and what is allowed."""
    try:
        return Params.model_validate(load_yaml(path))
    except ValidationError as error:
        problems = error.errors(include_url=False)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(f"{path}: {_explain(problems[0])}{more}") from None


def _explain(problem: Any) -> str:
    """`key: value: what is allowed`, for one of pydantic's complaints."""
    location = [part for part in problem["loc"] if not str(part).startswith(("literal[", "constrained-"))]
    key = ".".join(map(str, location)) or "the whole file"
    if problem["type"] == "missing":
        return f"{key}: missing"
    value = json.dumps(problem["input"], default=str)[:60]
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key (value {value}); known here: {', '.join(_siblings(location))}"
    return f"{key}: {value}: {problem['msg'].removeprefix('Value error, ')}"


def _siblings(location: list[str | int]) -> list[str]:
    """The keys that are known where an unknown one was found."""
    section: type[BaseModel] = Params
    for part in location[:-1]:
        annotation: Any = section.model_fields[str(part)].annotation
        if get_origin(annotation) in (types.UnionType, Annotated):
            annotation = get_args(annotation)[0]
        section = annotation
    return list(section.model_fields)
