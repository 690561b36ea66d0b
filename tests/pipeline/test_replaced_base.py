"""A base whose weights are replaced in place is another base, though its name is the same."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tests.support.workspace import copied, ran

pytestmark = pytest.mark.slow

RUN_THE_BASE = {"base_answers", "rated_answers", "scorers", "train_qlora", "baselines", "evaluate"}
BASE = "models/bases/mine"


def replace_weights(base: Path) -> None:
    """Other values in files of the same name and size."""
    weights = load_file(base / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"] *= -1
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})


@pytest.fixture
def space(tiny_repo, tiny_base, tmp_path):
    """The tiny repository, its base in a folder that DVC watches; what it has made is made from that."""
    space = copied(tiny_repo, tmp_path / "repo")
    shutil.copytree(tiny_base, space.root / BASE)
    space.set(base_model=f"path:{BASE}", base_files=BASE)
    saved = space.root / "models/adapter/tuning.json"
    shutil.copytree(saved.parent, tmp_path / "adapter")  # the one in place is a link into DVC's cache where it can be
    shutil.rmtree(saved.parent)
    shutil.copytree(tmp_path / "adapter", saved.parent)
    saved.chmod(0o644)
    saved.write_text(json.dumps(json.loads(saved.read_text()) | {"base_model": f"path:{BASE}"}))
    space.run("dvc", "commit", "-q", "--force")
    assert "up to date" in space.run("dvc", "status").stdout
    return space


def test_dvc_runs_again_what_runs_it(space):
    replace_weights(space.root / BASE)
    assert set(ran(space.run("dvc", "repro", "--dry").stdout)) >= RUN_THE_BASE


@pytest.mark.parametrize(
    ("gone", "made"), [((), "models/scorers"), (("models/scorers/models.json",), "models/adapter")]
)
def test_what_was_made_from_the_old_weights_is_not_mixed_with_the_new(space, gone, made):
    for path in gone:
        (space.root / path).unlink()
    replace_weights(space.root / BASE)
    result = space.stage("evaluate", check=False)
    assert result.returncode == 1
    assert f"error: base_model: 'path:{BASE}' is not what {made} was made from" in result.stderr
    assert "`dvc repro -f`" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_finished_training_of_the_old_weights_is_not_taken_for_that_of_the_new(space):
    def loss():
        return json.loads((space.root / "metrics/train.json").read_text())["validation_loss"]

    assert "going on from" not in space.stage("train_qlora").stdout
    before = loss()
    again = space.stage("train_qlora")
    assert "going on from" in again.stdout
    assert "DVC would not see" not in again.stderr
    replace_weights(space.root / BASE)
    assert "going on from" not in space.stage("train_qlora").stdout
    assert loss() != before
