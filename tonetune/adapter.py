"""What training changed: saved (an adapter in peft's format, or the weights themselves), and merged into its base.

QLoRA and 8-bit LoRA train over a base whose weights are quantised (model/quantization.py): what they learnt is merged into that one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from tonetune.core.errors import UserError
from tonetune.core.files import read_json, replacing_folder, unreadable, write_json
from tonetune.core.params import Compute
from tonetune.core.tasks import ANSWER
from tonetune.model.fingerprint import content_of, refuse_replaced
from tonetune.model.peft_format import save_peft
from tonetune.model.quantization import load_quantised

WEIGHTS, TUNING = "tuned.safetensors", "tuning.json"


def untie_head(model: PreTrainedModel) -> None:
    """Give the head a copy of the embeddings that it is tied to."""
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    model.config.tie_word_embeddings = False


def save_tuned(
    model: PreTrainedModel | PeftModel,
    folder: str | Path,
    persona: str,
    disclosure: str,
    base_model: str,
    tuning: str,
    initial_adapter: Path | None = None,
    weights: Mapping[str, torch.Tensor] | None = None,
    task: str = ANSWER,
    card: str | None = None,
) -> None:
    """Write what training changed, in one step, with a model card that says whom it imitates.

    `initial_adapter` is the folder of the adapter before training, for PiSSA, whose initialisation changes the base:
    what is written then is the equivalent LoRA adapter for the unchanged base. `weights` is a full state dict, for a
    model that holds only a shard of each weight (FSDP). `task` is what it has learnt (train.task). `card` is the README.md; without it there is a
    short one, of `persona` and `disclosure`. A `UserError` if `folder` cannot be written.
    """
    with replacing_folder(folder) as unfinished:
        if isinstance(model, PeftModel):
            options: dict[str, Any] = {"state_dict": dict(weights)} if weights else {}
            if initial_adapter:
                options["path_initial_model_for_weight_conversion"] = str(initial_adapter)
            save_peft(model, unfinished, base_model, **options)
        else:
            # In the dtype of the base; training stores trainable weights in float32.
            dtype = getattr(torch, str(model.config.dtype).removeprefix("torch."))
            trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
            changed = {name: (weights or trained)[name].detach().to(dtype) for name in trained}
            save_file(changed, unfinished / WEIGHTS)
        learnt = {} if task == ANSWER else {"task": task}
        base = {"base_model": base_model, "base_content": content_of(base_model, "base_model")}
        write_json(unfinished / TUNING, {"tuning": tuning, **base, **learnt})
        library = "peft" if isinstance(model, PeftModel) else "transformers"
        short = f"---\nlibrary_name: {library}\nbase_model: {base_model!r}\n---\n\n# {persona}\n\n{disclosure}\n"
        (unfinished / "README.md").write_text(card or short, encoding="utf-8")


def load_tuned(base_model: str, compute: Compute, folder: str | Path) -> PreTrainedModel:
    """The tuned model: what `folder` holds, put into the base that it was trained on; as fast as the base.

    An adapter trained over quantised weights is merged into these, dequantised, and not into the original weights: it
    has learnt to make up for the quantisation error. A `UserError` if `folder` is missing, damaged, or another base's, also where
    the base's content was replaced under the same name.
    """
    folder = Path(folder)
    tuning = _tuning_of(folder, base_model)
    model = load_quantised(base_model, compute, tuning)
    if (folder / "adapter_config.json").is_file():
        try:
            return PeftModel.from_pretrained(model, folder).eval().merge_and_unload()
        except (SafetensorError, ValueError, RuntimeError) as error:
            raise unreadable(folder, error) from None
    try:
        weights = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise unreadable(folder / WEIGHTS, error) from None
    if "lm_head.weight" in weights:
        untie_head(model)
    model.load_state_dict(weights, strict=False)
    return model.eval()


def _tuning_of(folder: Path, base_model: str) -> str:
    """The tuning that `folder` is the result of; a `UserError` if it is missing or another base's than `base_model`."""
    content = None
    if (folder / TUNING).is_file():
        saved = read_json(folder / TUNING)
        tuning, made_for, content = saved["tuning"], saved["base_model"], saved.get("base_content")
    elif (folder / "adapter_config.json").is_file():  # an adapter from elsewhere
        tuning, made_for = "lora", read_json(folder / "adapter_config.json").get("base_model_name_or_path")
    else:
        raise UserError(f"{folder}: no adapter there; `dvc repro` trains one")
    if made_for != base_model:
        raise UserError(
            f"{folder}: the adapter was made for {made_for!r}, not for base_model: {base_model!r}; `dvc repro` trains one for it"
        )
    refuse_replaced(content, base_model, "base_model", folder)
    return tuning
