"""From hidden states to logits as the model itself does it, and whether it has the parts that are addressed by name here.

Loss, likelihood and generation run the body and then the head, for the positions alone that they need. Many models do
something more after the head: Gemma 2 caps its logits, Granite and Cohere scale them.
"""

import copy
from typing import Any
from weakref import WeakKeyDictionary

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast

from tonetune.core.errors import UserError

LOGITS_CHUNK = 192  # positions whose logits are in memory at a time: 19 MB of bfloat16 with SmolLM2's vocabulary
LOSS_CHUNK = 16  # positions whose losses are computed at a time: their float32 logits stay in the processor's cache
WIDE = 100.0  # hidden states up to this give logits that a cap visibly bends, in bfloat16 too
_PLAIN: "WeakKeyDictionary[torch.nn.Module, bool]" = WeakKeyDictionary()


class _GivenStates(torch.nn.Module):
    """A body whose last hidden states are the embeddings that it is given."""

    def forward(self, *_: object, inputs_embeds: torch.Tensor, **__: object) -> BaseModelOutputWithPast:
        return BaseModelOutputWithPast(last_hidden_state=inputs_embeds)  # type: ignore[arg-type]


def logits(model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
    """The model's logits (..., vocabulary) for the body's last hidden states (..., width)."""
    if has_plain_head(model):
        head: Any = model.lm_head
        output: torch.Tensor = head(hidden)
        return output
    return _own_logits(model, hidden.reshape(1, -1, hidden.shape[-1])).view(*hidden.shape[:-1], -1)


def has_plain_head(model: PreTrainedModel) -> bool:
    """Whether the model's logits are its `lm_head` of the hidden states and nothing more."""
    if model not in _PLAIN:
        _PLAIN[model] = _is_plain(model)
    return _PLAIN[model]


def check_parts(model: PreTrainedModel, base_model: str) -> None:
    """A `UserError` names a model whose body, layers or head lie elsewhere, or whose logits cannot be told."""
    kind = type(model).__name__
    body = getattr(model, "model", None)
    if not isinstance(getattr(body, "layers", None), torch.nn.ModuleList) or not hasattr(model, "lm_head"):
        raise UserError(
            f"base_model: {base_model!r} is a {kind}, which does not keep its layers in model.layers and its head in "
            "lm_head, as Llama, Qwen, Gemma, Granite, Phi-3 and Mistral do; choose one of these"
        )
    if reason := _uncacheable(model):
        raise UserError(f"base_model: {base_model!r} is a {kind}, which {reason}; choose one whose layers all attend")
    try:
        has_plain_head(model)
    except (AttributeError, TypeError, RuntimeError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0][:120]
        raise UserError(
            f"base_model: {base_model!r} is a {kind}: how it makes logits is not known here ({reason}); choose another"
        ) from None


def _uncacheable(model: PreTrainedModel) -> str | None:
    """Why answers cannot be generated in batches whose finished rows leave; None if they can."""
    config: Any = model.config.get_text_config()
    if getattr(config, "kv_lora_rank", None):  # their widths differ, and the caches here have one
        return "keeps its keys and values compressed (kv_lora_rank)"
    layers = DynamicCache(config=config).layers
    if lacking := {type(layer).__name__ for layer in layers if not hasattr(layer, "batch_select_indices")}:
        return (
            f"keeps a state in place of keys and values ({', '.join(sorted(lacking))}), of which no rows can be taken"
        )
    return None


@torch.no_grad()
def _is_plain(model: PreTrainedModel) -> bool:
    head: Any = model.lm_head
    width = model.config.get_text_config().hidden_size
    given = torch.linspace(-WIDE, WIDE, 2 * width, device=model.device, dtype=model.dtype).view(1, 2, width)
    return torch.equal(_own_logits(model, given), head(given))


def _own_logits(model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
    """What the model's own forward pass makes of `hidden` (1, n, width) after its body: (1, n, vocabulary)."""
    shell = copy.copy(model)
    shell._modules = model._modules | {"model": _GivenStates()}
    # The class's function: an instance may have one put over it, by the hooks of quantised weights, that runs the body.
    output: torch.Tensor = type(model).forward(shell, inputs_embeds=hidden, use_cache=False).logits
    return output
