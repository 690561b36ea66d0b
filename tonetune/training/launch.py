"""Data-parallel training under torchrun or accelerate, which start the stage again in each process."""

import os
import shutil
import sys
from pathlib import Path

from tonetune.core.errors import UserError
from tonetune.core.params import Train

# An environment variable that a launcher's processes inherit: they must not start another launcher.
LAUNCHED = "TONE_LAUNCHED"
# What a launcher tells each of its processes; torch finds the others by it, and waits for them.
ENVIRONMENT = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def world_size() -> int:
    """The number of processes that train together."""
    return int(os.environ.get("WORLD_SIZE", 1))


def rank() -> int:
    """The number of this process among them; 0 is the one that writes."""
    return int(os.environ.get("RANK", 0))


def launch(settings: Train, module: str) -> None:
    """Replace this process by the launcher that `train.launch` names, which runs `module`; return if there is none.

    In a process that a launcher has started, by this or by hand, there is nothing to do. A `UserError` if the launcher is
    not installed, has no config file, or has started a single process, and if WORLD_SIZE is set but no launcher set it.
    """
    if "WORLD_SIZE" in os.environ:
        _check_launched(settings)
        return
    if settings.launch == "none":
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


def _check_launched(settings: Train) -> None:
    """A `UserError` if the environment is not one that a launcher makes, or the objective is not one that is split."""
    missing = [name for name in ENVIRONMENT if not os.environ.get(name)]
    numbers = {name: os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK")}
    way_out = "`unset WORLD_SIZE`, or let train.launch: torchrun start the processes"
    if missing:
        raise UserError(
            f"WORLD_SIZE={numbers['WORLD_SIZE']} is set in the environment, but not {', '.join(missing)}, as a launcher sets "
            f"them; {way_out}"
        )
    if not all(value.isdecimal() for value in numbers.values()) or rank() >= world_size():
        given = ", ".join(f"{name}={value}" for name, value in numbers.items())
        raise UserError(f"{given} in the environment are not the numbers of a process among others; {way_out}")
    if world_size() > 1 and settings.objective not in ("sft", "self_supervised"):
        raise UserError(
            f"train.objective: {settings.objective} in {world_size()} processes (WORLD_SIZE): only sft and self_supervised "
            f"are split; {way_out.partition(',')[0]}"
        )
