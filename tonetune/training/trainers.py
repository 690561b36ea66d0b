"""The trainer for an objective: TRL's, with the examples as token ids and the work that nobody reads left out."""

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
from tonetune.core.params import Params, Train
from tonetune.core.rows import Example
from tonetune.model.base import compute_dtype
from tonetune.model.chat_template import answer_ids, prompt_ids
from tonetune.model.kernels.malloc import retain
from tonetune.model.progress import name_bar
from tonetune.training.checkpoints import SealCheckpoints
from tonetune.training.decoder_layer import TrainingLayer, training_layers, weights_loaded
from tonetune.training.encode import plain_text, supervised
from tonetune.training.half_batches import split_by_length, sum_in_two_threads
from tonetune.training.launch import processes
from tonetune.training.loss import answer_loss, supervised_tokens

MULTIPLE = 8  # lengths that batches are padded to: oneDNN compiles the matrix products of each shape, and keeps them

Rewards = Callable[[Sequence[str], Sequence[str]], Iterable[float]]


class EpochSampler(LengthGroupedSampler):
    """Batches of like length in an order of the seed and the epoch alone, so that a resumed epoch goes on in its own."""

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
    """SFTTrainer with the loss of `answer_loss`, and without the entropy and accuracy of every token."""

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        # Several processes average their gradients in the wrapper's forward pass; a GPU takes TRL's own loss.
        if self.accelerator.num_processes > 1 or self.accelerator.device.type == "cuda":
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        base: Any = model.get_base_model() if isinstance(model, PeftModel) else model

        tokens = supervised_tokens(inputs) if num_items_in_batch is None else num_items_in_batch

        def loss(part: dict[str, Any]) -> torch.Tensor:
            with self.accelerator.autocast():  # which the wrapper's forward pass would do
                return answer_loss(base, part, tokens)

        layers = training_layers(base.model)
        if not self._divisible(base, layers, inputs):
            return loss(inputs)
        parts = split_by_length(inputs, MULTIPLE)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        with weights_loaded(layers):
            return sum_in_two_threads([partial(loss, part) for part in parts], trained)

    def _divisible(self, base: Any, layers: Sequence[TrainingLayer], inputs: dict[str, Any]) -> bool:
        """Whether two halves of the batch can be computed side by side: the same sum, sooner."""
        fused = len(layers) == len(base.model.layers) and base.dtype == torch.bfloat16
        drawn = self.args.neftune_noise_alpha or self.args.gradient_checkpointing
        return fused and not drawn and len(inputs["input_ids"]) > 1 and torch.get_num_threads() % 2 == 0

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> LengthGroupedSampler:
        """Batches of like length, drawn for all processes together: each step then sees what one process would see."""
        dataset = self.train_dataset if train_dataset is None else train_dataset
        return EpochSampler(self.args.train_batch_size * self.args.world_size, dataset, self.args.seed)


class PairTrainer(DPOTrainer):
    """DPOTrainer for pairs that come as token ids."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


@dataclass(frozen=True)
class Task:
    """What is to be trained, on what, and where its checkpoints go."""

    phase: str
    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase
    train: Sequence[Example]
    validation: Sequence[Example]
    params: Params
    checkpoints: Path
    rewards: Rewards | None = None
    """Scores answers to questions, for `grpo`, which has no validation and keeps the last checkpoint."""


def make_trainer(task: Task) -> Trainer:
    """The trainer of one objective; the best checkpoint is loaded at the end."""
    retain()
    build = {"sft": _supervised, "self_supervised": _supervised, "dpo": _preferred, "grpo": _rewarded}[task.phase]
    trained = [(parameter, parameter.data) for parameter in task.model.parameters() if parameter.requires_grad]
    trainer = build(task)
    # TRL rounds the adapter of a quantised base to bfloat16, where small updates are lost.
    for parameter, weights in trained:
        parameter.data = weights
    name_bar(trainer, f"training ({task.phase})")
    return trainer


def _supervised(task: Task) -> Trainer:
    settings, encode = task.params.train, supervised if task.phase == "sft" else plain_text
    train, validation = (
        [encode(task.tokenizer, row, settings.max_length) for row in rows] for rows in (task.train, task.validation)
    )
    return AnswerTrainer(
        model=task.model,
        args=SFTConfig(
            **_arguments(task),
            **_validated(task.params, len(train), settings.epochs),
            max_length=settings.max_length,
            pad_to_multiple_of=MULTIPLE,
            neftune_noise_alpha=settings.neftune,
            dataset_kwargs={"skip_prepare_dataset": True},  # the examples come as token ids with labels
        ),
        train_dataset=Dataset.from_list(train),
        # Sorted by length, the validation batches hold the least padding.
        eval_dataset=Dataset.from_list(sorted(validation, key=lambda example: len(example["input_ids"]))),
        processing_class=task.tokenizer,
        callbacks=_stopping(settings),
    )


def _preferred(task: Task) -> Trainer:
    """The persona's answer over the plain one to the same question; the reference is the model without its adapter."""
    settings, tokenizer = task.params.train, task.tokenizer

    def pair(row: Example) -> dict[str, list[int]]:
        answers = {"chosen_ids": answer_ids(tokenizer, row.answer), "rejected_ids": answer_ids(tokenizer, row.plain)}
        return {"prompt_ids": prompt_ids(tokenizer, row.prompt), **answers}

    trainer = PairTrainer(
        model=task.model,
        args=DPOConfig(
            **_arguments(task),
            **_validated(task.params, len(task.train), settings.dpo.epochs),
            beta=settings.dpo.beta,
            max_length=settings.max_length,
        ),
        train_dataset=Dataset.from_list([pair(row) for row in task.train]),
        eval_dataset=Dataset.from_list([pair(row) for row in task.validation]),
        processing_class=tokenizer,
        callbacks=_stopping(settings),
    )
    task.model.delete_adapter("ref")  # TRL's copy of the adapter as it starts; without it the reference is the base
    return trainer


def _rewarded(task: Task) -> Trainer:
    """Several answers to each question, the better ones made likelier."""
    rewards, settings = task.rewards, task.params.train.grpo
    assert rewards is not None, "grpo needs something that scores answers"

    def joint(completions: Sequence[Any], question: Sequence[str], **_: Any) -> list[float | None]:
        answers = [completion[-1]["content"].strip() for completion in completions]
        return [float(reward) for reward in rewards(question, answers)]

    arguments = _arguments(task) | {
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
        callbacks=[SealCheckpoints()],
    )


def _stopping(settings: Train) -> list[TrainerCallback]:
    """Sealed checkpoints, and an end when the validation loss no longer falls."""
    return [SealCheckpoints(), EarlyStoppingCallback(early_stopping_patience=settings.patience)]


def _arguments(task: Task) -> dict[str, Any]:
    """What all of TRL's trainers are told."""
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
        "ddp_find_unused_parameters": False,  # all that trains is used in every step; looking for what is not would cost time
        "report_to": [],
    }


def _validated(params: Params, examples: int, epochs: float) -> dict[str, Any]:
    """Steps, validations and checkpoints for so many examples; the checkpoint with the lowest validation loss is kept."""
    settings = params.train
    if settings.batch_size % processes():
        raise UserError(f"train.batch_size: {settings.batch_size} is not a multiple of the {processes()} processes")
    steps_per_epoch = -(-examples // settings.batch_size)
    interval = -(-steps_per_epoch // settings.evals_per_epoch)
    total = max(1, round(steps_per_epoch * epochs))
    # A logged loss is a mean since the last log: logs must not straddle a checkpoint, or going on from it tells another.
    logged = max(steps for steps in range(1, max(1, interval // 4) + 1) if interval % steps == 0)
    share = settings.batch_size // processes()
    return {
        "max_steps": total,
        "per_device_train_batch_size": share,
        "per_device_eval_batch_size": share,
        "warmup_steps": round(total * settings.warmup),
        "eval_strategy": "steps",
        "eval_steps": interval,
        "save_strategy": "steps",
        "save_steps": interval,
        "save_total_limit": 2,
        "logging_steps": logged,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_loss",
        "restore_callback_states_from_checkpoint": True,  # how long the loss has not fallen
    }
