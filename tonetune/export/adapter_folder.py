"""The adapter in peft's format, with a base that other tools can find."""

import shutil
from pathlib import Path

from tonetune.core.errors import UserError
from tonetune.core.files import read_json, write_json
from tonetune.export.provenance import Provenance

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def write_adapter(adapter: Path, folder: Path, source: Provenance) -> None:
    """Copy the adapter, its base named as the hub names it.

    A `UserError` if there is no adapter but whole weights, or the hub's name of the base is not known.
    """
    if not (adapter / CONFIG).is_file():
        raise UserError(
            f"{adapter}: holds weights and no adapter (train.tuning: {source.tuning}); `export merged` or `export gguf`"
        )
    if source.base.hub is None:
        raise UserError(
            f"base_model: {source.base.base_model!r}: which model of the hub this is cannot be told; say it with "
            "--hub-base <owner>/<name>@<revision>"
        )
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(adapter / WEIGHTS, folder / WEIGHTS)
    config = read_json(adapter / CONFIG)
    config |= {"base_model_name_or_path": source.base.hub, "revision": source.base.revision}
    write_json(folder / CONFIG, config)
