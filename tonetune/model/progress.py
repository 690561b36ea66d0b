"""The progress bar of transformers' trainers with a name, and with the last losses on it, not on lines of their own."""

from typing import Any

from transformers import PrinterCallback, ProgressCallback, Trainer

LOGGED = ("loss", "eval_loss", "reward")  # what of the trainer's logs is on the bar


class NamedProgressBar(ProgressCallback):
    """transformers' bar (steps done, rate, time left) with `name` before it and the last logged values after it."""

    def __init__(self, name: str):
        super().__init__()
        self.name = name
        self.latest: dict[str, str] = {}

    def on_train_begin(self, *arguments: Any, **kwargs: Any) -> None:
        super().on_train_begin(*arguments, **kwargs)
        if self.training_bar is not None:
            self.training_bar.set_description(self.name)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        self.latest |= {key: f"{logs[key]:.3f}" for key in LOGGED if key in (logs or {})}
        if self.training_bar is not None:
            self.training_bar.set_postfix(self.latest, refresh=False)


def name_bar(trainer: Trainer, name: str) -> None:
    """Replace the trainer's bar, or the lines that it prints where bars are off, by one that is called `name`."""
    for callback in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(callback)
    trainer.add_callback(NamedProgressBar(name))
