"""How likely a model finds given answers: the token losses that perplexity and the score of sense are made of."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import PreTrainedModel

from tonetune.core.errors import UserError
from tonetune.generation.generate import batches
from tonetune.generation.prefixes import SharedPrefixes

ROWS = 192  # positions whose logits are in memory at a time: 19 MB of bfloat16 with SmolLM2's vocabulary
CACHED = 16  # positions whose logits are turned into losses at a time: in float32 they stay in the cache


@dataclass(frozen=True)
class Likelihood:
    """How well given answers are predicted: totals over all of them, in nats, tokens and UTF-8 bytes."""

    nats: tuple[float, ...]
    tokens: tuple[int, ...]
    utf8_bytes: int

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log-likelihood of an answer token."""
        return math.exp(sum(self.nats) / sum(self.tokens))

    @property
    def bits_per_byte(self) -> float:
        """Bits per byte of text, which compares models with different tokenizers."""
        return sum(self.nats) / math.log(2) / self.utf8_bytes


@torch.inference_mode()
def likelihood(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    texts: Sequence[str],
    batch_tokens: int,
    label: str = "perplexity",
) -> Likelihood:
    """Negative log-likelihood of each answer's tokens (its end-of-turn token included) after its prompt.

    One forward pass over batches sorted by length, of `batch_tokens` at most, what all prompts begin with once; `texts` are
    the answers as text, for the count of bytes.
    """
    nats, counts = [0.0] * len(prompts), [len(answer) for answer in answers]
    beginnings = SharedPrefixes(model, prompts)
    columns = beginnings.columns
    tails = [[*tail, *answer] for tail, answer in zip(beginnings.tails, answers, strict=True)]
    with tqdm(total=len(prompts), desc=label, unit="answer") as bar, beginnings.attended():
        for rows in batches([columns + len(tail) for tail in tails], batch_tokens):
            rows.sort(key=beginnings.family.__getitem__)
            width = max(len(tails[i]) for i in rows)
            ids = torch.tensor([tails[i] + [0] * (width - len(tails[i])) for i in rows], device=model.device)
            length = torch.tensor([[len(tails[i])] for i in rows], device=model.device)
            answer = torch.tensor([[counts[i]] for i in rows], device=model.device)
            place = torch.arange(width, device=model.device)
            supervised = ((place >= length - answer) & (place < length))[:, 1:]
            mask = torch.cat([ids.new_ones(len(rows), columns), (place < length).long()], dim=1)
            before = torch.tensor([[beginnings.lengths[i]] for i in rows], device=model.device)
            hidden = model.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=place + before,
                past_key_values=beginnings.cache(len(rows), columns + width),
                use_cache=True,
                **beginnings.keywords(rows),
            )
            states = hidden.last_hidden_state[:, :-1][supervised]
            losses = token_losses(model.lm_head, states, ids[:, 1:][supervised])
            owners = supervised.nonzero()[:, 0]
            sums = torch.zeros(len(rows), device=model.device).index_add_(0, owners, losses)
            for index, i in enumerate(rows):
                nats[i] = float(sums[index])
            bar.update(len(rows))
    if not all(map(math.isfinite, nats)):
        raise UserError(
            f"{label}: the model's probabilities are no numbers; are its weights damaged, or compute.dtype too narrow?"
        )
    return Likelihood(tuple(nats), tuple(counts), sum(len(text.encode()) for text in texts))


def token_losses(head: torch.nn.Module, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each of `targets` (n) given `hidden` (n, width), in float32, (n), a few rows at a time."""
    losses = []
    for states, wanted in zip(hidden.split(ROWS), targets.split(ROWS), strict=True):
        parts = zip(head(states).split(CACHED), wanted.split(CACHED), strict=True)
        losses += [cross_entropy(logits.float(), target, reduction="none") for logits, target in parts]
    return torch.cat(losses)
