"""The tuned model for those who talk to it: kept merged on this machine, and as strong in the tone as is asked."""

import importlib.metadata
import re
import shutil
from pathlib import Path

import torch
from transformers import PreTrainedModel

from tonetune.core.errors import UserError
from tonetune.core.files import cache_dir, content_key, is_whole, locked, read_json, replacing_folder, seal
from tonetune.core.params import Compute
from tonetune.core.startup import import_bitsandbytes, progress_bars_off
from tonetune.core.tasks import ANSWER
from tonetune.model.base import compute_dtype, load_base
from tonetune.model.fingerprint import content_of, fingerprint

KEPT = 3  # merged models on this machine, the latest used
STRONGEST = 2.0
QUANTISED = ("qlora", "lora_8bit")


def load_merged(base_model: str, compute: Compute, folder: str | Path) -> PreTrainedModel:
    """What `adapter.load_tuned` loads, the same weights, from where they were merged before.

    Merging an adapter that was trained over quantised weights quantises the whole base again, which takes several
    times as long as loading the result. A `UserError` as there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no adapter there; `dvc repro` trains one")
    kept = cache_dir("merged") / _key(base_model, compute, folder)
    with locked(kept.with_suffix(".lock")):
        if is_whole(kept):
            kept.touch()
            model = load_base(f"path:{kept}", compute)
        else:
            if tuning_of(folder) in QUANTISED:
                print(f"merging {folder} into its quantised base (once)", flush=True)
            model = _load_tuned(base_model, compute, folder)
            _keep(model, kept)
    model.name_or_path = model.config.name_or_path = base_model
    return model


def _load_tuned(base_model: str, compute: Compute, folder: Path) -> PreTrainedModel:
    # peft and bitsandbytes are half a second that a merged model does without.
    import_bitsandbytes()
    from tonetune.adapter import load_tuned

    return load_tuned(base_model, compute, folder)


def _keep(model: PreTrainedModel, kept: Path) -> None:
    model.hf_quantizer = None  # type: ignore[assignment]
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    with replacing_folder(kept) as unfinished:
        with progress_bars_off():
            model.save_pretrained(unfinished)
        seal(unfinished)
    found = sorted((path for path in kept.parent.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for old in found[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def _key(base_model: str, compute: Compute, folder: Path) -> str:
    """Of all that the merged weights depend on."""
    versions = [importlib.metadata.version(name) for name in ("torch", "transformers", "peft", "bitsandbytes")]
    base = content_of(base_model, "base_model")
    return content_key([], base_model, base, fingerprint(folder), str(compute_dtype(compute.dtype)), versions)


def disclosure_of(folder: Path) -> str | None:
    """What an adapter's own card says of whose voice it is: the first paragraph under its title; None without one."""
    try:
        card = (folder / "README.md").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    _, title, body = re.sub(r"\A---\n.*?^---$", "", card, flags=re.M | re.S).partition("\n# ")
    paragraphs = [part.strip() for part in body.split("\n\n")[1:]] if title else []
    text = next((part for part in paragraphs if part and part[0] not in "#|<!-"), "")
    return " ".join(line.lstrip("> ").strip("*") for line in text.splitlines()) or None


class Strength:
    """How far a tuned model's weights are from the base's: base + strength x (tuned - base), in place.

    0 is the base that training began with (for qlora the quantised one), 1 the tuned model, exactly. For an adapter it
    is scaling its update, to the rounding of the weights; for changed weights it is interpolation.
    """

    def __init__(self, model: PreTrainedModel, base_model: str, compute: Compute, folder: str | Path):
        """`model` is what `load_merged` gave for the same base and folder."""
        self.model = model
        base = load_untrained(base_model, compute, Path(folder)).state_dict()
        self.value = 1.0
        self._weights: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        """Of each weight that training changed: the base's and the tuned."""
        seen: set[int] = set()
        for name, weight in model.state_dict().items():
            if weight.data_ptr() not in seen and not torch.equal(weight, base[name]):
                self._weights[name] = base[name], weight.clone()
            seen.add(weight.data_ptr())  # a tied head is the embeddings again

    def set(self, strength: float) -> None:
        """Change the model's weights; a `UserError` if the strength is not between 0 and `STRONGEST`."""
        if not 0 <= strength <= STRONGEST:
            raise UserError(f"strength: {strength:g} is not between 0 and {STRONGEST:g}")
        weights = self.model.state_dict()  # anew: generation moves weights into matrices of its own
        with torch.no_grad():
            for name, (base, tuned) in self._weights.items():
                blend = tuned if strength == 1 else torch.lerp(base.float(), tuned.float(), strength)
                weights[name].copy_(blend)
        self.value = strength


def tuning_of(folder: Path) -> str:
    """How `folder` was trained; an adapter from elsewhere counts as `lora`."""
    return str(read_json(folder / "tuning.json")["tuning"]) if (folder / "tuning.json").is_file() else "lora"


def task_of(folder: Path) -> str:
    """What `folder` was tuned to do; answering where it does not say."""
    found = read_json(folder / "tuning.json") if (folder / "tuning.json").is_file() else {}
    return str(found.get("task", ANSWER))


def load_untrained(base_model: str, compute: Compute, folder: Path) -> PreTrainedModel:
    """The base as the training that wrote `folder` began with it."""
    tuning = tuning_of(folder)
    if tuning not in QUANTISED:
        return load_base(base_model, compute)
    import_bitsandbytes()
    from tonetune.model.quantization import load_quantised

    return load_quantised(base_model, compute, tuning)
