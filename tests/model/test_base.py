"""The base: its own logits, the dtype of its device, and what of it is refused by name."""

import json
import os
import shutil

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from stages import scorers
from tests.model.families import FAMILIES, make_family
from tests.support.tiny_model import grouped_config, tiny_config
from tests.support.tunings import params_with, train
from tonetune.adapter import load_tuned, save_tuned
from tonetune.core.errors import UserError
from tonetune.evaluation.rivals import rival
from tonetune.merged import load_merged
from tonetune.model.base import compute_dtype, load_base, load_tokenizer
from tonetune.model.fingerprint import fingerprint
from tonetune.model.head import check_parts, has_plain_head, logits
from tonetune.model.locate import locate, unwatched
from tonetune.training.tuning import model_for_training

SMALL = {"hidden_size": 48, "intermediate_size": 64}


@pytest.mark.parametrize(
    ("family", "settings", "plain"),
    [
        ("llama", {}, True),
        ("qwen3", {}, True),
        ("gemma2", {"final_logit_softcapping": 30.0}, False),
        ("granite", {"logits_scaling": 8.0}, False),
        ("cohere", {"logit_scale": 0.0625}, False),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_are_the_models_own_whatever_it_does_after_its_head(family, settings, plain, dtype):
    torch.manual_seed(0)
    config = grouped_config(family, **SMALL, **settings, initializer_range=1.0, pad_token_id=0)
    model = AutoModelForCausalLM.from_config(config).to(dtype).eval()
    assert has_plain_head(model) == plain
    ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
    with torch.no_grad():
        hidden = model.model(ids).last_hidden_state
        torch.testing.assert_close(logits(model, hidden), model(ids).logits)
        torch.testing.assert_close(logits(model, hidden[:, -1]), model(ids).logits[:, -1], rtol=0.02, atol=0.02)


def test_a_model_whose_parts_lie_elsewhere_is_refused_by_name():
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model("gpt2", n_layer=1, n_embd=16, n_head=2, vocab_size=50)
    )
    with pytest.raises(UserError, match=r"base_model: 'path:x' is a GPT2LMHeadModel"):
        check_parts(model, "path:x")


LATENT = {"q_lora_rank": 8, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 16}


@pytest.mark.parametrize(
    ("family", "settings", "says"),
    [
        ("lfm2", {"layer_types": ["conv", "full_attention"]}, "a Lfm2ForCausalLM.*LinearAttentionLayer"),
        ("qwen3_5_text", {"layer_types": ["linear_attention", "full_attention"]}, "a Qwen3_5ForCausalLM.*Linear"),
        ("minicpm3", LATENT, "a MiniCPM3ForCausalLM.*kv_lora_rank"),
    ],
)
def test_a_model_whose_memory_has_no_rows_to_take_is_refused_by_name(family, settings, says):
    """They load and train, and broke in the first batch of answers."""
    model = AutoModelForCausalLM.from_config(tiny_config(family, vocab_size=50, intermediate_size=16, **settings))
    with pytest.raises(UserError, match=f"base_model: 'path:x' is {says}") as error:
        check_parts(model, "path:x")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model_type": "martian"}, "martian"),
        ({"auto_map": {"AutoConfig": "c.C", "AutoModelForCausalLM": "m.M"}, "model_type": "martian"}, "not loaded"),
    ],
)
def test_a_model_that_the_library_cannot_load_is_one_line(change, says, tmp_path):
    folder = make_family(FAMILIES["Qwen2.5"], tmp_path / "base")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    params = params_with(folder)
    with pytest.raises(UserError, match=f"base_model: 'path:.*{says}") as error:
        load_base(params.base_model, params.compute)
    assert "\n" not in str(error.value)


def test_generation_settings_of_the_base_do_not_lose_a_training(tmp_path):
    """A temperature without do_sample, as bases are published with: transformers refuses to write it into a checkpoint."""
    folder = make_family(FAMILIES["Qwen2.5"], tmp_path / "base")
    path = folder / "generation_config.json"
    path.write_text(json.dumps({"eos_token_id": [256, 258], "temperature": 0.6, "top_p": 0.9}))
    published = path.read_bytes()
    params = params_with(folder, tuning="full", epochs=1, learning_rate=0.001)
    tokenizer = load_tokenizer(params.base_model)
    model = model_for_training(params)
    assert model.generation_config.eos_token_id == [256, 258]
    train(params, model, tokenizer, tmp_path, "sft")
    assert list((tmp_path / "checkpoints").glob("checkpoint-*"))
    assert path.read_bytes() == published


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_gpu_that_only_emulates_bfloat16_computes_in_float16(native, dtype, monkeypatch):
    """A T4 says that it supports bfloat16; torch asks for its compute capability only if told not to count emulation."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native)
    assert compute_dtype("auto") is dtype


def test_a_branch_of_the_hub_is_refused_with_the_commit_it_is_at(tmp_path, monkeypatch):
    """A branch moves, and no stage would run again for it."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--someone--model"
    (repository / "snapshots" / commit).mkdir(parents=True)
    (repository / "snapshots" / commit / "config.json").write_text("{}")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=f"base_model: 'hub:someone/model@main': 'main' .* hub:someone/model@{commit}"):
        locate("hub:someone/model@main", "base_model")
    assert locate(f"hub:someone/model@{commit}", "base_model").name == commit


def test_a_model_that_is_replaced_in_place_has_another_fingerprint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    folder = tmp_path / "base"
    folder.mkdir()
    for name in ("model.safetensors", "config.json"):
        (folder / name).write_bytes(bytes(5 << 20))
    first = fingerprint(folder)
    (folder / "README.md").write_text("no part of the model")
    assert fingerprint(folder) == first
    changed = bytearray(5 << 20)
    changed[2_500_000] = 1  # far from both ends, and of the same size
    (folder / "model.safetensors").write_bytes(changed)
    second = fingerprint(folder)
    assert second != first
    status = (folder / "model.safetensors").stat()
    changed[2_500_000] = 2
    (folder / "model.safetensors").write_bytes(changed)
    os.utime(folder / "model.safetensors", ns=(status.st_atime_ns, status.st_mtime_ns))  # as rsync and tar leave it
    third = fingerprint(folder)
    assert third not in (first, second)
    changed[2_500_000] = 1
    (folder / "model.safetensors").write_bytes(changed)
    copied = tmp_path / "copy"
    folder.rename(copied)
    assert fingerprint(copied) == second
    # A sentence model's parts lie in folders of their own.
    (copied / "1_Pooling").mkdir()
    (copied / "1_Pooling/config.json").write_text("{}")
    pooled = fingerprint(copied)
    (copied / "1_Pooling/config.json").write_text("[]")
    assert len({second, pooled, fingerprint(copied)}) == 3


def test_what_was_tuned_on_weights_that_were_replaced_is_refused(tiny_base, tmp_path, monkeypatch):
    base = shutil.copytree(tiny_base, tmp_path / "base")
    params = params_with(base, tuning="lora")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    save_tuned(
        model_for_training(params), tmp_path / "tuned", "someone", "An AI.", params.base_model, params.train.tuning
    )
    load_tuned(params.base_model, params.compute, tmp_path / "tuned")
    weights = load_file(base / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"] += 1
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=rf"base_model: 'path:{base}' is not what {tmp_path / 'tuned'} was made from"):
        load_tuned(params.base_model, params.compute, tmp_path / "tuned")
    with pytest.raises(UserError, match="was replaced since"):
        load_merged(params.base_model, params.compute, tmp_path / "tuned")


@pytest.mark.parametrize(
    ("base_model", "base_files", "warning"),
    [
        ("path:models/bases/mine", "models/bases/mine", False),
        ("path:models/bases/mine.gguf", "models/bases", False),
        ("path:elsewhere/mine", "requirements-models.lock", True),
        ("path:elsewhere/other", "requirements-models.lock", False),  # not there, which is an error and no note
        ("package:a/b", "requirements-models.lock", False),
    ],
)
def test_a_base_that_dvc_does_not_see_is_told_of(base_model, base_files, warning, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("models/bases/mine", "elsewhere/mine"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.json").write_text("{}")
    (tmp_path / "models/bases/mine.gguf").touch()
    said = unwatched(base_model, base_files)
    assert bool(said) is warning
    if said:
        assert "set base_files: elsewhere/mine, or `dvc repro -f`" in said


def test_a_rival_or_sentence_model_in_a_folder_is_told_of(tmp_path, monkeypatch, capsys):
    """DVC looks at `base_files` alone. The note comes before the model is loaded, and none of one that is not there."""
    params = params_with(tmp_path)
    name = f"path:{tmp_path}/rival"
    with pytest.raises(UserError, match=r"evaluate\.rivals: .* is neither"):
        rival(name, params)
    assert capsys.readouterr().err == ""
    (tmp_path / "rival").mkdir()
    (tmp_path / "rival/config.json").write_text("{}")
    with pytest.raises(UserError, match=r"evaluate\.rivals: .* not loaded"):
        rival(name, params)
    told = capsys.readouterr().err
    assert f"note: evaluate.rivals: {name!r}" in told
    assert "`dvc repro -f baselines`" in told
    with pytest.raises(UserError, match=r"not loaded"):
        rival(name, params.model_copy(update={"base_files": str(tmp_path)}))
    assert "note: " not in capsys.readouterr().err
    model = params.scorers.model_copy(update={"sentence_model": name})
    changed = params.model_copy(update={"scorers": model, "persona": "nobody"})
    monkeypatch.setattr(scorers, "load_params", lambda: changed)
    with pytest.raises(UserError, match="nobody"):
        scorers.main()
    assert f"note: scorers.sentence_model: {name!r}" in capsys.readouterr().err
