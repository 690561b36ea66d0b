"""`python -m scripts.export` after a whole tiny run: written, checked with the run's own scorers, and what its exit code says."""

import json
import shutil
import sys
from pathlib import Path

import gguf
import pytest
import torch
from transformers import AutoConfig, LlamaForCausalLM

from tests.support.exported_models import HUB_BASE, make_certain
from tests.support.workspace import Workspace, copied

pytestmark = pytest.mark.slow
EXPORT = [sys.executable, "-m", "scripts.export"]


@pytest.fixture(scope="module")
def certain(tiny_workspace, tmp_path_factory) -> Workspace:
    """The run with a tuned model of no near ties: of a random one's, llama.cpp's other order of adding turns one in a hundred."""
    space = copied(tiny_workspace, tmp_path_factory.mktemp("certain") / "repo")
    make_certain(space.root)
    return space


@pytest.mark.parametrize("form", ["merged", "gguf", "adapter"])
def test_an_export_is_checked_with_the_run_s_scores_and_a_missing_model_is_a_line(
    form, tiny_workspace, request, tmp_path
):
    if form == "gguf":
        pytest.importorskip("xllamacpp", reason="llama.cpp comes with the extra llamacpp")
    run = request.getfixturevalue("certain") if form == "gguf" else tiny_workspace  # that of the run itself is qlora's
    space = copied(run, tmp_path / "repo")
    command = [*EXPORT, form, *(["--hub-base", HUB_BASE] if form == "adapter" else [])]
    done = space.run(*command, "--check", "--questions", "5")
    out = space.root / f"exports/elon_musk-{form}"
    verdict = json.loads((out / "check.json").read_text())
    assert verdict["passed"]
    assert ("joint, served less ours" in done.stdout) == (form != "adapter")  # peft serves nothing
    assert "says what the tuned model says" in done.stdout.splitlines()[-1]

    shutil.rmtree(space.root / "models/adapter")
    failed = space.run(*command, "--check-only", check=False)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("error: models/adapter: no tuned model there")
    assert "Traceback" not in failed.stderr


def spoil_template(out: Path) -> None:
    template = out / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|im_start|>", "<|im_end|>"))


def drop_stop(out: Path) -> None:
    settings = out / "generation_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"eos_token_id": 0}))


def drop_stop_of_gguf(out: Path) -> None:
    (file,) = out.glob("*.gguf")
    reader = gguf.GGUFReader(file, "r+")
    for name in ("eos", "eot"):
        reader.fields[f"tokenizer.ggml.{name}_token_id"].parts[-1][0] = 0
    reader.data.flush()


def change_base(out: Path) -> None:
    torch.manual_seed(1)
    LlamaForCausalLM(AutoConfig.from_pretrained(out)).save_pretrained(out.parent / "other")
    shutil.copy(out.parent / "other/model.safetensors", out)


@pytest.mark.parametrize(
    ("form", "spoil", "expected"),
    [
        ("merged", spoil_template, "prompts: token 1 differs"),
        ("merged", drop_stop, "stop tokens: <|im_end|> ends an answer in training and none here"),
        ("merged", change_base, "are the weights those of this base and adapter?"),
        ("gguf", drop_stop_of_gguf, "stop tokens: <|im_end|> ends an answer in training and none here"),
    ],
)
def test_a_spoilt_export_fails_with_what_differs(form, spoil, expected, certain, tmp_path):
    if form == "gguf":
        pytest.importorskip("xllamacpp", reason="llama.cpp comes with the extra llamacpp")
    space = copied(certain, tmp_path / "repo")
    space.run(*EXPORT, form)
    out = space.root / f"exports/elon_musk-{form}"
    spoil(out)
    failed = space.run(*EXPORT, form, "--check-only", "--questions", "3", check=False)
    assert failed.returncode == 1
    lines = failed.stderr.splitlines()
    assert any(line.startswith("differs: ") and expected in line for line in lines)
    assert lines[-1].startswith(f"error: exports/elon_musk-{form}: does not say what the tuned model says")
    assert not json.loads((out / "check.json").read_text())["passed"]
