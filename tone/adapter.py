"""Adapters on disk, in peft's format: written whole, and loaded onto the base they were made for."""

import os
import shutil
import tempfile
from pathlib import Path

from peft import PeftModel
from transformers import PreTrainedModel

from tone.errors import UserError
from tone.files import read_json, write_json


def save_adapter(model: PeftModel, folder: str | Path, persona: str, disclosure: str, base_model: str) -> None:
    """Write `adapter_config.json`, the weights and a model card that says what it imitates."""
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, suffix=".tmp"))
    try:
        # The embeddings are the base's own: asking the hub whether they grew would need a network.
        model.save_pretrained(unfinished, save_embedding_layers=False)
        config = read_json(unfinished / "adapter_config.json")
        if isinstance(config["target_modules"], list):  # peft keeps a set, whose order differs from run to run
            config["target_modules"].sort()
        write_json(unfinished / "adapter_config.json", config)
        card = f"---\nlibrary_name: peft\nbase_model: {base_model!r}\n---\n\n# {persona}\n\n{disclosure}\n"
        (unfinished / "README.md").write_text(card, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(unfinished, folder)
        os.chmod(folder, 0o755)
    except OSError as error:
        raise UserError(f"{folder}: not written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def load_adapter(base: PreTrainedModel, folder: str | Path, base_model: str) -> PeftModel:
    """Put the adapter onto `base`; a `UserError` if it is missing or made for another base than `base_model`."""
    folder = Path(folder)
    if not (folder / "adapter_config.json").is_file():
        raise UserError(f"{folder}: no adapter there; `dvc repro` trains one")
    made_for = read_json(folder / "adapter_config.json").get("base_model_name_or_path")
    if made_for != base_model:
        raise UserError(
            f"{folder}: the adapter was made for {made_for!r}, not for base_model: {base_model!r}; `dvc repro` trains one for it"
        )
    return PeftModel.from_pretrained(base, folder).eval()
