"""The supervised loss, computed where there is something to predict and nowhere else."""

from typing import Any

import torch
from torch.nn.functional import cross_entropy, linear
from transformers import PreTrainedModel

from tonetune.training.encode import IGNORED

ROWS = 192  # positions whose logits are in memory at a time: 19 MB of bfloat16 with SmolLM2's vocabulary


CACHED = 16  # positions whose logits are turned into losses at a time: in float32 they stay in the cache


class _FrozenHeadLoss(torch.autograd.Function):
    """Summed cross-entropy of `targets` (n) given `hidden` (n, width) under a head that does not train.

    Its gradient is made along with it, a few rows at a time, so the logits of a batch are never in memory together.
    """

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        gradient = torch.empty_like(hidden)
        total = torch.zeros((), device=hidden.device)
        for place in range(0, len(hidden), ROWS):
            rows = slice(place, place + ROWS)
            logits = linear(hidden[rows], weight)
            for part, target in zip(logits.split(CACHED), targets[rows, None].split(CACHED), strict=True):
                likelihoods = part.log_softmax(-1, dtype=torch.float32)
                total -= likelihoods.gather(1, target).sum()
                if ctx.needs_input_grad[0]:
                    errors = likelihoods.exp_()
                    part.copy_(errors.scatter_add_(1, target, errors.new_full(target.shape, -1.0)))
            if ctx.needs_input_grad[0]:
                gradient[rows] = logits @ weight
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0], None, None


def supervised_tokens(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """How many tokens of the batch are predicted."""
    return (inputs["labels"][:, 1:] != IGNORED).sum()


def answer_loss(model: PreTrainedModel, inputs: dict[str, torch.Tensor], tokens: torch.Tensor | int) -> torch.Tensor:
    """Cross-entropy of the supervised tokens, summed and divided by `tokens`.

    `inputs` holds `input_ids` and `labels`, each (batch, length), padded on the right: under causal attention no mask is
    needed then. Logits are computed for the positions that predict a supervised token only: with SmolLM2 the head is a
    fifth of a forward pass's work.
    """
    hidden = model.model(input_ids=inputs["input_ids"], use_cache=False).last_hidden_state[:, :-1]
    labels = inputs["labels"][:, 1:]
    predicting = labels != IGNORED
    hidden, targets = hidden[predicting], labels[predicting]
    head = model.lm_head
    if type(head) is torch.nn.Linear and head.bias is None and not head.weight.requires_grad:
        total = _FrozenHeadLoss.apply(hidden.to(head.weight.dtype), head.weight, targets)
    else:
        total = cross_entropy(head(hidden).float(), targets, reduction="sum")
    return total / tokens
