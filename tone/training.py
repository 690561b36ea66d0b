"""The tuned model: base + LoRA, trained by TRL's SFTTrainer with the work a CPU can do without left out."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import EarlyStoppingCallback, PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback
from trl import SFTConfig, SFTTrainer

from tone.attention import GROUPED
from tone.base import load_base
from tone.errors import UserError
from tone.files import is_whole, read_json, seal
from tone.fused_lora import fuse
from tone.loss import answer_loss
from tone.params import LoRA, Params, Train


def load_for_training(params: Params) -> PreTrainedModel:
    """The base as `train.quantization` and `train.dequantize` say, with the attention that trains fastest on the device.

    `dequantize: once` turns the 4-bit weights back to matrices when they are loaded and not in every pass: the numbers
    are those of the 4-bit base, the speed and the memory those of an unquantised one.
    """
    settings, cpu = params.train, not torch.cuda.is_available()
    model = load_base(params.base_model, params.compute, settings.quantization, attention=GROUPED if cpu else "sdpa")
    if settings.quantization == "nf4" and (settings.dequantize == "once" or (settings.dequantize == "auto" and cpu)):
        model = model.dequantize()
        model.is_loaded_in_4bit = False
    return model


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
    adapted = get_peft_model(model, config)
    if model.device.type == "cpu":
        fuse(adapted)
    return adapted


class ToneTrainer(SFTTrainer):
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
        optim="adamw_torch_fused",
        bf16=dtype == torch.bfloat16,
        fp16=dtype == torch.float16,
        gradient_checkpointing=False,
        use_cpu=not torch.cuda.is_available(),
        report_to=[],
    )
    # Sorted by length, the validation batches hold the least padding.
    by_length = sorted(validation, key=lambda example: len(example["input_ids"]))
    trained = [(p, p.data.float()) for p in model.parameters() if p.requires_grad]
    trainer = ToneTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(list(train)),
        eval_dataset=Dataset.from_list(by_length),
        processing_class=tokenizer,
        callbacks=[SealCheckpoints(), EarlyStoppingCallback(early_stopping_patience=settings.patience)],
    )
    # TRL rounds the adapter of a quantised base to bfloat16, where small updates are lost. It trains in float32, and the
    # layers use it in the dtype of the base.
    for parameter, weights in trained:
        parameter.data = weights
    return trainer
