"""The trainer of each objective: TRL's, fed with token ids, without metrics that nothing here reads."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import EarlyStoppingCallback, PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainerCallback
from transformers.trainer_pt_utils import LengthGroupedSampler
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from tonetune.core.errors import UserError
from tonetune.core.params import Params
from tonetune.core.rows import Example
from tonetune.model.base import compute_dtype
from tonetune.model.kernels.malloc import retain
from tonetune.model.progress import name_bar
from tonetune.training.checkpoints import SealCheckpoints
from tonetune.training.decoder_layer import TrainingLayer, adapters_loaded, training_layers
from tonetune.training.encode import plain_text, preference, supervised
from tonetune.training.half_batches import split_by_length, sum_in_two_threads
from tonetune.training.launch import world_size
from tonetune.training.live import live_curves
from tonetune.training.loss import answer_loss, supervised_tokens

PAD_TO_MULTIPLE = 8  # the length of batches: oneDNN compiles and caches a matrix product for each shape

RewardFunction = Callable[[Sequence[str], Sequence[str]], Iterable[float]]
"""From questions and their answers to rewards."""


class EpochSampler(LengthGroupedSampler):
    """Batches of similar length in an order that only seed and epoch decide, so a resumed epoch goes on in it."""

    def __init__(self, batch_size: int, dataset: Dataset, seed: int):
        super().__init__(batch_size, dataset=dataset, model_input_name="input_ids", generator=torch.Generator())
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        self.generator.manual_seed(self.seed + self.epoch)
        return super().__iter__()


class AnswerTrainer(SFTTrainer):
    """SFTTrainer with `answer_loss` as its loss, and without the entropy and accuracy of every token."""

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        # With several processes the wrapper's own forward pass has to run: it averages their gradients.
        if self.accelerator.num_processes > 1 or self.accelerator.device.type == "cuda":
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        base: Any = model.get_base_model() if isinstance(model, PeftModel) else model

        tokens = supervised_tokens(inputs) if num_items_in_batch is None else num_items_in_batch

        def loss(part: dict[str, Any]) -> torch.Tensor:
            with self.accelerator.autocast():  # as accelerate's wrapper does in the forward pass that is bypassed here
                return answer_loss(base, part, tokens)

        layers = training_layers(base.model)
        if not self._can_halve(base, layers, inputs):
            return loss(inputs)
        parts = split_by_length(inputs, PAD_TO_MULTIPLE)
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        with adapters_loaded(layers):
            return sum_in_two_threads([partial(loss, part) for part in parts], trainable)

    def _can_halve(self, base: Any, layers: Sequence[TrainingLayer], inputs: dict[str, Any]) -> bool:
        """Whether the batch may be computed as two halves in parallel: faster, and the same loss."""
        own_layers = len(layers) == len(base.model.layers) and base.dtype == torch.bfloat16
        uses_rng = self.args.neftune_noise_alpha or self.args.gradient_checkpointing
        return own_layers and not uses_rng and len(inputs["input_ids"]) > 1 and torch.get_num_threads() % 2 == 0

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> LengthGroupedSampler:
        """Batches of similar length for all processes together: a step has the examples that one process would have."""
        dataset = self.train_dataset if train_dataset is None else train_dataset
        return EpochSampler(self.args.train_batch_size * self.args.world_size, dataset, self.args.seed)


class PairTrainer(DPOTrainer):
    """DPOTrainer for preference pairs that are token ids already."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


@dataclass(frozen=True)
class Task:
    """One training: the model, the data, and where checkpoints go."""

    phase: str
    """`sft`, `self_supervised`, `dpo` or `grpo`."""
    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase
    train: Sequence[Example]
    validation: Sequence[Example]
    params: Params
    checkpoints: Path
    reward: RewardFunction | None = None
    """For `grpo`, which has no validation and keeps the last checkpoint."""


def make_trainer(task: Task) -> Trainer:
    """The trainer of the task's phase; where there is validation, it loads the best checkpoint at the end."""
    retain()
    build = {"sft": _sft, "self_supervised": _sft, "dpo": _dpo, "grpo": _grpo}[task.phase]
    trainable = [(parameter, parameter.data) for parameter in task.model.parameters() if parameter.requires_grad]
    trainer = build(task)
    # TRL casts the adapter of a quantised base to bfloat16, where small updates are lost: back to float32.
    for parameter, data in trainable:
        parameter.data = data
    name_bar(trainer, f"training ({task.phase})")
    return trainer


def _sft(task: Task) -> Trainer:
    settings, encode = task.params.train, supervised if task.phase == "sft" else plain_text
    train, validation = (
        [encode(task.tokenizer, row, settings.max_length) for row in rows] for rows in (task.train, task.validation)
    )
    return AnswerTrainer(
        model=task.model,
        args=SFTConfig(
            **_common_arguments(task),
            **_schedule(task.params, len(train), settings.epochs),
            max_length=settings.max_length,
            pad_to_multiple_of=PAD_TO_MULTIPLE,
            neftune_noise_alpha=settings.neftune,
            dataset_kwargs={"skip_prepare_dataset": True},  # the examples come as token ids with labels
        ),
        train_dataset=Dataset.from_list(train),
        # Sorted by length, the validation batches hold the least padding.
        eval_dataset=Dataset.from_list(sorted(validation, key=lambda example: len(example["input_ids"]))),
        processing_class=task.tokenizer,
        callbacks=_callbacks(task),
    )


def _dpo(task: Task) -> Trainer:
    """The persona's answer is chosen over the plain one, and an edited answer over what it was.

    The reference model is the base, without the adapter.
    """
    settings = task.params.train
    train, validation = (
        [preference(task.tokenizer, row, worse, settings.max_length) for row, worse in worse_answers(rows)]
        for rows in (task.train, task.validation)
    )
    if not (train and validation):
        raise UserError(
            f"train.objective: dpo needs pairs on both sides of the split, and there are {len(train)} to train on and "
            f"{len(validation)} to validate on: own texts have those of their edits alone where no plain answer is; use sft, or "
            "import them with --plain"
        )
    trainer = PairTrainer(
        model=task.model,
        args=DPOConfig(
            **_common_arguments(task),
            **_schedule(task.params, len(train), settings.dpo.epochs),
            beta=settings.dpo.beta,
            max_length=settings.max_length,
            disable_dropout=settings.lora.dropout == 0,  # TRL's default leaves the adapter's dropout without effect
        ),
        train_dataset=Dataset.from_list(train),
        eval_dataset=Dataset.from_list(validation),
        processing_class=task.tokenizer,
        callbacks=_callbacks(task),
    )
    task.model.delete_adapter("ref")  # TRL's copy of the initial adapter: without it the base is the reference
    return trainer


def worse_answers(rows: Sequence[Example]) -> list[tuple[Example, str]]:
    """Each row with what its answer is better than: the plain answer, where there is one to the question, and then all
    edited ones with what they were before. Two that are the same teach nothing.
    """
    pairs = [(row, row.plain) for row in rows if not row.unpaired]
    pairs += [(row, row.before) for row in rows if row.before]
    return [(row, worse) for row, worse in pairs if worse != row.answer]


def _grpo(task: Task) -> Trainer:
    """Several answers to each question are sampled and rewarded."""
    reward, settings = task.reward, task.params.train.grpo
    assert reward is not None, "grpo needs a reward function"

    # TRL logs the reward under the function's name.
    def joint(completions: Sequence[Any], question: Sequence[str], **_: Any) -> list[float | None]:
        answers = [completion[-1]["content"].strip() for completion in completions]
        return [float(value) for value in reward(question, answers)]

    arguments = _common_arguments(task) | {
        "max_steps": settings.steps,
        "per_device_train_batch_size": settings.questions * settings.generations,
        "warmup_steps": round(settings.steps * task.params.train.warmup),
    }
    rows = [{"prompt": [m.model_dump() for m in row.prompt], "question": row.question} for row in task.train]
    return GRPOTrainer(
        model=task.model,
        reward_funcs=joint,
        args=GRPOConfig(
            **arguments,
            num_generations=settings.generations,
            max_completion_length=settings.max_new_tokens,
            temperature=settings.temperature,
            save_strategy="steps",
            save_steps=max(1, settings.steps // 4),
            save_total_limit=2,
            logging_steps=1,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=task.tokenizer,
        callbacks=[SealCheckpoints(), *live_curves(task.params.train.live, task.phase)],
    )


def _callbacks(task: Task) -> list[TrainerCallback]:
    """Sealed checkpoints, early stopping on the validation loss, and the curves that are asked for."""
    settings = task.params.train
    stopping = EarlyStoppingCallback(early_stopping_patience=settings.patience)
    return [SealCheckpoints(), stopping, *live_curves(settings.live, task.phase)]


def _common_arguments(task: Task) -> dict[str, Any]:
    """The arguments that the trainers of all phases have in common."""
    params, dtype = task.params, compute_dtype(task.params.compute.dtype)
    return {
        "output_dir": str(task.checkpoints),
        "seed": params.training_seed,
        "data_seed": params.training_seed,
        "learning_rate": params.train.peak_learning_rate(task.phase),
        "lr_scheduler_type": "linear",
        "weight_decay": params.train.weight_decay,
        "optim": "adamw_torch_fused",
        "bf16": dtype == torch.bfloat16,
        "fp16": dtype == torch.float16,
        "gradient_checkpointing": params.train.gradient_checkpointing,
        "use_cpu": not torch.cuda.is_available(),
        "logging_nan_inf_filter": False,
        "ddp_find_unused_parameters": False,  # every trained parameter is used in every step
        "report_to": [],  # `live_curves` are callbacks, as report_to's DVCLive would write into the pipeline's dvc.yaml
    }


def _schedule(params: Params, examples: int, epochs: float) -> dict[str, Any]:
    """Arguments for steps, validations and checkpoints; the checkpoint with the lowest validation loss is kept."""
    settings = params.train
    if settings.batch_size % world_size():
        raise UserError(f"train.batch_size: {settings.batch_size} is not a multiple of the {world_size()} processes")
    steps_per_epoch = -(-examples // settings.batch_size)
    eval_steps = -(-steps_per_epoch // settings.evals_per_epoch)
    max_steps = max(1, round(steps_per_epoch * epochs))
    # A logged loss is the mean since the last log: with a log at every checkpoint, a resumed run logs the same losses.
    logging_steps = max(candidate for candidate in range(1, max(1, eval_steps // 4) + 1) if eval_steps % candidate == 0)
    per_device = settings.batch_size // world_size()
    return {
        "max_steps": max_steps,
        "per_device_train_batch_size": per_device,
        "per_device_eval_batch_size": per_device,
        "warmup_steps": round(max_steps * settings.warmup),
        "eval_strategy": "steps",
        "eval_steps": eval_steps,
        "save_strategy": "steps",
        "save_steps": eval_steps,
        "save_total_limit": 2,
        "logging_steps": logging_steps,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_loss",
        "restore_callback_states_from_checkpoint": True,  # the patience that early stopping has used up
    }
