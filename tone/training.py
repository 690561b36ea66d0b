"""The tuned model: base + LoRA, trained by TRL's SFTTrainer with the work a CPU can do without left out."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import EarlyStoppingCallback, PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback
from trl import SFTConfig, SFTTrainer

from tone.chat_format import IGNORED
from tone.errors import UserError
from tone.files import is_whole, read_json, seal
from tone.params import LoRA, Train


def add_adapter(model: PreTrainedModel, settings: LoRA, seed: int) -> PeftModel:
    """Wrap the base in a fresh LoRA adapter, initialised from `seed`; only the adapter's weights train."""
    targets = settings.target_modules
    if targets != "all-linear":
        names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
        unknown = [target for target in targets if target not in names]
        if unknown:
            linear = sorted({n.rpartition(".")[2] for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)})
            raise UserError(
                f"train.lora.target_modules: {unknown[0]!r} is no layer of this model; its linear layers: {linear}"
            )
    torch.manual_seed(seed)
    config = LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def answer_loss(
    model: PreTrainedModel, inputs: dict[str, torch.Tensor], tokens: torch.Tensor | int | None
) -> torch.Tensor:
    """Cross-entropy of the supervised tokens, summed and divided by `tokens` (default: their number).

    `inputs` holds `input_ids`, `attention_mask` and `labels`, each (batch, length). Logits are computed for the
    positions that predict a supervised token only: with SmolLM2 the head is a fifth of a forward pass's work.
    """
    hidden = model.model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
    labels = inputs["labels"][:, 1:]
    predicting = labels != IGNORED
    logits = model.lm_head(hidden.last_hidden_state[:, :-1][predicting])
    total = cross_entropy(logits.float(), labels[predicting], reduction="sum")
    return total / (predicting.sum() if tokens is None else tokens)


class ToneTrainer(SFTTrainer):
    """SFTTrainer with the loss of `answer_loss`, and without the entropy and accuracy of every token."""

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        unwrapped = self.accelerator.unwrap_model(model)
        base = unwrapped.get_base_model() if isinstance(unwrapped, PeftModel) else unwrapped
        mode = "train" if model.training else "eval"
        if mode == "train":
            self._total_train_tokens += int(inputs["attention_mask"].sum())
        self._metrics[mode]["num_tokens"] = [self._total_train_tokens]
        return answer_loss(base, inputs, num_items_in_batch)


class SealCheckpoints(TrainerCallback):
    """Seals a checkpoint once it is whole, so that one cut short by a kill, or damaged later, is not resumed from."""

    def on_save(self, args: SFTConfig, state: Any, control: Any, **_: Any) -> None:
        seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint under `folder` that training can go on from; newer ones that are not whole are removed."""
    for path in sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]), reverse=True):
        if is_whole(path):
            # Training ends by loading the best checkpoint, which may be an earlier one.
            best = read_json(path / "trainer_state.json")["best_model_checkpoint"]
            if best is None or is_whole(Path(best)):
                return path
        print(f"{path}: damaged or cut short; left out", flush=True)
        shutil.rmtree(path)
    return None


def prune_checkpoints(folder: Path, days: float = 7) -> None:
    """Remove the checkpoints of other params that nothing has touched for `days` days."""
    for run in folder.iterdir():
        if run.is_dir() and time.time() - run.stat().st_mtime > days * 86400:
            shutil.rmtree(run, ignore_errors=True)


def make_trainer(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[dict[str, list[int]]],
    validation: Sequence[dict[str, list[int]]],
    settings: Train,
    seed: int,
    checkpoints: Path,
    dtype: torch.dtype,
) -> ToneTrainer:
    """The trainer for encoded examples; checkpoints go to `checkpoints`, the best one is loaded at the end."""
    steps_per_epoch = -(-len(train) // settings.batch_size)
    interval = -(-steps_per_epoch // settings.evals_per_epoch)
    total = max(1, round(steps_per_epoch * settings.epochs))
    arguments = SFTConfig(
        output_dir=str(checkpoints),
        seed=seed,
        data_seed=seed,
        max_steps=total,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        warmup_steps=round(total * settings.warmup),
        weight_decay=settings.weight_decay,
        lr_scheduler_type="linear",
        train_sampling_strategy="group_by_length",
        eval_strategy="steps",
        eval_steps=interval,
        save_strategy="steps",
        save_steps=interval,
        save_total_limit=2,
        logging_steps=max(1, interval // 4),
        logging_nan_inf_filter=False,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        max_length=settings.max_length,
        dataset_kwargs={"skip_prepare_dataset": True},  # the examples come as token ids with labels
        bf16=dtype == torch.bfloat16,
        fp16=dtype == torch.float16,
        gradient_checkpointing=False,
        use_cpu=not torch.cuda.is_available(),
        report_to=[],
    )
    # Sorted by length, the validation batches hold the least padding.
    by_length = sorted(validation, key=lambda example: len(example["input_ids"]))
    trainer = ToneTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(list(train)),
        eval_dataset=Dataset.from_list(by_length),
        processing_class=tokenizer,
        callbacks=[SealCheckpoints(), EarlyStoppingCallback(early_stopping_patience=settings.patience)],
    )
    # TRL casts the adapter of a quantised base to bfloat16, which a CPU that computes in float32 emulates: three times
    # the time of a step.
    for parameter in model.parameters():
        if parameter.requires_grad and dtype == torch.float32:
            parameter.data = parameter.data.float()
    return trainer
