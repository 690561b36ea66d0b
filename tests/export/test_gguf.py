"""GGUF files in llama.cpp: the same tokens, and the check that says when they are not."""

import json
import shutil

import gguf
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen2ForCausalLM

from scripts import export
from tests.support.exported_models import HUB_BASE, elsewhere, other_base
from tests.support.tiny_model import tiny_config
from tonetune.core.errors import UserError
from tonetune.export.check import BOUNDS
from tonetune.export.gguf_file import TYPES, unsupported, write_gguf
from tonetune.export.gguf_tokenizer import QWEN2, pre_tokenizer
from tonetune.export.serving import llama_cpp
from tonetune.model.base import load_tokenizer

xllamacpp = pytest.importorskip("xllamacpp", reason="llama.cpp comes with the extra llamacpp")

LOAD = """
import json, urllib.request, xllamacpp
settings = xllamacpp.CommonParams()
settings.model.path, settings.n_ctx, settings.port = sys.argv[1], 256, 0
server = xllamacpp.Server(settings)
body = json.dumps({"messages": [{"role": "user", "content": "Why?"}], "temperature": 0, "max_tokens": 5}).encode()
request = urllib.request.Request(server.listening_address + "/v1/chat/completions", body, {"content-type": "application/json"})
print(json.load(urllib.request.urlopen(request))["usage"]["completion_tokens"])
"""


@pytest.fixture(scope="module")
def exported(place, tmp_path_factory):
    return place.export("gguf", tmp_path_factory.mktemp("gguf") / "out")


@pytest.fixture(scope="module")
def merged(place, tmp_path_factory):
    return place.export("merged", tmp_path_factory.mktemp("merged") / "out")


def file_in(folder):
    (file,) = folder.glob("*.gguf")
    return file


def test_llama_cpp_alone_loads_it_and_answers(exported, tmp_path):
    assert 0 < int(elsewhere(LOAD, file_in(exported), cwd=tmp_path).splitlines()[-1]) <= 5


def test_the_check_passes_what_was_written(exported, place, ours):
    measures, differences = place.check("gguf", exported, ours, "f16")
    assert differences == []
    assert all(measure.passed for measure in measures.values())


def test_eight_bits_say_nearly_the_same_and_take_half_the_space(exported, place, ours, tmp_path):
    smaller = place.export("gguf", tmp_path / "out", "lora", "--type", "q8_0")
    measures, differences = place.check("gguf", smaller, ours, "q8_0")
    assert not any(text.startswith(("prompts", "stop")) for text in differences)
    assert (
        float(measures["greedy tokens as ours"].found.rstrip("%")) > 80
    )  # random weights are less sure than trained ones
    weights = [sum(t.n_bytes for t in gguf.GGUFReader(file_in(folder)).tensors) for folder in (smaller, exported)]
    assert weights[0] < 0.6 * weights[1]


def test_what_does_not_fit_four_bit_blocks_is_written_so_that_llama_cpp_loads_it(place, ours, tmp_path):
    """The tiny base is too narrow for q4_k; test_gguf_quants.py has one that is not."""
    measures, _ = place.check("gguf", place.export("gguf", tmp_path / "out", "lora", "--type", "q4_k"), ours, "q4_k")
    assert measures["prompts equal, token by token"].passed


def test_the_check_finds_a_spoilt_template(merged, place, ours, tmp_path):
    spoilt = shutil.copytree(merged, tmp_path / "merged")
    template = spoilt / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|im_end|>' + '\n'", "<|im_end|>'"))
    write_gguf(spoilt, tmp_path / "spoilt.gguf", "f16", place.source())
    measures, differences = place.check("gguf", tmp_path, ours, "f16")
    assert not measures["prompts equal, token by token"].passed
    assert any(text.startswith("prompts: token ") for text in differences)
    assert measures["greedy tokens as ours"].passed  # the weights are the right ones


def test_the_check_finds_another_base(place, ours, tiny_base, tmp_path):
    other = other_base(tiny_base, tmp_path / "base")
    (tmp_path / "out").mkdir()
    write_gguf(other, tmp_path / "out/other.gguf", "f16", place.source())
    measures, _ = place.check("gguf", tmp_path / "out", ours, "f16")
    assert not measures["greedy tokens as ours"].passed


def test_the_check_finds_a_missing_stop_token(exported, place, ours, tmp_path):
    spoilt = shutil.copytree(exported, tmp_path / "spoilt")
    reader = gguf.GGUFReader(file_in(spoilt), "r+")
    for name in ("eos", "eot"):
        reader.fields[f"tokenizer.ggml.{name}_token_id"].parts[-1][0] = 0
    reader.data.flush()
    measures, differences = place.check("gguf", spoilt, ours, "f16")
    assert not measures["ends answers where training does"].passed
    assert any("<|im_end|>" in text for text in differences)


def test_the_heads_rows_are_in_llama_cpp_s_order(merged, exported):
    weights = AutoModelForCausalLM.from_pretrained(merged, dtype="float32").state_dict()
    found = {tensor.name: tensor for tensor in gguf.GGUFReader(file_in(exported)).tensors}
    query = weights["model.layers.0.self_attn.q_proj.weight"]
    written = np.array(found["blk.0.attn_q.weight"].data, dtype=np.float32)
    assert np.allclose(written[[0, 1, 2, 3]], query[[0, 8, 1, 9]], atol=1e-3)  # heads of 16: halves become pairs
    value = np.array(found["blk.0.attn_v.weight"].data, dtype=np.float32)
    assert np.allclose(value, weights["model.layers.0.self_attn.v_proj.weight"], atol=1e-3)


def test_the_header_says_what_it_is_and_of_which_base(exported, place):
    fields = gguf.GGUFReader(file_in(exported)).fields
    assert fields["general.description"].contents() == place.source().disclosure
    source = place.source()
    kept = {name: fields[f"tonetune.{name}"].contents() for name in ("base_model", "quantised", "data", "commit")}
    assert kept == {
        "base_model": "path:tiny_base",
        "quantised": "no",
        "data": "unknown",
        "commit": source.commit or "unknown",
    }


def test_a_qwen2_with_biases_and_its_own_head_says_the_same(place, tmp_path):
    """Qwen2 rotates halves, has biases and another way to cut text."""
    torch.manual_seed(0)
    tokenizer = load_tokenizer(place.params.base_model)
    config = tiny_config(
        "qwen2",
        vocab_size=len(tokenizer),
        max_position_embeddings=512,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = Qwen2ForCausalLM(config).eval()
    for name, weight in model.named_parameters():
        if "bias" in name:
            torch.nn.init.normal_(weight, std=0.5)
    merged = tmp_path / "merged"
    model.save_pretrained(merged)
    tokenizer.save_pretrained(merged)
    write_gguf(merged, tmp_path / "qwen.gguf", "f16", place.source())
    prompt = tokenizer.encode("Why do meetings take so long? Because 12 people talk.")
    ids = model.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False)[0, len(prompt) :].tolist()
    with llama_cpp(tmp_path / "qwen.gguf", "qwen", 128, 1) as server:
        tokens, _ = server.greedy(prompt, ids)
    assert tokens == ids


def test_every_kind_of_weights_has_its_bounds():
    assert set(TYPES) == set(export.TYPES) == set(BOUNDS) - {"merged", "adapter"}


def split_by(pattern):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(pattern, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    return json.loads(PreTrainedTokenizerFast(tokenizer_object=tokenizer).backend_tokenizer.to_str())


def test_ways_to_cut_text_are_known_or_refused():
    from tokenizers import Regex

    assert pre_tokenizer(split_by(Regex(QWEN2))) == "qwen2"
    with pytest.raises(UserError, match="cuts text in a way that is not known here"):
        pre_tokenizer(split_by(Regex(r"\w+|\W+")))


def test_an_architecture_that_is_not_written_names_llama_cpp_s_converter(place, tmp_path):
    AutoConfig.for_model("gpt2", vocab_size=99).save_pretrained(tmp_path)
    load_tokenizer(place.params.base_model).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"convert_hf_to_gguf\.py"):
        write_gguf(tmp_path, tmp_path / "x.gguf", "f16", place.source())
    assert not list(tmp_path.glob("*.gguf"))
    scaled = AutoConfig.for_model("llama", rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4})
    assert "linear" in unsupported(scaled)


def test_hub_base_has_one_form(place, tmp_path):
    assert HUB_BASE.count("@") == 1
    with pytest.raises(UserError, match=r"--hub-base: 'tiny' must be"):
        place.export("gguf", tmp_path / "out", "lora", "--hub-base", "tiny")
