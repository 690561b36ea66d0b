"""What training refuses before it begins, and what it takes of the machine and the repository that it runs in."""

import json

import pytest
import torch
from peft.tuners.lora import LoraLayer
from transformers import AutoModelForCausalLM

from tests.model.families import FAMILIES, make_family
from tests.support.tiny_model import tiny_config
from tests.support.tunings import EXAMPLES, params_with, train
from tonetune.adapter import load_tuned, save_tuned
from tonetune.core.errors import UserError
from tonetune.core.params import LastLayers
from tonetune.model.base import load_base, load_tokenizer
from tonetune.training.checkpoints import final_state, last_checkpoint
from tonetune.training.launch import ENVIRONMENT, launch
from tonetune.training.trainers import Task, make_trainer
from tonetune.training.tuning import model_for_training, unfreeze_last_layers


@pytest.mark.parametrize(
    ("target", "says"), [("embed_tokens", "has its weights in common with 'lm_head'"), ("lm_head", "last_layers.head")]
)
def test_an_adapter_of_tied_embeddings_or_of_the_head_is_refused(target, says, tiny_base):
    """Merged into tied embeddings, it would change the head too: what was trained at one loss was loaded at another."""
    params = params_with(tiny_base, tuning="lora", lora={"target_modules": ["q_proj", target]})
    with pytest.raises(UserError, match=rf"train\.lora\.target_modules: '{target}'.*{says}"):
        model_for_training(params)


def test_an_adapter_of_untied_embeddings_is_loaded_as_it_was_trained(tmp_path):
    folder = make_family(FAMILIES["Llama 3"], tmp_path / "untied", tie_word_embeddings=False)
    params = params_with(folder, tuning="lora", epochs=1, lora={"target_modules": ["q_proj", "embed_tokens"]})
    model, own = model_for_training(params), load_tokenizer(params.base_model)
    train(params, model, own, tmp_path, "sft")
    save_tuned(model, tmp_path / "saved", "someone", "An AI.", params.base_model, "lora")
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        trained = model.eval()(ids).logits
        loaded = load_tuned(params.base_model, params.compute, tmp_path / "saved")(ids).logits
        assert not torch.allclose(trained, load_base(params.base_model, params.compute)(ids).logits, atol=1e-2)
    torch.testing.assert_close(loaded, trained, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("family", ["phi", "llama"])
def test_the_last_norm_trains_whatever_it_is_called(family):
    """Phi-1 and Phi-2 call it final_layernorm."""
    model = AutoModelForCausalLM.from_config(tiny_config(family, vocab_size=50))
    unfreeze_last_layers(model, LastLayers(blocks=1, norm=True, head=False))
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert {"model.final_layernorm.weight", "model.norm.weight"} & trained
    assert not any("layers.0." in name for name in trained)
    for name in ("norm", "final_layernorm"):
        if hasattr(model.model, name):
            model.model.ln = getattr(model.model, name)
            delattr(model.model, name)
    with pytest.raises(UserError, match=r"train\.last_layers\.norm: no norm, .* set it to false"):
        unfreeze_last_layers(model, LastLayers(blocks=1, norm=True, head=False))


@pytest.mark.parametrize("which", ["answer", "plain"])
def test_dpo_refuses_a_pair_that_is_too_long_as_sft_does(which, tiny_base, tokenizer, tmp_path):
    params = params_with(tiny_base, objective="dpo", tuning="lora", max_length=80)
    long = "word " * 80
    field = (
        {"plain": long}
        if which == "plain"
        else {"completion": [EXAMPLES[3].completion[0].model_copy(update={"content": long})]}
    )
    rows = [*EXAMPLES[:3], EXAMPLES[3].model_copy(update=field)]
    model = model_for_training(params)
    with pytest.raises(UserError, match=r"train\.max_length: 80 is less than .* of question 3"):
        make_trainer(Task("dpo", model, tokenizer, rows, EXAMPLES[:2], params, tmp_path))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_dropout_of_the_adapter_is_in_effect_in_dpo(dropout, tiny_base, tokenizer, tmp_path):
    params = params_with(tiny_base, objective="dpo", tuning="lora", lora={"dropout": dropout})
    trainer = make_trainer(
        Task("dpo", model_for_training(params), tokenizer, EXAMPLES[:4], EXAMPLES[:2], params, tmp_path)
    )
    layers = [layer for layer in trainer.model.modules() if isinstance(layer, LoraLayer)]
    rates = {getattr(layer.lora_dropout["default"], "p", 0.0) for layer in layers}
    assert rates == {dropout}


def test_checkpoints_of_a_repository_that_was_moved_are_gone_on_with(tiny_base, tokenizer, tmp_path, capsys):
    """Their states name the best checkpoint by its old path: it is looked for beside them, and loaded in the end."""
    params = params_with(tiny_base, tuning="lora", epochs=4)
    before = tmp_path / "before" / "checkpoints"
    train(params, model_for_training(params), tokenizer, before.parent, "sft")
    after = tmp_path / "after" / "checkpoints"
    after.parent.mkdir()
    before.rename(after)
    newest = last_checkpoint(after)
    assert newest is not None
    assert "damaged" not in capsys.readouterr().out
    assert str(before) in json.loads((newest / "trainer_state.json").read_text())["best_model_checkpoint"]
    state = final_state(newest, params.train.patience)
    assert state.best_model_checkpoint == str(after / state.best_model_checkpoint.rpartition("/")[2])

    # One that goes on: half of its steps are left.
    longer = params_with(tiny_base, tuning="lora", epochs=5)
    trainer = make_trainer(Task("sft", model_for_training(longer), tokenizer, EXAMPLES, EXAMPLES[:4], longer, after))
    trainer.train(resume_from_checkpoint=str(newest))
    assert str(before) not in trainer.state.best_model_checkpoint
    assert trainer.state.best_model_checkpoint.startswith(str(after))


LAUNCHED = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("environment", "train", "says"),
    [
        ({"WORLD_SIZE": "4"}, {}, r"WORLD_SIZE=4 is set .* but not RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT"),
        ({"WORLD_SIZE": "1"}, {"launch": "torchrun", "processes": 2}, r"WORLD_SIZE=1 is set .*unset WORLD_SIZE"),
        (LAUNCHED | {"WORLD_SIZE": "two"}, {}, r"WORLD_SIZE=two, RANK=0, LOCAL_RANK=0 in the environment"),
        (LAUNCHED | {"RANK": "2"}, {}, r"WORLD_SIZE=2, RANK=2"),
        (LAUNCHED, {"objective": "dpo", "tuning": "lora"}, r"train\.objective: dpo in 2 processes"),
        (LAUNCHED, {"tuning": "lora"}, None),
        ({}, {}, None),
    ],
)
def test_processes_are_counted_only_as_a_launcher_counts_them(environment, train, says, tiny_base, monkeypatch):
    """Kubernetes and job schedulers set WORLD_SIZE too: torch would wait for processes that nobody starts."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = params_with(tiny_base, **train).train
    if says is None:
        launch(settings, "stages.train_qlora")
        return
    with pytest.raises(UserError, match=says):
        launch(settings, "stages.train_qlora")
