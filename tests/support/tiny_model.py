"""Random models that are as small as they can be. What makes them is imported where they are made: most tests need none."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.workspace import ROOT, SENTENCE_MODEL

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def tiny_config(model_type: str, **changes) -> "PretrainedConfig":
    """Two layers with two query heads to a key head."""
    from transformers import AutoConfig

    shape = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.3,  # wide enough for the next token to depend on the whole chat
    }
    return AutoConfig.for_model(model_type, **shape | changes)


def make_base(folder: Path) -> Path:
    """Write a random two-layer Llama with the default base's tokenizer, and beside it a sentence model."""
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    from tonetune.core.params import load_params
    from tonetune.model.base import base_folder

    torch.manual_seed(0)
    config = tiny_config(
        "llama", vocab_size=49152, tie_word_embeddings=True, eos_token_id=2, bos_token_id=1, pad_token_id=2
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base_folder(load_params(ROOT / "params.yaml").base_model)).save_pretrained(folder)
    make_sentence_model(folder.with_name(SENTENCE_MODEL))
    return folder


def make_sentence_model(folder: Path) -> Path:
    """Write the default sentence model without all but the first of its layers: it still knows words, in a fifth of the time."""
    from safetensors.torch import load_file, save_file

    from tonetune.core.params import load_params
    from tonetune.model.locate import locate

    whole = locate(load_params(ROOT / "params.yaml").scorers.sentence_model, "scorers.sentence_model")
    shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("model.safetensors", "*.md"), dirs_exist_ok=True)
    weights = load_file(whole / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "layer." not in name or "layer.0." in name}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((whole / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    return folder


def grouped_config(family, **settings):
    """Two layers with three query heads to a key head."""
    from transformers import AutoConfig

    return AutoConfig.for_model(
        family, vocab_size=50, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2, **settings
    )
