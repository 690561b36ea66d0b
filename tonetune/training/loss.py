"""The supervised loss, with logits for the supervised tokens alone."""

from typing import Any

import torch
from torch.nn.functional import cross_entropy, linear
from transformers import PreTrainedModel

from tonetune.model.head import LOGITS_CHUNK, LOSS_CHUNK, has_plain_head, logits
from tonetune.training.encode import IGNORE_INDEX


class _FrozenHeadLoss(torch.autograd.Function):
    """Summed cross-entropy of `targets` (n) given `hidden` (n, width) under a head `weight` (vocabulary, width).

    The forward pass also computes the gradient of `hidden`, chunk by chunk: a batch's logits are never all in memory.
    The weight gets no gradient.
    """

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        gradient = torch.empty_like(hidden)
        total = torch.zeros((), device=hidden.device)
        for start in range(0, len(hidden), LOGITS_CHUNK):
            rows = slice(start, start + LOGITS_CHUNK)
            scores = linear(hidden[rows], weight)
            for chunk, target in zip(scores.split(LOSS_CHUNK), targets[rows, None].split(LOSS_CHUNK), strict=True):
                log_probabilities = chunk.log_softmax(-1, dtype=torch.float32)
                total -= log_probabilities.gather(1, target).sum()
                if ctx.needs_input_grad[0]:
                    scores_gradient = log_probabilities.exp_()
                    chunk.copy_(scores_gradient.scatter_add_(1, target, scores_gradient.new_full(target.shape, -1.0)))
            if ctx.needs_input_grad[0]:
                gradient[rows] = scores @ weight
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0], None, None


def supervised_tokens(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """The number of supervised tokens in the batch, a scalar."""
    return (inputs["labels"][:, 1:] != IGNORE_INDEX).sum()


def answer_loss(model: PreTrainedModel, inputs: dict[str, torch.Tensor], tokens: torch.Tensor | int) -> torch.Tensor:
    """Cross-entropy of the supervised tokens, summed and divided by `tokens`: a scalar.

    `inputs` holds `input_ids` and `labels`, each (batch, length). They are padded on the right, where causal attention
    needs no mask. Logits are computed only for positions that predict a supervised token: with SmolLM2 the head is a
    fifth of a forward pass's work.
    """
    hidden = model.model(input_ids=inputs["input_ids"], use_cache=False).last_hidden_state[:, :-1]
    labels = inputs["labels"][:, 1:]
    supervised = labels != IGNORE_INDEX
    hidden, targets = hidden[supervised], labels[supervised]
    head = model.lm_head
    frozen = type(head) is torch.nn.Linear and head.bias is None and not head.weight.requires_grad
    if frozen and has_plain_head(model):
        total = _FrozenHeadLoss.apply(hidden.to(head.weight.dtype), head.weight, targets)
    else:
        total = cross_entropy(logits(model, hidden).float(), targets, reduction="sum")
    return total / tokens
