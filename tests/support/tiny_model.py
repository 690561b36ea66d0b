"""Random models that are as small as they can be."""

from pathlib import Path

import torch
from transformers import AutoConfig, PretrainedConfig

from tests.support.workspace import ROOT


def tiny_config(model_type: str, **changes) -> PretrainedConfig:
    """Two layers with two query heads to a key head."""
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
    """Write a random two-layer Llama with the default base's tokenizer."""
    from transformers import AutoTokenizer, LlamaForCausalLM

    from tonetune.core.params import load_params
    from tonetune.model.base import base_folder

    torch.manual_seed(0)
    config = tiny_config(
        "llama", vocab_size=49152, tie_word_embeddings=True, eos_token_id=2, bos_token_id=1, pad_token_id=2
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base_folder(load_params(ROOT / "params.yaml").base_model)).save_pretrained(folder)
    return folder


def grouped_config(family, **settings):
    """Two layers with three query heads to a key head."""
    return AutoConfig.for_model(
        family, vocab_size=50, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2, **settings
    )
