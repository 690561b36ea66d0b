"""The trainer for an objective: TRL's, with the examples as token ids and the work that nobody reads left out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import EarlyStoppingCallback, PreTrainedModel, PreTrainedTokenizerBase, Trainer
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from tone.base import compute_dtype
from tone.chat_format import answer_ids, plain_text, prompt_ids, supervised
from tone.checkpoints import SealCheckpoints
from tone.errors import UserError
from tone.launch import processes
from tone.loss import answer_loss
from tone.params import Params
from tone.progress import name_bar
from tone.rows import Example

Rewards = Callable[[Sequence[str], Sequence[str]], Sequence[float]]


class AnswerTrainer(SFTTrainer):
    """SFTTrainer with the loss of `answer_loss`, and without the entropy and accuracy of every token."""

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        if self.accelerator.num_processes > 1:  # the gradients are averaged by the wrapper's forward pass
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        base = model.get_base_model() if isinstance(model, PeftModel) else model
        with self.accelerator.autocast():  # which the wrapper's forward pass would do
            return answer_loss(base, inputs, num_items_in_batch)


class PairTrainer(DPOTrainer):
    """DPOTrainer for pairs that come as token ids."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


def make_trainer(
    phase: str,
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[Example],
    validation: Sequence[Example],
    params: Params,
    checkpoints: Path,
    rewards: Rewards | None = None,
) -> Trainer:
    """The trainer of one objective; checkpoints go to `checkpoints`, the best one is loaded at the end.

    `rewards` scores answers to questions, for `grpo`, which has no validation and keeps the last.
    """
    build = {"sft": _supervised, "self_supervised": _supervised, "dpo": _preferred, "grpo": _rewarded}[phase]
    trained = [(parameter, parameter.data) for parameter in model.parameters() if parameter.requires_grad]
    trainer = build(phase, model, tokenizer, train, validation, params, checkpoints, rewards)
    # TRL rounds the adapter of a quantised base to bfloat16, where small updates are lost.
    for parameter, weights in trained:
        parameter.data = weights
    name_bar(trainer, f"training ({phase})")
    return trainer


def _supervised(
    phase: str,
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[Example],
    validation: Sequence[Example],
    params: Params,
    checkpoints: Path,
    _: Rewards | None,
) -> Trainer:
    encode = supervised if phase == "sft" else plain_text
    encoded = [[encode(tokenizer, row, params.train.max_length) for row in rows] for rows in (train, validation)]
    return AnswerTrainer(
        model=model,
        args=SFTConfig(
            **_arguments(phase, params, checkpoints),
            **_validated(params, len(train), params.train.epochs),
            train_sampling_strategy="group_by_length",
            max_length=params.train.max_length,
            neftune_noise_alpha=params.train.neftune,
            dataset_kwargs={"skip_prepare_dataset": True},  # the examples come as token ids with labels
        ),
        train_dataset=Dataset.from_list(encoded[0]),
        # Sorted by length, the validation batches hold the least padding.
        eval_dataset=Dataset.from_list(sorted(encoded[1], key=lambda example: len(example["input_ids"]))),
        processing_class=tokenizer,
        callbacks=[SealCheckpoints(), EarlyStoppingCallback(early_stopping_patience=params.train.patience)],
    )


def _preferred(
    phase: str,
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[Example],
    validation: Sequence[Example],
    params: Params,
    checkpoints: Path,
    _: Rewards | None,
) -> Trainer:
    """The persona's answer over the plain one to the same question; the reference is the model without its adapter."""

    def pair(row: Example) -> dict[str, list[int]]:
        answers = {"chosen_ids": answer_ids(tokenizer, row.answer), "rejected_ids": answer_ids(tokenizer, row.plain)}
        return {"prompt_ids": prompt_ids(tokenizer, row.prompt), **answers}

    trainer = PairTrainer(
        model=model,
        args=DPOConfig(
            **_arguments(phase, params, checkpoints),
            **_validated(params, len(train), params.train.dpo.epochs),
            beta=params.train.dpo.beta,
            max_length=params.train.max_length,
        ),
        train_dataset=Dataset.from_list([pair(row) for row in train]),
        eval_dataset=Dataset.from_list([pair(row) for row in validation]),
        processing_class=tokenizer,
        callbacks=[SealCheckpoints(), EarlyStoppingCallback(early_stopping_patience=params.train.patience)],
    )
    model.delete_adapter("ref")  # TRL's copy of the adapter as it starts; without it the reference is the base
    return trainer


def _rewarded(
    phase: str,
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[Example],
    _: Sequence[Example],
    params: Params,
    checkpoints: Path,
    rewards: Rewards | None,
) -> Trainer:
    """Several answers to each question, the better ones made likelier."""
    assert rewards is not None, "grpo needs something that scores answers"
    settings = params.train.grpo

    def joint(completions: Sequence[Any], question: Sequence[str], **_: Any) -> list[float]:
        answers = [completion[-1]["content"].strip() for completion in completions]
        return [float(reward) for reward in rewards(question, answers)]

    arguments = _arguments(phase, params, checkpoints) | {
        "max_steps": settings.steps,
        "per_device_train_batch_size": settings.questions * settings.generations,
        "warmup_steps": round(settings.steps * params.train.warmup),
    }
    rows = [{"prompt": [m.model_dump() for m in row.prompt], "question": row.question} for row in train]
    return GRPOTrainer(
        model=model,
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
        processing_class=tokenizer,
        callbacks=[SealCheckpoints()],
    )


def _arguments(phase: str, params: Params, checkpoints: Path) -> dict[str, Any]:
    """What all of TRL's trainers are told."""
    dtype = compute_dtype(params.compute.dtype)
    return {
        "output_dir": str(checkpoints),
        "seed": params.seed,
        "data_seed": params.seed,
        "learning_rate": params.train.peak_learning_rate(phase),
        "lr_scheduler_type": "linear",
        "weight_decay": params.train.weight_decay,
        "optim": "adamw_torch_fused",
        "bf16": dtype == torch.bfloat16,
        "fp16": dtype == torch.float16,
        "gradient_checkpointing": params.train.gradient_checkpointing,
        "use_cpu": not torch.cuda.is_available(),
        "logging_nan_inf_filter": False,
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
    }
