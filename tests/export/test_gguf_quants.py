"""Files of four bits a weight, of a model as wide as their blocks: stored so, and what llama.cpp says with them."""

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from tests.support.tiny_model import tiny_config
from tonetune.export.gguf_file import TYPES, stored_as, write_gguf
from tonetune.export.llama_cpp_quants import quantize
from tonetune.export.serving import llama_cpp
from tonetune.model.base import load_tokenizer

pytest.importorskip("xllamacpp", reason="llama.cpp comes with the extra llamacpp")

ASKED = ("Why do meetings take so long? Because 12 people talk.", "The sky is", "Où?\n\n1. Rockets")
WIDE = {"hidden_size": 256, "intermediate_size": 512, "max_position_embeddings": 512, "initializer_range": 0.1}
TOKENS = 8


@pytest.fixture(scope="module")
def wide(place, tmp_path_factory):
    """Two models of the same shape with other weights, in folders of theirs."""
    tokenizer = load_tokenizer(place.params.base_model)
    config = tiny_config("llama", vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, **WIDE)
    folders = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        folders.append(tmp_path_factory.mktemp("wide"))
        LlamaForCausalLM(config).save_pretrained(folders[-1])
        tokenizer.save_pretrained(folders[-1])
    return folders


def with_the_weights_of(file: Path, folder: Path) -> LlamaForCausalLM:
    """The model in `folder` with what is in a GGUF file of it, in float32."""
    model = LlamaForCausalLM.from_pretrained(folder, dtype="float32").eval()
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, model.config.num_hidden_layers)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            tensor = stored[names.get_name(name, try_suffixes=(".weight",))]
            values = torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32))
            if ".q_proj." in name or ".k_proj." in name:  # pairs side by side become halves again
                heads = len(values) // model.config.head_dim
                values = values.reshape(heads, -1, 2, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
            weight.copy_(values)
    return model


@pytest.mark.parametrize("kind", ["q4_1", "q4_k"])
def test_every_matrix_is_stored_in_four_bits_and_llama_cpp_says_what_these_weights_say(kind, wide, place, tmp_path):
    own, other = wide
    for name, folder in (("own", own), ("other", other)):
        write_gguf(folder, tmp_path / f"{name}.gguf", kind, place.source())
    types = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(tmp_path / "own.gguf").tensors}
    matrices = {kind for name, kind in types.items() if name.startswith("blk.") and "norm" not in name}
    assert matrices == {kind.upper()}
    assert types["token_embd.weight"] == types["output.weight"] == "Q8_0"

    model, tokenizer = with_the_weights_of(tmp_path / "own.gguf", own), load_tokenizer(place.params.base_model)
    prompts = [tokenizer.encode(text) for text in ASKED]
    answers = []
    for prompt in prompts:
        said = model.generate(torch.tensor([prompt]), max_new_tokens=TOKENS, do_sample=False)
        answers.append(said[0, len(prompt) :].tolist())
    shares = {}
    for name in ("own", "other"):
        with llama_cpp(tmp_path / f"{name}.gguf", name, 128, 1) as server:
            found = [server.greedy(prompt, answer)[0] for prompt, answer in zip(prompts, answers, strict=True)]
        shares[name] = np.mean(
            [a == b for f, answer in zip(found, answers, strict=True) for a, b in zip(f, answer, strict=True)]
        )
    assert shares["own"] > 0.8
    assert shares["other"] < 0.2


def test_q4_k_is_llama_cpp_s_own_and_rows_that_do_not_fit_it_are_q5_0():
    values = np.random.default_rng(0).standard_normal((3, 512), dtype=np.float32)
    written = quantize(values, gguf.GGMLQuantizationType.Q4_K)
    read = gguf.quants.dequantize(written, gguf.GGMLQuantizationType.Q4_K)
    assert 0.01 < np.abs(read - values).mean() < 0.1  # 4 bits of values that are about 1
    kinds = {
        width: stored_as("blk.0.ffn_down.weight", np.zeros((2, width)), TYPES["q4_k"][0]) for width in (512, 576, 40)
    }
    assert [kinds[width].name for width in (512, 576, 40)] == ["Q4_K", "Q5_0", "F16"]
    assert stored_as("token_embd.weight", np.zeros((2, 512)), TYPES["q4_k"][0]).name == "Q8_0"
