"""How likely a model finds given answers: the token losses that perplexity is made of."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import PreTrainedModel

from tonetune.core.errors import UserError
from tonetune.generation.generate import batches
from tonetune.generation.prefixes import SharedPrefixes
from tonetune.model.head import LOGITS_CHUNK, LOSS_CHUNK, logits


@dataclass(frozen=True)
class Likelihood:
    """How well given answers are predicted."""

    nats: tuple[float, ...]
    """The negative log-likelihood of each answer."""
    tokens: tuple[int, ...]
    """The length of each answer."""
    utf8_bytes: int
    """The length of all answers together."""

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log-likelihood of an answer token."""
        return math.exp(sum(self.nats) / sum(self.tokens))

    @property
    def bits_per_byte(self) -> float:
        """Bits per byte of text, which compares models with different tokenizers."""
        return sum(self.nats) / math.log(2) / self.utf8_bytes


@torch.inference_mode()
def answer_states(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    batch_tokens: int,
    label: str,
    repeated: bool = False,
) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
    """The last hidden states from which the answers' tokens are predicted, after each answer's prompt.

    One forward pass over batches of up to `batch_tokens`, sorted by length and padded on the right; prefixes that prompts
    share are computed once, also a prompt that is itself `repeated`. For each batch: the indices of its answers, the states
    (tokens, hidden size) and the tokens (tokens), one answer's after the other's in the order of the indices.
    """
    lengths = [len(answer) for answer in answers]
    prefixes = SharedPrefixes(model, prompts, repeated)
    columns = prefixes.columns
    sequences = [[*suffix, *answer] for suffix, answer in zip(prefixes.suffixes, answers, strict=True)]
    with tqdm(total=len(prompts), desc=label, unit="answer") as bar, prefixes.enabled():
        for rows in batches([columns + len(sequence) for sequence in sequences], batch_tokens):
            rows.sort(key=prefixes.groups.__getitem__)
            width = max(len(sequences[i]) for i in rows)
            ids = torch.tensor([sequences[i] + [0] * (width - len(sequences[i])) for i in rows], device=model.device)
            length = torch.tensor([[len(sequences[i])] for i in rows], device=model.device)
            answer_length = torch.tensor([[lengths[i]] for i in rows], device=model.device)
            position = torch.arange(width, device=model.device)
            supervised = ((position >= length - answer_length) & (position < length))[:, 1:]
            mask = torch.cat([ids.new_ones(len(rows), columns), (position < length).long()], dim=1)
            prefix_lengths = torch.tensor([[prefixes.lengths[i]] for i in rows], device=model.device)
            hidden = model.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=position + prefix_lengths,
                past_key_values=prefixes.cache(len(rows), columns + width),
                use_cache=True,
                **prefixes.model_kwargs(rows),
            )
            yield rows, hidden.last_hidden_state[:, :-1][supervised], ids[:, 1:][supervised]
            bar.update(len(rows))


@torch.inference_mode()
def likelihood(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    texts: Sequence[str],
    batch_tokens: int,
    label: str = "perplexity",
) -> Likelihood:
    """The negative log-likelihood of each answer's tokens (its end-of-turn token included) after its prompt.

    Batches are those of `answer_states`. `texts` are the answers as text, for the count of bytes. A `UserError` if a
    likelihood is not finite.
    """
    nats, lengths = [0.0] * len(prompts), [len(answer) for answer in answers]
    for rows, states, tokens in answer_states(model, prompts, answers, batch_tokens, label):
        losses = token_losses(partial(logits, model), states, tokens)
        row_of_token = torch.arange(len(rows)).repeat_interleave(torch.tensor([lengths[i] for i in rows]))
        sums = torch.zeros(len(rows), device=model.device).index_add_(0, row_of_token.to(model.device), losses)
        for index, i in enumerate(rows):
            nats[i] = float(sums[index])
    if not all(map(math.isfinite, nats)):
        raise UserError(
            f"{label}: the model's probabilities are no numbers; are its weights damaged, or compute.dtype too narrow?"
        )
    return Likelihood(tuple(nats), tuple(lengths), sum(len(text.encode()) for text in texts))


def token_losses(
    head: Callable[[torch.Tensor], torch.Tensor], hidden: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Cross-entropy of each of `targets` (n) given `hidden` (n, width), in float32: (n), computed in chunks."""
    losses = []
    for states, targets_chunk in zip(hidden.split(LOGITS_CHUNK), targets.split(LOGITS_CHUNK), strict=True):
        chunks = zip(head(states).split(LOSS_CHUNK), targets_chunk.split(LOSS_CHUNK), strict=True)
        losses += [cross_entropy(chunk.float(), target, reduction="none") for chunk, target in chunks]
    return torch.cat(losses)
