"""params.yaml as a typed, validated object. What each knob does is said in params.yaml itself."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tonetune.core.errors import UserError
from tonetune.core.files import load_yaml
from tonetune.core.gate_params import Count, Limit, Positive, Quality, Section, Share
from tonetune.core.teacher_params import ExtraBody, TeacherSettings
from tonetune.core.validation import Text, explain_param

PATH = Path("params.yaml")


class Compute(Section):
    threads: Annotated[int, Field(ge=0)]
    dtype: Literal["auto", "bfloat16", "float32"]
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"]


class Questions(Section):
    per_prompt: Count
    json_schema: Literal["auto", "always", "never"]
    stale_rounds: Limit
    exchanges: bool
    temperature: Annotated[float, Field(ge=0, le=2)]
    max_tokens: Count
    prompts: Annotated[dict[Text, Text], Field(min_length=1)]
    more: Text
    reverse: Text


class Answers(Section):
    samples: Count
    temperature: Annotated[float, Field(ge=0, le=2)]
    max_tokens: Count
    plain_system: Text
    persona_user: Text
    plain_twin: Text

    @model_validator(mode="after")
    def _placeholders(self) -> "Answers":
        for name in ("{question}", "{plain}"):
            if name not in self.persona_user:
                raise ValueError(f"persona_user needs the placeholder {name}")
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("samples: more than one needs a temperature over 0, or all are the same")
        return self


class OwnTexts(BaseModel):
    """What counts for a persona of somebody's own texts; beside its own keys it takes those of `split.quality`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    planted: Limit
    max_sentences: Count | None

    @property
    def limits(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Split(Section):
    validation: Share
    test: Share
    train_size: Count | None
    max_sentences: Count | None
    quality: Quality
    own_texts: OwnTexts

    @property
    def own_quality(self) -> Quality:
        """The limits of a persona that learns from somebody's own texts."""
        return Quality.model_validate(self.quality.model_dump() | self.own_texts.limits)

    @model_validator(mode="after")
    def _limits_of_own_texts(self) -> "Split":
        try:
            _ = self.own_quality
        except ValidationError as error:
            raise ValueError(f"own_texts: {explain_param(error.errors(include_url=False)[0], Quality)}") from None
        return self

    @model_validator(mode="after")
    def _something_left(self) -> "Split":
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must leave something to train on (less than 1)")
        return self


class BaseAnswers(Section):
    questions: Count
    max_new_tokens: Count
    temperature: Annotated[float, Field(ge=0, le=2)]
    top_p: Annotated[float, Field(gt=0, le=1)]
    batch_tokens: Count


class ToneClassifier(Section):
    ngrams: Annotated[list[Count], Field(min_length=2, max_length=2)]
    C: Positive


class Scorers(Section):
    sentence_model: Text
    sentence_epochs: Positive
    max_unrelated: Share
    max_near_training: Share
    fluency_texts: Count
    hidden_layers: Count


class LoRA(Section):
    r: Count
    alpha: Positive | Annotated[str, Field(pattern=r"^\d*\.?\d+r$")]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    target_modules: Literal["all-linear", "attention", "mlp"] | Annotated[list[Text], Field(min_length=1)]
    rslora: bool
    dora: bool
    init: Literal["default", "pissa"]

    @property
    def scaled_by(self) -> float:
        """Alpha as a number; `2r` is twice the rank."""
        return float(self.alpha[:-1]) * self.r if isinstance(self.alpha, str) else self.alpha


class LastLayers(Section):
    blocks: Count
    norm: bool
    head: bool


class DPO(Section):
    epochs: Positive
    beta: Positive


class GRPO(Section):
    steps: Count
    questions: Count
    generations: Annotated[int, Field(ge=2)]
    max_new_tokens: Count
    temperature: Positive


class Train(Section):
    task: Literal["answer", "rewrite", "both"]
    objective: Literal["sft", "self_supervised", "dpo", "sft_dpo", "grpo"]
    tuning: Literal["full", "last_layers", "lora", "qlora", "lora_8bit"]
    epochs: Positive
    basics_times: Count
    batch_size: Count
    learning_rate: Positive | None
    warmup: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None
    evals_per_epoch: Count
    patience: Count
    neftune: Positive | None
    dequantize: Literal["auto", "once", "step"]
    gradient_checkpointing: bool
    max_length: Count
    lora: LoRA
    last_layers: LastLayers
    dpo: DPO
    grpo: GRPO
    live: list[Literal["dvclive", "tensorboard"]]
    launch: Literal["none", "torchrun", "accelerate"]
    processes: Count
    launch_config: Text

    @property
    def phases(self) -> list[str]:
        """The objectives, one after the other; the later ones start from what the first has learnt."""
        return {"sft_dpo": ["sft", "dpo"], "grpo": ["sft", "grpo"]}.get(self.objective, [self.objective])

    def peak_learning_rate(self, phase: str) -> float:
        """`learning_rate`, or what suits the tuning; learning from preferences and rewards takes a twentieth of it."""
        suits = {"full": 3e-4, "last_layers": 1e-4}.get(self.tuning, 1e-3)
        return (self.learning_rate or suits) * (0.05 if phase in ("dpo", "grpo") else 1)

    @model_validator(mode="after")
    def _possible(self) -> "Train":
        """Refuse, when the params load, what would fail or mislead an hour later."""
        if self.task != "answer" and self.objective in ("self_supervised", "grpo"):
            raise ValueError(
                f"task {self.task} with objective {self.objective}: it learns from answers alone; use sft, dpo or sft_dpo"
            )
        adapter = self.tuning not in ("full", "last_layers")
        if "dpo" in self.phases and not adapter:
            raise ValueError(
                f"objective {self.objective} with tuning {self.tuning}: its reference is the model without its adapter, so "
                "it needs lora, qlora or lora_8bit"
            )
        if adapter and self.lora.init == "pissa":
            if self.tuning != "lora":
                raise ValueError(
                    f"lora.init pissa with tuning {self.tuning}: it splits the weights themselves; use lora"
                )
            if self.lora.dora:
                raise ValueError("lora.init pissa with lora.dora: the one cannot be converted with the other; drop one")
            if "dpo" in self.phases:
                raise ValueError(
                    f"lora.init pissa with objective {self.objective}: without the adapter it is not the base"
                )
        if self.neftune and self.objective not in ("sft", "self_supervised"):
            raise ValueError(f"neftune with objective {self.objective}: noise is for sft and self_supervised alone")
        if self.launch != "none" and self.objective not in ("sft", "self_supervised"):
            raise ValueError(
                f"launch {self.launch} with objective {self.objective}: only sft and self_supervised are split"
            )
        if self.launch == "torchrun" and self.batch_size % self.processes:
            raise ValueError(f"processes {self.processes} must divide batch_size {self.batch_size}")
        return self


class OwnAnswers(Section):
    max_sentences: Count | None


class Evaluate(Section):
    seeds: Count
    fewshot: Count
    prompts: Annotated[list[Text], Field(min_length=1)]
    rewrite_prompts: Annotated[list[Text], Field(min_length=1)]
    prompt_questions: Count
    rivals: list[Text]
    drafts: list[Text]
    judge: Text | None
    judge_max_tokens: Count
    judge_temperature: Annotated[float, Field(ge=0, le=2)]
    extra_body: dict[Text, ExtraBody]
    max_new_tokens: Count
    max_sentences: Count | None
    best_of: Count
    temperature: Annotated[float, Field(ge=0, le=2)]
    top_p: Annotated[float, Field(gt=0, le=1)]
    batch_tokens: Count
    samples: Count
    own_texts: OwnAnswers

    @property
    def forward_tokens(self) -> int:
        """Tokens of one forward pass over whole texts, which holds more of each than its keys and values."""
        return max(1, self.batch_tokens // 16)


class Params(Section):
    """All of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    persona: Text
    base_model: Text
    base_files: Text
    system_prompt: Text
    rewrite_prompt: Text
    chat_template_kwargs: dict[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")], bool | int | float | str]
    compute: Compute
    teacher: TeacherSettings
    questions: Questions
    answers: Answers
    split: Split
    base_answers: BaseAnswers
    tone_classifier: ToneClassifier
    scorers: Scorers
    train: Train
    evaluate: Evaluate

    @property
    def training_seed(self) -> int:
        """The seed of the adapter's initialisation and of the order of training: `train.seed`, or the seed of everything."""
        return self.seed if self.train.seed is None else self.train.seed

    def of_own_texts(self) -> "Params":
        """The same with the lengths of texts and answers that count for a persona of somebody's own texts."""
        split = self.split.model_copy(update={"max_sentences": self.split.own_texts.max_sentences})
        evaluate = self.evaluate.model_copy(update={"max_sentences": self.evaluate.own_texts.max_sentences})
        return self.model_copy(update={"split": split, "evaluate": evaluate})


def load_params(path: Path = PATH) -> Params:
    """Read and validate params.yaml; a `UserError` names the key, the value and what is allowed."""
    try:
        params = Params.model_validate(load_yaml(path))
    except ValidationError as error:
        problems = error.errors(include_url=False)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(f"{path}: {explain_param(problems[0], Params)}{more}") from None
    if params.evaluate.drafts and params.train.task == "answer":
        raise UserError(
            f"{path}: evaluate.drafts: {params.evaluate.drafts}: drafts are spoken by a model that has learnt to rewrite; set "
            "train.task: rewrite or both, or evaluate.drafts: []"
        )
    return params
