"""Fine-tune the base model on the training split; keep the adapter with the lowest validation loss."""

from tone.quiet import silence_libraries

silence_libraries()

import csv
import math
import os

from tone.adapter import save_adapter
from tone.base import compute_dtype, load_tokenizer
from tone.chat_format import supervised
from tone.errors import UserError, run
from tone.files import cache_dir, content_key, locked, replacing, write_json
from tone.params import load_params
from tone.persona import load_persona
from tone.rows import read_examples
from tone.training import add_adapter, last_checkpoint, load_for_training, make_trainer, prune_checkpoints

INPUTS = ["data/train.jsonl", "data/validation.jsonl"]
CODE = [
    "stages/train_qlora.py",
    "tone/attention.py",
    "tone/base.py",
    "tone/chat_format.py",
    "tone/fused_lora.py",
    "tone/loss.py",
    "tone/training.py",
]


def main() -> None:
    params = load_params()
    settings = params.train
    train, validation = (read_examples(side) for side in ("train", "validation"))

    # The base with a fresh adapter, and the examples as token ids.
    tokenizer = load_tokenizer(params.base_model)
    dtype = compute_dtype(params.compute.dtype)
    base = load_for_training(params)
    model = add_adapter(base, settings.lora, params.seed)
    encoded = [[supervised(tokenizer, row, settings.max_length) for row in rows] for rows in (train, validation)]

    # Checkpoints are keyed by all that shapes them: another rank never goes on from this one's.
    key = content_key(
        INPUTS + CODE,
        settings.model_dump(),
        params.seed,
        params.base_model,
        str(dtype),
        params.compute.attention,
        os.uname().machine,
    )
    prune_checkpoints(cache_dir("checkpoints"))
    checkpoints = cache_dir("checkpoints") / key
    trainer = make_trainer(model, tokenizer, *encoded, settings, params.seed, checkpoints, dtype)
    with locked(checkpoints.with_suffix(".lock")):  # another worker may train the same
        resume = last_checkpoint(checkpoints)
        if resume:
            print(f"going on from {resume.name}", flush=True)
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)

    history = trainer.state.log_history
    losses = {row["step"]: row["eval_loss"] for row in history if "eval_loss" in row}
    if not all(map(math.isfinite, losses.values())):
        raise UserError(f"train.learning_rate: {settings.learning_rate}: the loss is no longer a number; lower it")
    best = min(losses, key=lambda step: losses[step])

    save_adapter(model, "models/adapter", params.persona, load_persona(params.persona).disclosure, params.base_model)
    with replacing("metrics/loss.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", "split", "loss"])
        for row in history:
            for name, split in (("loss", "train"), ("eval_loss", "validation")):
                if name in row:
                    writer.writerow([row["step"], split, round(row[name], 6)])
    write_json(
        "metrics/train.json",
        {
            "validation_loss": losses[best],
            "best_step": best,
            "steps": trainer.state.global_step,
            "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        },
    )


if __name__ == "__main__":
    run(main)
