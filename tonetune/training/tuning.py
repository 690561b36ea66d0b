"""The model that a tuning trains: which weights require gradients, and how the frozen ones are stored, quantised or not."""

import re
from typing import TypeVar

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

from tonetune.adapter import untie_head
from tonetune.core.errors import UserError
from tonetune.core.params import LastLayers, LoRA, Params
from tonetune.model.kernels.grouped_attention import GROUPED
from tonetune.model.kernels.lora_linear import use_fast_lora
from tonetune.model.quantization import load_quantised
from tonetune.training.decoder_layer import use_training_layers

AnyModule = TypeVar("AnyModule", bound=torch.nn.Module)
# What the norm before the head is called: by most models, by Phi-1 and Phi-2, by LFM2.
NORMS = ("norm", "final_layernorm", "embedding_norm")
# What the names that `train.lora.target_modules` may have stand for.
TARGET_MODULES = {"attention": ["q_proj", "k_proj", "v_proj", "o_proj"], "mlp": ["gate_proj", "up_proj", "down_proj"]}


def model_for_training(params: Params) -> PreTrainedModel | PeftModel:
    """The base model, or a peft model on it, in which only what `train.tuning` trains requires gradients."""
    settings, cpu = params.train, not torch.cuda.is_available()
    dequantize_once = settings.dequantize == "once" or (settings.dequantize == "auto" and cpu)
    base = load_quantised(
        params.base_model,
        params.compute,
        settings.tuning,
        # Dequantised once, the weights are those of the 4-bit base, speed and memory those of an unquantised one.
        dequantize=dequantize_once and settings.tuning == "qlora",
        attention=GROUPED if cpu else None,
    )
    if settings.tuning == "last_layers":
        unfreeze_last_layers(base, settings.last_layers)
    if settings.tuning in ("full", "last_layers"):
        return upcast_trainable(base)
    return upcast_trainable(add_adapter(base, settings.lora, params.training_seed))


def upcast_trainable(model: AnyModule) -> AnyModule:
    """Store trainable weights in float32, where small updates are not lost; layers cast them to the base's dtype."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


def unfreeze_last_layers(model: PreTrainedModel, settings: LastLayers) -> None:
    """Freeze all but the last blocks and, if `settings` says so, the final norm and the head.

    A `UserError` if the model has fewer blocks.
    """
    blocks = model.model.layers
    if settings.blocks > len(blocks):
        raise UserError(f"train.last_layers.blocks: {settings.blocks} is more than the model's {len(blocks)}")
    model.requires_grad_(False)
    unfrozen = [*blocks[len(blocks) - settings.blocks :]]
    if settings.norm:
        name = next((name for name in NORMS if hasattr(model.model, name)), None)
        if name is None:
            raise UserError(
                f"train.last_layers.norm: no {', '.join(NORMS)} in a {type(model.model).__name__}; set it to false"
            )
        unfrozen.append(getattr(model.model, name))
    if settings.head:
        untie_head(model)  # or the embeddings would train with it
        unfrozen.append(model.lm_head)
    for module in unfrozen:
        module.requires_grad_(True)


def add_adapter(model: PreTrainedModel, settings: LoRA, seed: int) -> PeftModel:
    """A peft model with a new LoRA adapter, initialised from `seed`; only the adapter's weights require gradients."""
    torch.manual_seed(seed)
    config = LoraConfig(
        r=settings.r,
        lora_alpha=settings.scaled_by,  # type: ignore[arg-type]  # peft only divides it
        lora_dropout=settings.dropout,
        target_modules=target_modules(model, settings),
        use_rslora=settings.rslora,
        use_dora=settings.dora,
        init_lora_weights="pissa" if settings.init == "pissa" else True,
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config)
    if model.device.type == "cpu":
        use_fast_lora(adapted)
        use_training_layers(adapted.get_base_model().model)
    return adapted


def target_modules(model: PreTrainedModel, settings: LoRA) -> str | list[str]:
    """peft's `target_modules`; a `UserError` names a layer that cannot have an adapter here."""
    targets = settings.target_modules
    if targets == "all-linear":
        return targets
    targets = TARGET_MODULES[targets] if isinstance(targets, str) else targets
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    unknown = [target for target in targets if target not in names]
    if unknown:
        linear = sorted(name for name in names if re.search(r"proj|fc|dense|linear|query|key|value", name))
        raise UserError(
            f"train.lora.target_modules: {unknown[0]!r} is no layer of this model; its linear layers: {linear}"
        )
    if "lm_head" in targets:
        raise UserError(
            "train.lora.target_modules: 'lm_head': the trainer takes the head's own weights, and an adapter on it would not "
            "train; leave it out, or train it with train.tuning: last_layers and train.last_layers.head"
        )
    tied = {name.rpartition(".")[2] for name, module in model.named_modules() if _is_tied(model, module)}
    if shared := [target for target in targets if target in tied]:
        raise UserError(
            f"train.lora.target_modules: {shared[0]!r} has its weights in common with {sorted(tied - {shared[0]})[0]!r} in "
            "this model, and an adapter of one cannot be merged without changing the other; leave it out, or train.tuning: full"
        )
    return targets


def _is_tied(model: PreTrainedModel, module: torch.nn.Module) -> bool:
    """Whether the module is the embeddings or the head of a model that has one matrix for both."""
    ends = model.get_input_embeddings(), model.get_output_embeddings()
    return module in ends and all(end is not None for end in ends) and ends[0].weight is ends[1].weight
