"""What chat's tests share: a place to talk in, with a tiny random Llama, the real tokenizer and a real adapter."""

from contextlib import chdir
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from ruamel.yaml import YAML
from transformers import AutoTokenizer, LlamaForCausalLM

from scripts.chat.talk import load
from tests.support.greedy import WINDOW, greedy
from tests.support.tiny_model import tiny_config
from tests.support.workspace import ROOT
from tonetune.adapter import save_tuned
from tonetune.conversation import Conversation
from tonetune.core.params import Params, load_params
from tonetune.model.base import load_base

DISCLOSED = "An AI imitation of somebody else's tone."  # not what the persona's file says


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    """A place to talk in; tests must not change it."""
    return make_workplace(tmp_path_factory.mktemp("workplace"), tokenizer_folder, WINDOW)


def make_workplace(folder: Path, tokenizer_folder: Path, window: int) -> Path:
    """Fill the empty folder: params.yaml, the personas, a tiny base model that reads `window` tokens, and tuned models of it.

    What is tuned knows the bytes of its base, so a test that needs another window needs a place of its own.
    """
    yaml = YAML()
    values = yaml.load(ROOT / "params.yaml")
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    torch.manual_seed(0)
    config = tiny_config(
        "llama",
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        max_position_embeddings=window,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "tiny")
    tokenizer.save_pretrained(folder / "tiny")
    (folder / "other").symlink_to("tiny")  # what an adapter was made for must be there
    values["base_model"] = "path:tiny"
    values["compute"] = {"threads": 1, "dtype": "float32", "attention": "sdpa"}
    values["evaluate"]["max_new_tokens"] = 24
    yaml.dump(values, folder / "params.yaml")
    (folder / "personas").symlink_to(ROOT / "personas")
    with chdir(folder):
        params = load_params()
        lora = LoraConfig(
            r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False
        )
        model = get_peft_model(load_base(params.base_model, params.compute), lora)
        for name, base_model in (("adapter", params.base_model), ("strange", "path:other")):
            model.peft_config["default"].base_model_name_or_path = base_model
            save_tuned(model, f"models/{name}", params.persona, DISCLOSED, base_model, "lora")
        full = load_base(params.base_model, params.compute)
        full.requires_grad_(False)
        for weight in full.model.layers.parameters():
            weight.requires_grad = weight.ndim == 2
            weight.data += 0.1 * torch.randn_like(weight) * weight.requires_grad
        save_tuned(full, "models/full", params.persona, DISCLOSED, params.base_model, "full")
    return folder


@pytest.fixture
def inside(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(workplace)
    return workplace


@pytest.fixture
def params(inside: Path) -> Params:
    return load_params()


@pytest.fixture
def tuned(params: Params) -> Conversation:
    """A greedy conversation with base and adapter."""
    conversation = load(params, Path("models/adapter"))
    conversation.sampling = greedy(params)
    return conversation
