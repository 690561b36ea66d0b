"""Fine-tune the base model on the training split; keep what validates best."""

from tonetune.core.startup import import_bitsandbytes, silence_libraries

silence_libraries()
import_bitsandbytes()

import math
import os
import sys
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import Trainer

from tonetune.adapter import save_tuned
from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.files import cache_dir, content_key, locked, write_json
from tonetune.core.params import load_params
from tonetune.core.persona import load_persona
from tonetune.core.pipeline import stage
from tonetune.core.rows import BASICS, read_examples
from tonetune.core.tables import write_table
from tonetune.core.tasks import ANSWER, training_rows
from tonetune.model.base import compute_dtype, load_base, load_tokenizer
from tonetune.model.card import trained_card
from tonetune.model.fingerprint import content_of
from tonetune.model.locate import unwatched
from tonetune.model.peft_format import save_peft
from tonetune.training.checkpoints import final_state, last_checkpoint, prune_checkpoints
from tonetune.training.launch import launch, rank, world_size
from tonetune.training.trainers import Task, make_trainer
from tonetune.training.tuning import model_for_training

TRAIN = "data/train.jsonl"
LIBRARIES = ("torch", "transformers", "peft", "trl", "bitsandbytes")  # whose numbers a checkpoint holds


def main() -> None:
    params = load_params()
    settings = params.train
    launch(settings, "stages.train_qlora")
    if rank() == 0 and (note := unwatched(params.base_model, params.base_files)):
        print(f"note: {note}", file=sys.stderr)
    train, validation = (read_examples(split) for split in ("train", "validation"))
    # What it is and what it declines are few examples, and must not be lost among the others.
    train = [row for row in train for _ in range(settings.basics_times if row.category == BASICS else 1)]

    train, validation = (training_rows(rows, settings.task, params.rewrite_prompt) for rows in (train, validation))

    # Checkpoints are keyed by all that shapes them: another rank never goes on from this one's. The params are not simply
    # those of dvc.yaml: where the base lies, and what only the card says, shape nothing.
    grpo = "grpo" in settings.phases
    listed = stage("train_qlora")
    data = [dep for dep in listed.deps if dep.startswith("data/")]
    rewards = [dep for dep in listed.deps if dep.startswith("models/") and grpo]
    rewarded_by = sorted(path for folder in rewards for path in Path(folder).rglob("*") if path.is_file())
    launched_by = [settings.launch_config] if settings.launch == "accelerate" else []
    key = content_key(
        [*data, *listed.code, *rewarded_by, *launched_by],
        settings.model_dump(),
        params.seed,
        params.rewrite_prompt if settings.task != ANSWER else None,
        params.base_model,
        content_of(params.base_model, "base_model"),
        [version(library) for library in LIBRARIES],
        params.chat_template_kwargs,
        str(compute_dtype(params.compute.dtype)),
        params.compute.attention,
        params.compute.threads,
        world_size(),
        os.uname().machine,
    )
    prune_checkpoints(cache_dir("checkpoints"))
    checkpoints = {phase: cache_dir("checkpoints") / f"{key}-{phase}" for phase in (*settings.phases, "untrained")}

    tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)
    model = model_for_training(params)
    initial = None
    if isinstance(model, PeftModel) and settings.lora.init == "pissa":
        initial = checkpoints["untrained"]
        if rank() == 0:  # which alone saves
            save_peft(model, initial, params.base_model)
    reward = None
    if grpo:
        from tonetune.scoring.scorer import Scorer, joint_reward

        reward = joint_reward(Scorer(params, load_base(params.base_model, params.compute), tokenizer))

    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    history: list[dict[str, Any]] = []
    metrics: dict[str, float] = {}
    for phase in settings.phases:
        trainer = make_trainer(Task(phase, model, tokenizer, train, validation, params, checkpoints[phase], reward))
        first = trainer.is_world_process_zero()
        # Another worker may train the same.
        with locked(checkpoints[phase].with_suffix(".lock")) if first else nullcontext():
            with trainer.args.main_process_first():
                resume = last_checkpoint(checkpoints[phase])
            if resume and first:
                print(f"going on from {resume.name}", flush=True)
            # One that had ended is not gone on with: the Trainer would take another step.
            ended = final_state(resume, settings.patience) if resume else None
            if ended:
                trainer.state = ended
                trainer._load_best_model()
            else:
                trainer.train(resume_from_checkpoint=str(resume) if resume else None)
        metrics |= summary(phase, trainer, prefix=f"{phase}_" if metrics else "")
        offset = history[-1]["step"] if history else 0
        history += [row | {"step": row["step"] + offset, "phase": phase} for row in trainer.state.log_history]
    metrics["trainable_parameters"] = trainable
    # Weights that FSDP has sharded are whole only where every process gives its part.
    whole = trainer.accelerator.get_state_dict(trainer.model) if trainer.is_fsdp_enabled else None

    if first:
        persona = load_persona(params.persona)
        save_tuned(
            model,
            "models/adapter",
            params.persona,
            persona.disclosure,
            params.base_model,
            settings.tuning,
            initial,
            whole,
            settings.task,
            trained_card(params, persona, isinstance(model, PeftModel), content_key([TRAIN])),
        )
        write_curves(history)
        write_json("metrics/train.json", metrics)


def summary(phase: str, trainer: Trainer, prefix: str) -> dict[str, float]:
    """What one phase has come to; a `UserError` if its loss is no longer a number."""
    history, steps = trainer.state.log_history, trainer.state.global_step
    if phase == "grpo":
        rewards = [row["reward"] for row in history if "reward" in row]
        last = rewards[-max(1, len(rewards) // 4) :]
        return {f"{prefix}reward": sum(last) / len(last), f"{prefix}steps": steps}
    losses = {row["step"]: row["eval_loss"] for row in history if "eval_loss" in row}
    if not all(map(math.isfinite, losses.values())):
        raise UserError(f"train.learning_rate: {trainer.args.learning_rate}: the loss is no longer a number; lower it")
    best = min(losses, key=lambda step: losses[step])
    return {f"{prefix}validation_loss": losses[best], f"{prefix}best_step": best, f"{prefix}steps": steps}


def write_curves(history: list[dict[str, Any]]) -> None:
    """metrics/loss.csv: training and validation loss by step; for grpo the reward."""
    curves = []
    for row in history:
        for name, split in (("loss", "train"), ("eval_loss", "validation"), ("reward", "reward")):
            if name in row and not (row["phase"] == "grpo" and name == "loss"):
                split = split if row["phase"] in ("sft", "self_supervised") else f"{row['phase']}, {split}"
                curves.append([row["step"], split, round(row[name], 6)])
    write_table("metrics/loss.csv", ["step", "split", "loss"], curves)


if __name__ == "__main__":
    run(main)
