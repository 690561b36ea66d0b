"""The progress bar of transformers' trainers, with a name, and with the last losses on it instead of lines of their own."""

from typing import Any

from transformers import PrinterCallback, ProgressCallback, Trainer

SHOWN = ("loss", "eval_loss", "reward")


class Bar(ProgressCallback):
    """Steps done, rate and time left."""

    def __init__(self, name: str):
        super().__init__()
        self.name = name
        self.last: dict[str, str] = {}

    def on_train_begin(self, *arguments: Any, **kwargs: Any) -> None:
        super().on_train_begin(*arguments, **kwargs)
        if self.training_bar is not None:
            self.training_bar.set_description(self.name)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        self.last |= {key: f"{logs[key]:.3f}" for key in SHOWN if key in (logs or {})}
        if self.training_bar is not None:
            self.training_bar.set_postfix(self.last, refresh=False)


def name_bar(trainer: Trainer, name: str) -> None:
    """Give the trainer this bar in place of its own, or of the lines that it prints where bars are off."""
    for callback in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(callback)
    trainer.add_callback(Bar(name))
