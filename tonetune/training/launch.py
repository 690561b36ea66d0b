"""Data-parallel training under torchrun or accelerate, which start the stage again in each process."""

import os
import shutil
import sys
from pathlib import Path

from tonetune.core.errors import UserError
from tonetune.core.params import Train

# An environment variable that a launcher's processes inherit: they must not start another launcher.
LAUNCHED = "TONE_LAUNCHED"


def world_size() -> int:
    """The number of processes that train together."""
    return int(os.environ.get("WORLD_SIZE", 1))


def rank() -> int:
    """The number of this process among them; 0 is the one that writes."""
    return int(os.environ.get("RANK", 0))


def launch(settings: Train, module: str) -> None:
    """Replace this process by the launcher that `train.launch` names, which runs `module`; return if there is none.

    A `UserError` if the launcher is not installed, has no config file, or has started a single process.
    """
    if settings.launch == "none" or "WORLD_SIZE" in os.environ:
        return
    if LAUNCHED in os.environ:
        raise UserError(
            f"train.launch: {settings.launch} started one process that knows of no others; set none, or for accelerate a "
            "train.launch_config with more (distributed_type MULTI_CPU needs mpirun; MULTI_GPU does without, on a CPU too)"
        )
    if settings.launch == "torchrun":
        command = ["torchrun", "--standalone", f"--nproc_per_node={settings.processes}", "-m", module]
    else:
        if not Path(settings.launch_config).is_file():
            raise UserError(f"train.launch_config: no file {settings.launch_config!r}; `accelerate config` writes one")
        command = ["accelerate", "launch", "--config_file", settings.launch_config, "-m", module]
    installed = Path(sys.executable).with_name(command[0])
    program = str(installed) if installed.is_file() else shutil.which(command[0])
    if program is None:
        raise UserError(f"train.launch: {settings.launch} is not installed beside {sys.executable}")
    os.environ[LAUNCHED] = "1"
    sys.stdout.flush()
    os.execv(program, [program, *command[1:]])
