"""More than one process learns what one learns."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from tests.support.workspace import ROOT, make_small

pytestmark = pytest.mark.slow

FSDP = ("accelerate", "accelerate_fsdp.yaml")

LAUNCHES = {
    "lora": ({"tuning": "lora"}, [("torchrun", "accelerate.yaml"), ("accelerate", "accelerate.yaml"), FSDP]),
    "last block and head": ({"tuning": "last_layers", "last_layers__blocks": 1, "last_layers__head": True}, [FSDP]),
}


@pytest.mark.parametrize("name", LAUNCHES)
def test_two_processes_learn_what_one_learns(name, workspace, tiny_base, monkeypatch):
    """With gloo: the same batches, half to each, give the same losses and, but for rounding, the same weights."""
    changes, launches = LAUNCHES[name]
    root = workspace.root
    make_small(workspace, tiny_base)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests/support/fsdp_on_cpu"))
    # 32 examples make whole batches; a last one that is not whole accelerate fills up from the first.
    changes = {f"train__{key}": value for key, value in changes.items()}
    workspace.set(
        compute__dtype="float32",
        answers__samples=1,
        split__train_size=32,
        train__basics_times=1,
        train__evals_per_epoch=1,
        **changes,
    )
    for stage in ("questions", "answers", "split", "train_qlora"):
        workspace.stage(stage)

    def learnt():
        rows = (root / "metrics/loss.csv").read_text().splitlines()
        (file,) = (root / "models/adapter").glob("*.safetensors")
        metrics = json.loads((root / "metrics/train.json").read_text())
        losses = [float(row.split(",")[2]) for row in rows if ",train," in row]
        return losses, load_file(file), metrics["trainable_parameters"]

    alone, weights, trainable = learnt()
    assert len(alone) > 1
    for launch, config in launches:
        shutil.copy(ROOT / config, root)
        workspace.set(train__launch=launch, train__launch_config=config)
        assert "Warning" not in workspace.stage("train_qlora").stderr
        together, weights_together, trainable_together = learnt()
        assert together == pytest.approx(alone, rel=1e-4)
        assert trainable_together == trainable
        assert weights_together.keys() == weights.keys()
        for key, weight in weights.items():
            torch.testing.assert_close(weights_together[key], weight, atol=1e-4, rtol=0)
        sharded = list(root.glob(".cache/checkpoints/*/checkpoint-*/pytorch_model_fsdp.bin"))
        assert bool(sharded) == ((launch, config) == FSDP)


def test_a_launcher_that_starts_one_process_is_an_error_and_no_endless_chain(workspace, tiny_base):
    make_small(workspace, tiny_base)
    (workspace.root / "one.yaml").write_text("distributed_type: MULTI_CPU\nuse_cpu: true\nnum_processes: 2\n")
    workspace.set(train__launch="accelerate", train__launch_config="one.yaml")
    for name in ("questions", "answers", "split"):
        workspace.stage(name)
    result = workspace.stage("train_qlora", check=False)
    assert result.returncode != 0
    assert "train.launch: accelerate started one process" in result.stderr
