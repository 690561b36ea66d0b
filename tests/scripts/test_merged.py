"""What was merged once is loaded again as it was, anew where anything changed, and scaled as peft would scale it."""

import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from tests.scripts.conftest import DISCLOSED
from tonetune import merged
from tonetune.adapter import load_tuned
from tonetune.core.errors import UserError
from tonetune.core.params import Params
from tonetune.merged import Strength, disclosure_of, load_merged
from tonetune.model.base import load_base


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("name", ["adapter", "full"])
def test_the_second_load_does_not_merge_and_gives_the_same_weights(
    name: str, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path("models") / name
    expected = load_tuned(params.base_model, params.compute, folder)
    assert same(load_merged(params.base_model, params.compute, folder), expected)
    monkeypatch.setattr(merged, "_load_tuned", None)
    again = load_merged(params.base_model, params.compute, folder)
    assert same(again, expected)
    assert again.name_or_path == params.base_model


def test_another_adapter_in_the_same_folder_is_merged_anew(params: Params, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree("models/adapter", folder)
    first = load_merged(params.base_model, params.compute, folder)
    shutil.rmtree(folder)
    shutil.copytree("models/full", folder)
    assert not same(load_merged(params.base_model, params.compute, folder), first)


def test_what_is_kept_does_not_grow_without_end(params: Params, tmp_path: Path) -> None:
    for number in range(merged.KEPT + 2):
        folder = tmp_path / str(number)
        shutil.copytree("models/adapter", folder)
        (folder / "note.txt").write_text(str(number))
        load_merged(params.base_model, params.compute, folder)
    assert len([path for path in Path(".cache/merged").iterdir() if path.is_dir()]) == merged.KEPT


@pytest.mark.parametrize("strength", [0, 0.5, 1, 1.25])
def test_an_adapters_strength_is_pefts_scaling_of_it(strength: float, params: Params) -> None:
    model = load_merged(params.base_model, params.compute, "models/adapter")
    Strength(model, params.base_model, params.compute, "models/adapter").set(strength)
    scaled = PeftModel.from_pretrained(load_base(params.base_model, params.compute), "models/adapter")
    for layer in scaled.modules():
        if hasattr(layer, "scale_layer"):
            layer.scale_layer(strength)
    expected = scaled.merge_and_unload().state_dict()
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-5, atol=1e-6)


def test_changed_weights_are_interpolated_and_come_back_exactly(params: Params) -> None:
    model = load_merged(params.base_model, params.compute, "models/full")
    tuned = {name: weight.clone() for name, weight in model.state_dict().items()}
    base = load_base(params.base_model, params.compute).state_dict()
    strength = Strength(model, params.base_model, params.compute, "models/full")
    strength.set(0.25)
    moved = 0
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, base[name] + 0.25 * (tuned[name] - base[name]), rtol=1e-5, atol=1e-6)
        moved += not torch.equal(weight, base[name])
    assert moved == 14  # seven matrices in each of two layers
    strength.set(0)
    assert all(torch.equal(weight, base[name]) for name, weight in model.state_dict().items())
    strength.set(1)
    assert all(torch.equal(weight, tuned[name]) for name, weight in model.state_dict().items())


def test_a_strength_beyond_the_range_is_refused_and_changes_nothing(params: Params) -> None:
    model = load_merged(params.base_model, params.compute, "models/adapter")
    strength = Strength(model, params.base_model, params.compute, "models/adapter")
    with pytest.raises(UserError, match="strength: 3 is not between 0 and 2"):
        strength.set(3)
    assert same(model, load_tuned(params.base_model, params.compute, "models/adapter"))


def test_the_disclosure_is_the_cards_own(inside: Path, tmp_path: Path) -> None:
    assert disclosure_of(Path("models/adapter")) == DISCLOSED
    assert disclosure_of(tmp_path) is None
    card = "---\nlicense: apache-2.0\n---\n\n# Somebody\n\n> **Not her.**\n> An imitation.\n\nMore.\n"
    (tmp_path / "README.md").write_text(card)
    assert disclosure_of(tmp_path) == "Not her. An imitation."
