"""How the next token is sampled: temperature, nucleus (top-p), and a seed for every answer."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from tonetune.core.params import Evaluate

ROWS_PER_CHUNK = 16  # rows whose probabilities are computed at a time: a few megabytes stay in the processor's cache


# The nucleus is looked for among the top k tokens: the smaller k takes half the time and is nearly always enough. Where
# the larger does not hold it either, it is looked for in the whole vocabulary.
NUCLEUS_TOP_K = (64, 256)


@dataclass(frozen=True)
class Sampling:
    """How the next token is sampled; temperature 0 is greedy decoding."""

    temperature: float
    top_p: float
    max_new_tokens: int
    batch_tokens: int
    """The most tokens of prompts and answers that a batch may hold, padding included."""
    max_sentences: int | None = None
    """An answer ends with its so manyth sentence; None = where the model ends it."""

    @classmethod
    def of(cls, settings: Evaluate) -> "Sampling":
        """The sampling that params.yaml sets for all systems."""
        return cls(
            settings.temperature,
            settings.top_p,
            settings.max_new_tokens,
            settings.batch_tokens,
            settings.max_sentences,
        )


def answer_seed(question_id: str, seed: int) -> int:
    """The seed of one answer: the same for every system, another for every question and sampling seed."""
    return int(hashlib.sha256(f"{seed}/{question_id}".encode()).hexdigest()[:8], 16)


def sample(logits: torch.Tensor, sampling: Sampling, generators: Sequence[torch.Generator]) -> torch.Tensor:
    """The next token id of each row of `logits` (rows, vocabulary): (rows), on the CPU; each row has a generator."""
    if sampling.temperature == 0:
        return logits.argmax(-1).cpu()
    top = [_likeliest(chunk, sampling) for chunk in logits.split(ROWS_PER_CHUNK)]
    columns = max(probabilities.shape[-1] for probabilities, _, _ in top)
    padded = [(pad(p, (0, columns - p.shape[-1])), pad(i, (0, columns - i.shape[-1])), whole) for p, i, whole in top]
    probabilities, ids, whole = (torch.cat(chunks).cpu() for chunks in zip(*padded, strict=True))
    preceding = probabilities.cumsum(-1) - probabilities
    probabilities = probabilities.masked_fill((preceding > sampling.top_p) & ~whole[:, None], 0)
    cumulative = probabilities.cumsum(-1)
    uniform = torch.stack([torch.rand(1, generator=generator) for generator in generators])
    drawn = (cumulative < uniform * cumulative[:, -1:]).sum(-1, keepdim=True).clamp(max=ids.shape[-1] - 1)
    return ids.gather(-1, drawn).squeeze(-1)


def _likeliest(logits: torch.Tensor, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Probabilities and ids of the tokens that each row's nucleus is among, both (rows, columns), and which rows are whole.

    A row has its most likely tokens, as many as the larger k, in falling order and padded with 0: 256 of 49,152 hold the
    nucleus of all but near-uniform rows. A row whose nucleus they do not hold is whole: the vocabulary in its own order,
    0 outside of the nucleus.
    """
    probabilities = (logits.float() / sampling.temperature).softmax(-1)
    small_k, large_k = (min(k, probabilities.shape[-1]) for k in NUCLEUS_TOP_K)
    values, ids = probabilities.topk(small_k, dim=-1)
    whole = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
    if not (values.cumsum(-1)[:, -1] <= sampling.top_p).any():
        return pad(values, (0, large_k - small_k)), pad(ids, (0, large_k - small_k)), whole
    values, ids = probabilities.topk(large_k, dim=-1)
    if large_k < probabilities.shape[-1]:
        whole = values.cumsum(-1)[:, -1] <= sampling.top_p
    if whole.any():
        # Only these rows: what another row draws does not depend on them.
        values, ids = (pad(part, (0, probabilities.shape[-1] - large_k)) for part in (values, ids))
        wide = probabilities[whole]
        falling = wide.sort(-1, descending=True).values
        least = falling.masked_fill(falling.cumsum(-1) - falling > sampling.top_p, 2).amin(-1, keepdim=True)
        values[whole] = wide.masked_fill(wide < least, 0)
        ids[whole] = torch.arange(wide.shape[-1], device=ids.device)
    return values, ids, whole
