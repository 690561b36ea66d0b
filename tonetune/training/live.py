"""Loss and reward while it trains, for those who watch: DVCLive for the editor's DVC extension, TensorBoard."""

import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path

from transformers import TrainerCallback
from transformers.integrations import DVCLiveCallback, TensorBoardCallback

from tonetune.core.errors import UserError
from tonetune.training.launch import rank

FOLDER = Path("reports/live")


def live_curves(kinds: Sequence[str], phase: str) -> list[TrainerCallback]:
    """The callbacks that write `reports/live/<kind>/<phase>`, anew; a `UserError` if a package is missing.

    What they write is no output of the stage, and nothing depends on it.
    """
    for kind in kinds:
        if importlib.util.find_spec(kind) is None:
            raise UserError(f"train.live: {kind} is not installed; `.venv/bin/pip install '.[live]'` brings it")
    if rank() != 0:
        return []
    found: list[TrainerCallback] = []
    for kind in dict.fromkeys(kinds):
        folder = FOLDER / kind / phase
        shutil.rmtree(folder, ignore_errors=True)
        found.append(_dvclive(folder) if kind == "dvclive" else _tensorboard(folder))
    return found


def _dvclive(folder: Path) -> TrainerCallback:
    from dvclive import Live

    # With a dvc.yaml of its own, as the default is to write into the pipeline's.
    return DVCLiveCallback(Live(str(folder), dvcyaml=str(folder / "dvc.yaml"), save_dvc_exp=False))


def _tensorboard(folder: Path) -> TrainerCallback:
    from torch.utils.tensorboard import SummaryWriter

    return TensorBoardCallback(SummaryWriter(str(folder)))
