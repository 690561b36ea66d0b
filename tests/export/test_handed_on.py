"""By whatever way somebody gets the model, its card has the run's figures; and whole weights, the default, can be published merged."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM

from scripts import export
from scripts.verify import digest
from tests.export.test_publish import push
from tests.support.exported_models import HUB_BASE, Place
from tests.support.servers.hub_server import running_hub
from tests.support.workspace import ROOT
from tonetune.core.params import load_params


@pytest.fixture(params=["lora", "full"])
def run(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A folder whose metrics are, by dvc.lock, those of the tuned model in it, of the tuning that the test asks for."""
    for name in ("params.yaml", "personas", "consent.yaml"):
        (tmp_path / name).symlink_to(place.root / name)
    shutil.copytree(place.adapter(request.param), tmp_path / "models/adapter")
    shutil.copytree(ROOT / "metrics", tmp_path / "metrics")
    used = {"path": "models/adapter", "md5": digest(tmp_path / "models/adapter")}
    (tmp_path / "dvc.lock").write_text(json.dumps({"stages": {"evaluate": {"deps": [used]}}}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def joint_of_the_run() -> str:
    with open("metrics/intervals.csv", encoding="utf-8") as file:
        row = next(r for r in csv.DictReader(file) if (r["system"], r["score"]) == ("tuned", "joint"))
    return f"{float(row['mean']):.2f} ({float(row['low']):.2f} to {float(row['high']):.2f})"


@pytest.mark.parametrize(
    ("run", "form"),
    [
        ("lora", "merged"),
        ("lora", "gguf"),
        ("lora", "ollama"),
        ("lora", "adapter"),
        ("full", "merged"),
        ("full", "gguf"),
    ],
    indirect=["run"],
)
def test_every_form_s_card_has_the_figures_of_this_run_and_of_no_other(run: Path, form: str) -> None:
    export.main([form, "--out", "out", "--hub-base", HUB_BASE])
    card = Path("out/README.md").read_text(encoding="utf-8")
    assert joint_of_the_run() in card
    assert {result.metric_type for result in ModelCard(card).data.eval_results} >= {"joint", "tone", "sense"}
    (run / "models/adapter/README.md").write_text("another model's")
    assert not export.is_of_this_run(Path("models/adapter"))


@pytest.mark.parametrize("run", ["full"], indirect=True)
def test_whole_weights_are_published_merged_and_load_from_what_was_pushed(run: Path) -> None:
    export.main(["merged", "--out", "merged", "--hub-base", HUB_BASE])
    with running_hub() as hub:
        refused = push(run, hub, "models/adapter", "me/imitation", "--imitation")
        assert refused.returncode == 1
        assert "`python -m scripts.export merged` writes one" in refused.stderr
        assert hub.requests == []
        done = push(run, hub, "merged", "me/imitation", "--imitation")
        assert done.returncode == 0, done.stderr
        assert "no figures" not in done.stdout
        pushed = hub.repositories["me/imitation"]
    assert pushed.private
    assert joint_of_the_run() in pushed.files["README.md"].decode()
    Path("pulled").mkdir()
    for name, content in pushed.files.items():
        Path("pulled", name).write_bytes(content)
    loaded, ours = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in ("pulled", "merged"))
    assert loaded.keys() == ours.keys()
    assert all(loaded[name].equal(weight) for name, weight in ours.items())
    assert load_params().persona in pushed.messages[0]


@pytest.mark.parametrize("run", ["full"], indirect=True)
def test_a_card_without_figures_is_told_before_it_is_pushed(run: Path) -> None:
    Path("dvc.lock").unlink()
    export.main(["merged", "--out", "merged", "--hub-base", HUB_BASE])
    with running_hub() as hub:
        done = push(run, hub, "merged", "me/imitation", "--imitation")
    assert done.returncode == 0, done.stderr
    assert "warning: merged/README.md has no figures" in done.stdout
