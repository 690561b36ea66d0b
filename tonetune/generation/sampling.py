"""How the next token is sampled: temperature, nucleus (top-p), and a seed for every answer."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from tonetune.core.params import Evaluate

ROWS_PER_CHUNK = 16  # rows whose probabilities are computed at a time: a few megabytes stay in the processor's cache


# The nucleus is looked for among the top k tokens: the smaller k takes half the time and is nearly always enough. Where
# the larger one is not, the whole row is sorted; with `top_p` 1 there is no nucleus, and the whole vocabulary is sampled from.
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
    uniform = torch.stack([torch.rand(1, generator=generator) for generator in generators])
    if sampling.top_p == 1:
        probabilities = (logits.float() / sampling.temperature).softmax(-1).cpu()
        return _by_uniform(probabilities, torch.arange(logits.shape[-1]).expand(logits.shape), uniform)
    top = [_top_k(chunk, sampling) for chunk in logits.split(ROWS_PER_CHUNK)]
    probabilities, ids = (torch.cat(chunks).cpu() for chunks in zip(*top, strict=True))
    tokens = _by_uniform(_nucleus(probabilities, sampling), ids, uniform)
    # A wider nucleus is found in the whole row, where one number would hang on the last bits of the sums of so many tokens
    # that are about as likely: they are other ones in another batch. So each token has its own, and the first to come wins.
    wide = (probabilities.cumsum(-1)[:, -1] <= sampling.top_p).nonzero().squeeze(-1)
    if len(wide) and probabilities.shape[-1] < logits.shape[-1]:
        rows = (logits[wide.to(logits.device)].float() / sampling.temperature).softmax(-1).cpu()
        ordered, ids = rows.sort(dim=-1, descending=True, stable=True)
        rows = torch.zeros_like(rows).scatter(-1, ids, _nucleus(ordered, sampling))
        for place, row in zip(wide.tolist(), rows, strict=True):
            # Seeded by the row's number, so that the row's generator goes on as after any other token.
            own = torch.Generator().manual_seed(int(uniform[place] * 2**24))
            tokens[place] = (row / torch.empty_like(row).exponential_(generator=own)).argmax()
    return tokens


def _nucleus(probabilities: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The probabilities (rows, n), in falling order, with 0 for those beyond `top_p`."""
    preceding = probabilities.cumsum(-1) - probabilities
    return probabilities.masked_fill(preceding > sampling.top_p, 0)


def _by_uniform(probabilities: torch.Tensor, ids: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The id that each row's number in [0, 1), `uniform` (rows, 1), falls on."""
    cumulative = probabilities.cumsum(-1)
    columns = (cumulative < uniform * cumulative[:, -1:]).sum(-1, keepdim=True).clamp(max=ids.shape[-1] - 1)
    return ids.gather(-1, columns).squeeze(-1)


def _top_k(logits: torch.Tensor, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities and ids of each row's most likely tokens, (rows, the larger k) in falling order, padded with 0.

    256 of 49,152 hold the nucleus of all but near-uniform rows.
    """
    probabilities = (logits.float() / sampling.temperature).softmax(-1)
    small_k, large_k = (min(k, probabilities.shape[-1]) for k in NUCLEUS_TOP_K)
    values, ids = probabilities.topk(small_k, dim=-1)
    if (values.cumsum(-1)[:, -1] <= sampling.top_p).any():
        top = probabilities.topk(large_k, dim=-1)
        return top.values, top.indices
    return pad(values, (0, large_k - small_k)), pad(ids, (0, large_k - small_k))
