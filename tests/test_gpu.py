"""The same parameters on a GPU: `make test-gpu`, on a machine that has one. Elsewhere, and in `make test`, these are skipped."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.support.workspace import ROOT
from tests.training.test_tunings import (  # noqa: F401  every objective and tuning, here on the GPU
    test_a_tuning_moves_its_weights_alone_and_is_loaded_as_it_was_saved,
    test_dequantising_once_gives_the_loss_of_dequantising_each_step,
)

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is visible")


@pytest.fixture(scope="module")
def devices(tiny_base):
    """What tests.support.on_device finds on the GPU and on the CPU."""

    def found(**variables):
        command = [sys.executable, "-m", "tests.support.on_device", str(tiny_base)]
        result = subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout.splitlines()[-1])

    gpu, cpu = found(), found(CUDA_VISIBLE_DEVICES="")
    assert (gpu["device"], cpu["device"]) == ("cuda", "cpu")
    return gpu, cpu


def test_a_gpu_learns_what_a_cpu_does(devices):
    """In float32 the losses of training, and how likely the tuned model finds the answers; 8 bits round otherwise there."""
    gpu, cpu = devices
    ways = [name for name in cpu if isinstance(cpu[name], dict)]
    assert len(ways) == 7
    for name in ways:
        rel = 0.05 if "8bit" in name else 0.01
        assert gpu[name]["losses"] == pytest.approx(cpu[name]["losses"], rel=rel), name
        assert gpu[name]["nats"] == pytest.approx(cpu[name]["nats"], rel=rel), name
        assert cpu[name]["losses"][-1] < cpu[name]["losses"][0], name


def test_a_gpu_answers_what_a_cpu_does(devices):
    """Of models whose likelihoods are a hundredth apart at most: nearly all answers are the same, and batches change none."""
    gpu, cpu = devices
    assert gpu["greedy"] == gpu["alone"]
    for kind in ("greedy", "sampled"):
        same = [a == b for a, b in zip(gpu[kind], cpu[kind], strict=True)]
        assert sum(same) >= 0.8 * len(same), kind
    np.testing.assert_allclose(gpu["hidden states"], cpu["hidden states"], rtol=0.05, atol=0.01)
