"""Curves while it trains: what they show is what is trained, and training is the same with them."""

import csv
import importlib.util

import pytest
import torch

from tests.support.tunings import params_with, train
from tests.support.workspace import ROOT
from tonetune.core.errors import UserError
from tonetune.training.live import live_curves
from tonetune.training.tuning import model_for_training

KINDS = ("dvclive", "tensorboard")
INSTALLED = [kind for kind in KINDS if importlib.util.find_spec(kind)]
MISSING = [kind for kind in KINDS if kind not in INSTALLED]


@pytest.mark.skipif(not INSTALLED, reason="dvclive and tensorboard come with the extra live")
def test_the_curves_are_the_losses_and_training_is_the_same_with_them(tiny_base, tokenizer, tmp_path, monkeypatch):
    for name in ("params.yaml", "personas"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    found = []
    for live in ([], INSTALLED):
        params = params_with(tiny_base, tuning="lora", live=live)
        model = model_for_training(params)
        history = train(params, model, tokenizer, tmp_path / str(len(live)), "sft")
        losses = [row["loss"] for row in history if "loss" in row]
        weights = {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}
        found.append((losses, weights))
    (plain, weights), (watched, same) = found
    assert plain == watched
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    if "dvclive" in INSTALLED:
        with open("reports/live/dvclive/sft/plots/metrics/loss.tsv") as file:
            shown = [float(row["loss"]) for row in csv.DictReader(file, delimiter="\t")]
        assert shown == pytest.approx(watched)
        assert (tmp_path / "reports/live/dvclive/sft/dvc.yaml").exists()
        assert (tmp_path / "dvc.yaml").read_text() == "stages: {}\n"  # the pipeline's own stays as it is
    if "tensorboard" in INSTALLED:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator("reports/live/tensorboard/sft").Reload()
        assert [event.value for event in events.Scalars("train/loss")] == pytest.approx(watched)


@pytest.mark.skipif(not MISSING, reason="both are installed here")
def test_a_missing_package_is_told_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"train\.live: {MISSING[0]} is not installed; .*\[live\]"):
        live_curves(MISSING, "sft")


def test_only_what_is_known_may_be_asked_for(tiny_base):
    with pytest.raises(ValueError, match="live"):
        params_with(tiny_base, live=["wandb"])
