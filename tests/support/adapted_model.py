"""A model with an adapter, and the same model with the libraries' own layers."""

import torch
from peft import PeftModel
from peft.tuners.lora import Linear
from transformers import AutoModelForCausalLM

from tonetune.core.params import LoRA
from tonetune.model.kernels.grouped_attention import GROUPED
from tonetune.model.kernels.lora_linear import FastLoRALinear
from tonetune.training.decoder_layer import TrainingLayer
from tonetune.training.tuning import add_adapter

LORA = LoRA(r=4, alpha=8, dropout=0.0, target_modules="all-linear", rslora=False, dora=False, init="default")

SHAPE = {
    "vocab_size": 300,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
}


def make_plain(model: PeftModel) -> None:
    """Give the model peft's and transformers' own layers and attention again."""
    fused = [layer for layer in model.get_base_model().model.layers if isinstance(layer.forward, TrainingLayer)]
    assert fused
    for layer in fused:
        del layer.forward
    for layer in model.modules():
        if isinstance(layer, FastLoRALinear):
            layer.__class__ = Linear
    model.get_base_model().set_attn_implementation("eager")


def gradients(model: torch.nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.requires_grad}


def adapted(config, targets="all-linear", dtype=torch.float32, **changes) -> PeftModel:
    """A random model with random biases, norms and adapters; three query heads share a key head."""
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(config(**SHAPE), attn_implementation=GROUPED)
    for name, weight in base.named_parameters():
        if "bias" in name or "norm" in name:
            torch.nn.init.normal_(weight, mean=1, std=0.3)
    model = add_adapter(base.to(dtype).eval(), LORA.model_copy(update={"target_modules": targets} | changes), seed=1)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data = weight.data.float()
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return model
