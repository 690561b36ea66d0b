"""How the next token is drawn: temperature, nucleus (top-p), and a seed for every answer."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from tonetune.core.params import Evaluate

ROWS_PER_PASS = 16  # of next-token probabilities: a few megabytes stay in the processor's cache


NUCLEUS = (64, 256)  # the likeliest tokens that are looked at: the fewer take half the time and nearly always hold it


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn; temperature 0 takes the likeliest."""

    temperature: float
    top_p: float
    max_new_tokens: int
    batch_tokens: int
    """Tokens of prompts and answers that are held at once."""

    @classmethod
    def of(cls, settings: Evaluate) -> "Sampling":
        """The sampling that params.yaml sets for all systems."""
        return cls(settings.temperature, settings.top_p, settings.max_new_tokens, settings.batch_tokens)


def answer_seed(question_id: str, seed: int) -> int:
    """The seed of one answer: the same for every system, another for every question and sampling seed."""
    return int(hashlib.sha256(f"{seed}/{question_id}".encode()).hexdigest()[:8], 16)


def sample(logits: torch.Tensor, sampling: Sampling, generators: Sequence[torch.Generator]) -> torch.Tensor:
    """The next token of each row of `logits` (rows, vocabulary): nucleus sampling, or the likeliest at temperature 0."""
    if sampling.temperature == 0:
        return logits.argmax(-1).cpu()
    likeliest = [_top_tokens(some, sampling) for some in logits.split(ROWS_PER_PASS)]
    probabilities, ids = (torch.cat(parts).cpu() for parts in zip(*likeliest, strict=True))
    before = probabilities.cumsum(-1) - probabilities
    probabilities = probabilities.masked_fill(before > sampling.top_p, 0)
    cumulative = probabilities.cumsum(-1)
    uniform = torch.stack([torch.rand(1, generator=generator) for generator in generators])
    places = (cumulative < uniform * cumulative[:, -1:]).sum(-1, keepdim=True).clamp(max=ids.shape[-1] - 1)
    return ids.gather(-1, places).squeeze(-1)


def _top_tokens(logits: torch.Tensor, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities and ids of the likeliest tokens of each row, which its nucleus lies within; what is left over is 0.

    Sorting 256 of 49,152 is enough but for near-uniform rows.
    """
    every = (logits.float() / sampling.temperature).softmax(-1)
    few, many = (min(count, every.shape[-1]) for count in NUCLEUS)
    values, ids = every.topk(few, dim=-1)
    if (values.cumsum(-1)[:, -1] <= sampling.top_p).any():
        likeliest = every.topk(many, dim=-1)
        return likeliest.values, likeliest.indices
    return pad(values, (0, many - few)), pad(ids, (0, many - few))
