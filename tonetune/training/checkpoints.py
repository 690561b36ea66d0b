"""Training checkpoints: which are complete, which to resume from, which to delete."""

import shutil
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerState, TrainingArguments

from tonetune.core.files import is_whole, read_json, seal


class SealCheckpoints(TrainerCallback):
    """Seals each checkpoint once it is complete: one that a kill cut short, or damaged later, is not resumed from."""

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: Any, **_: Any) -> None:
        if state.best_model_checkpoint:
            state.best_model_checkpoint = str(_beside(Path(str(args.output_dir)), state.best_model_checkpoint))

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        if torch.distributed.is_initialized():
            torch.distributed.barrier()  # each process has written its part
        if state.is_world_process_zero:
            seal(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}")


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint under `folder` to resume from; newer ones, incomplete or damaged, are removed."""
    for path in sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]), reverse=True):
        if is_whole(path):
            # Training ends by loading the best checkpoint, which may be an earlier one and has to be there then.
            best = read_json(path / "trainer_state.json")["best_model_checkpoint"]
            if best is None or is_whole(_beside(folder, best)):
                return path
        print(f"{path}: damaged or cut short; left out", flush=True)
        shutil.rmtree(path)
    return None


def _beside(folder: Path, checkpoint: str) -> Path:
    """The checkpoint of that name in `folder`: the path in a state is of where the repository lay when it was written."""
    return folder / Path(checkpoint).name


def final_state(checkpoint: Path, patience: int) -> TrainerState | None:
    """The state of a training that `checkpoint` ends, or None if there is more to train.

    Training ends at `max_steps`, or once the validation loss has not fallen for `patience` evaluations.
    """
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    early_stopping = state.stateful_callbacks.get("EarlyStoppingCallback", {}).get("attributes", {})
    used_patience = early_stopping.get("early_stopping_patience_counter", 0)
    if state.global_step < state.max_steps and used_patience < patience:
        return None
    best = state.best_model_checkpoint or str(checkpoint)  # without validation, the last
    state.best_model_checkpoint = str(_beside(checkpoint.parent, best))
    return state


def prune_checkpoints(folder: Path, days: float = 7) -> None:
    """Remove checkpoints, of whatever params, that nothing has written to for `days` days."""
    for run in folder.iterdir():
        if run.is_dir() and time.time() - run.stat().st_mtime > days * 86400:
            shutil.rmtree(run, ignore_errors=True)
