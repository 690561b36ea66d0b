"""`python -m scripts.export` after a whole tiny run: written, checked with the run's own scorers, and what its exit code says."""

import json
import shutil
import sys

import pytest

from tests.support.workspace import copied

pytestmark = pytest.mark.slow


# The shared tiny model is random: its choices are near ties, of which llama.cpp's other order of adding turns one in a hundred.
NEAR_TIES = pytest.mark.xfail(reason="98.4 % of a random model's greedy tokens, 99 % needed", strict=False)


@pytest.mark.parametrize("form", ["merged", pytest.param("gguf", marks=NEAR_TIES)])
def test_an_export_is_checked_with_the_run_s_scores_and_a_spoilt_one_fails(tiny_workspace, tmp_path, form):
    if form == "gguf":
        pytest.importorskip("xllamacpp", reason="llama.cpp comes with the extra llamacpp")
    space = copied(tiny_workspace, tmp_path / "repo")
    command = [sys.executable, "-m", "scripts.export", form]
    done = space.run(*command, "--check", "--questions", "5")
    out = space.root / f"exports/elon_musk-{form}"
    verdict = json.loads((out / "check.json").read_text())
    assert verdict["passed"]
    assert "joint, served less ours" in done.stdout
    assert "says what the tuned model says" in done.stdout.splitlines()[-1]

    shutil.rmtree(space.root / "models/adapter")
    failed = space.run(*command, "--check-only", check=False)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("error: models/adapter: no tuned model there")
    assert "Traceback" not in failed.stderr


def test_a_spoilt_export_fails_with_what_differs(tiny_workspace, tmp_path):
    space = copied(tiny_workspace, tmp_path / "repo")
    command = [sys.executable, "-m", "scripts.export", "merged"]
    space.run(*command)
    template = space.root / "exports/elon_musk-merged/chat_template.jinja"
    template.write_text(template.read_text().replace("<|im_start|>", "<|im_end|>"))
    failed = space.run(*command, "--check-only", "--questions", "3", check=False)
    assert failed.returncode == 1
    assert "differs: prompts: token 1 differs" in failed.stderr
    assert not json.loads((space.root / "exports/elon_musk-merged/check.json").read_text())["passed"]
