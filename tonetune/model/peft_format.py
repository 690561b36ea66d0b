"""Adapters in peft's format, in the same bytes on every run and in every folder."""

from pathlib import Path
from typing import Any

from peft import PeftModel

from tonetune.core.files import read_json, write_json


def save_peft(model: PeftModel, folder: Path, base_model: str | None, **options: Any) -> None:
    """Write `adapter_config.json`, which names `base_model`, and the weights into `folder`; `options` go to peft."""
    # The embeddings are the base's own: asking the hub whether they grew would need a network.
    model.save_pretrained(str(folder), save_embedding_layers=False, **options)
    (folder / "README.md").unlink()  # peft's card names a folder of this machine
    config = read_json(folder / "adapter_config.json")
    config["base_model_name_or_path"] = base_model
    if isinstance(config["target_modules"], list):  # peft keeps a set, whose order differs from run to run
        config["target_modules"].sort()
    write_json(folder / "adapter_config.json", config)
