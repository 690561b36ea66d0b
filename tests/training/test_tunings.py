"""Every objective and tuning on the tiny model: what moves, what stays, how many, and what is saved and loaded."""

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from transformers import AutoModelForCausalLM

from tests.support.tunings import EXAMPLES, TUNINGS, lengths, params_with, train
from tonetune.adapter import load_tuned, save_tuned
from tonetune.core.errors import UserError
from tonetune.core.params import load_params
from tonetune.model.quantization import load_quantised
from tonetune.training.trainers import Task, make_trainer
from tonetune.training.tuning import model_for_training

pytestmark = pytest.mark.slow

IDS = torch.tensor([[5, 600, 7, 80, 9]])

WAYS = [
    *(("sft", name) for name in TUNINGS),
    *(
        (objective, name)
        for objective in ("self_supervised", "dpo", "sft_dpo", "grpo")
        for name in ("full", "last block", "lora", "qlora", "lora_8bit")
        if not ("dpo" in objective and name in ("full", "last block"))  # refused: they have no reference
    ),
]


@pytest.mark.parametrize(("objective", "name"), WAYS)
def test_a_tuning_moves_its_weights_alone_and_is_loaded_as_it_was_saved(
    objective, name, tiny_base, tokenizer, tmp_path
):
    changes, holds, count = TUNINGS[name]
    params = params_with(tiny_base, objective=objective, **changes)
    model = model_for_training(params)
    untrained = None
    if name == "pissa":
        untrained = tmp_path / "untrained"
        model.save_pretrained(untrained, save_embedding_layers=False)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == count
    losses, holds = {}, (holds,) if isinstance(holds, str) else holds
    for phase in params.train.phases:
        before = {key: weight.detach().clone() for key, weight in model.named_parameters()}
        history = train(params, model, tokenizer, tmp_path / phase, phase, lengths)
        losses[phase] = [row["eval_loss"] for row in history if "eval_loss" in row]
        moved = {key for key, weight in model.named_parameters() if not torch.equal(weight, before[key])}
        assert moved == {key for key, weight in model.named_parameters() if weight.requires_grad}
        assert all(any(part in key for part in holds) for key in moved)
        assert all(any(part in key for key in moved) for part in holds)
    assert losses.pop("grpo", []) == []  # it has no validation, and the rewards of a few random steps need not rise
    assert all(falling[-1] < falling[0] for falling in losses.values())
    assert losses.get("dpo", [0])[-1] < 0.6931  # the reference's

    trained = logits(model.eval())
    save_tuned(model, tmp_path / "saved", "someone", "An AI.", params.base_model, params.train.tuning, untrained)
    loaded = exactly = logits(load_tuned(params.base_model, params.compute, tmp_path / "saved"))
    tolerance = 2e-3
    if name == "lora_8bit":
        # LLM.int8 rounds activations too, and what is loaded does not: over the same base the saved adapter gives the same
        # logits, and what is loaded is no further from them than the untuned base is from itself without that rounding.
        rounding, exact = (
            load_quantised(params.base_model, params.compute, "lora_8bit", once) for once in (False, True)
        )
        tolerance = 2 * float((logits(rounding) - logits(exact)).abs().max())
        exactly = logits(PeftModel.from_pretrained(rounding, tmp_path / "saved").eval())
        torch.testing.assert_close(exactly, trained, atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(loaded, trained, atol=tolerance, rtol=1e-3)
    untuned = logits(AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32))
    assert (trained - untuned).abs().max() > 2 * (trained - exactly).abs().max()
    size = sum(path.stat().st_size for path in (tmp_path / "saved").glob("*.safetensors"))
    assert size < 4 * count * (2.1 if name == "pissa" else 1.1) + 20_000


def logits(model):
    return model(IDS.to(model.device)).logits.detach().cpu()


def test_dequantising_once_gives_the_loss_of_dequantising_each_step(tiny_base, tokenizer, tmp_path):
    def losses(how):
        params = params_with(tiny_base, tuning="qlora", dequantize=how)
        history = train(params, model_for_training(params), tokenizer, tmp_path / how, "sft")
        return [row["loss"] for row in history if "loss" in row]

    assert losses("once") == pytest.approx(losses("step"), rel=1e-4)


def test_a_seed_of_training_changes_the_start_and_the_order_and_no_more(tiny_base, tokenizer, tmp_path):
    def start(**train):
        params = params_with(tiny_base, tuning="lora", **train)
        model = model_for_training(params)
        weights = {key: weight.detach().clone() for key, weight in model.named_parameters()}
        trainer = make_trainer(Task("sft", model, tokenizer, EXAMPLES, EXAMPLES[:4], params, tmp_path))
        return weights, list(trainer._get_train_sampler())

    (weights, order), (same, same_order), (other, other_order) = start(), start(seed=load_params().seed), start(seed=1)
    assert order == same_order
    assert order != other_order
    assert sorted(order) == sorted(other_order)
    for key, weight in weights.items():
        assert torch.equal(weight, same[key])
        assert torch.equal(weight, other[key]) == ("lora_A" not in key)


def test_the_settings_of_lora_reach_its_layers_and_the_noise_the_trainer(tiny_base, tokenizer, tmp_path):
    def layers(**lora):
        model = model_for_training(params_with(tiny_base, tuning="lora", lora=lora))
        return [layer for layer in model.modules() if isinstance(layer, LoraLayer)]

    for scaled, expected in (({}, 2), ({"rslora": True}, 4), ({"alpha": 1}, 0.25), ({"alpha": "0.25r"}, 0.25)):
        assert {layer.scaling["default"] for layer in layers(**scaled)} == {expected}  # alpha / 4, or alpha / 2
    assert {layer.lora_dropout["default"].p for layer in layers(dropout=0.1)} == {0.1}
    params = params_with(tiny_base, tuning="lora", neftune=1.0)
    task = Task("sft", model_for_training(params), tokenizer, EXAMPLES, EXAMPLES[:4], params, tmp_path)
    assert make_trainer(task).args.neftune_noise_alpha == 1.0


def test_too_many_last_layers_are_refused(tiny_base):
    params = params_with(tiny_base, tuning="last_layers")
    with pytest.raises(UserError, match=r"last_layers\.blocks: 4 is more than the model's 2"):
        model_for_training(params)
