"""Answers from a model, in batches; and how well it predicts given answers."""

import hashlib
import math
from collections.abc import Iterator, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from tone.chat_format import stop_ids
from tone.errors import UserError
from tone.params import Evaluate
from tone.roomy_cache import RoomyLayer, WholeLayer, roomy_cache
from tone.shared_prefix import Prefix, shares, sharing

LOGITS_AT_ONCE = 256
ROWS_AT_ONCE = 16  # of next-token probabilities: a few megabytes stay in the processor's cache


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


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    seeds: Sequence[int],
    label: str = "generating",
) -> list[str]:
    """One answer to each prompt (token ids), in the order given: what `generate_ids` draws, as text."""
    answers = generate_ids(model, tokenizer, prompts, sampling, seeds, label)
    return [str(tokenizer.decode(tokens, skip_special_tokens=True)).strip() for tokens in answers]


@torch.inference_mode()
def generate_ids(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    seeds: Sequence[int],
    label: str = "generating",
) -> list[list[int]]:
    """The token ids of each answer, without the end of turn; `seeds[i]` alone decides the i-th answer's draws.

    Prompts are sorted by length, as many at once as `batch_tokens` allows, and padded on the left; a row that has ended
    leaves the batch. A prompt that is given several times is run through the model once, and so is what all prompts begin
    with, which is held once where the model can attend to it so. The draws come from one generator a row, so an answer
    does not depend on what else is in its batch.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    beginning = _Beginning(model, prompts)
    tails = [list(prompt[beginning.length :]) for prompt in prompts]
    lengths = [beginning.columns + len(tail) + sampling.max_new_tokens for tail in tails]
    # The bar counts tokens: all that there may be, less what an answer leaves unused when it ends.
    bar = tqdm(total=len(prompts) * sampling.max_new_tokens, desc=label, unit="token")
    with bar, beginning.attended():
        for rows in batches(lengths, sampling.batch_tokens):
            asked, own_seeds = [tails[i] for i in rows], [seeds[i] for i in rows]
            batch = _Batch(model, tokenizer, beginning, asked, own_seeds, sampling.max_new_tokens)
            for position, tokens in batch.run(sampling, bar):
                answers[rows[position]] = tokens
    return answers


def batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Places in order of length, as many at once as come to `batch_tokens` with their padding; at least one."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batch and (len(batch) + 1) * lengths[i] > batch_tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with; at least one of each is left over."""
    if not prompts:
        return 0
    first, last = min(map(list, prompts)), max(map(list, prompts))  # in the order of a dictionary
    limit = min(len(prompt) for prompt in prompts) - 1
    return next((i for i in range(limit) if first[i] != last[i]), limit)


class _Beginning:
    """What all prompts begin with: held once where the model can attend to it so, else in the cache of each row."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]]):
        self.model = model
        self.length = _common_prefix(prompts)
        self.tokens = list(prompts[0][: self.length]) if self.length else []
        self.columns = self.length
        """How many columns it takes in the mask of each row."""
        self.keywords: dict[str, Prefix] = {}
        """What the model has to be called with besides."""
        if self.length and shares(model):
            layers: list[Any] = self.cache(1, self.length).layers
            self.keywords = {"prefix": [(layer.keys[0], layer.values[0]) for layer in layers]}
            self.columns = 0

    def cache(self, rows: int, most: int) -> DynamicCache:
        """A cache for so many rows of at most so many tokens each, with what is not held apart."""
        cache = roomy_cache(self.model.config, partial(WholeLayer, most) if self.keywords else RoomyLayer)
        if self.columns:
            ids = torch.tensor([self.tokens], device=self.model.device)
            self.model.model(input_ids=ids, past_key_values=cache, use_cache=True)
            cache.batch_repeat_interleave(rows)
        return cache

    def attended(self) -> AbstractContextManager[None]:
        """Within it the model can be called with `keywords`."""
        return sharing(self.model) if self.keywords else nullcontext()


class _Batch:
    """Rows that are generated together until each has ended."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        beginning: _Beginning,
        tails: list[list[int]],
        seeds: list[int],
        max_new_tokens: int,
    ):
        self.model = model
        self.device = model.device
        self.stops = stop_ids(tokenizer, model)
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        # What is asked with several seeds runs through the model once: `rows` are the places of the tails among these.
        places = {tail: place for place, tail in enumerate(dict.fromkeys(map(tuple, tails)))}
        self.rows = torch.tensor([places[tuple(tail)] for tail in tails], device=self.device)
        width = max(map(len, places))
        padding = [width - len(tail) for tail in places]
        padded = [[0] * pad + list(tail) for pad, tail in zip(padding, places, strict=True)]
        self.ids = torch.tensor(padded, device=self.device)
        # Columns of the mask: what all begin with, unless it is held apart; the padding between it and the tails; the tails.
        columns = beginning.columns
        self.mask = torch.tensor(
            [[1] * columns + [0] * pad + [1] * (width - pad) for pad in padding], device=self.device
        )
        self.cache = beginning.cache(len(places), columns + width + max_new_tokens)
        self.keywords = beginning.keywords
        self.before = beginning.length - columns

    def run(self, sampling: Sampling, bar: tqdm) -> Iterator[tuple[int, list[int]]]:
        """Yield (row, token ids) of each answer as it ends."""
        alive = list(range(len(self.generators)))
        tokens: list[list[int]] = [[] for _ in alive]
        positions = (self.mask.cumsum(1) - 1).clamp(min=0)[:, -self.ids.shape[1] :] + self.before
        ids = self.ids
        for step in range(sampling.max_new_tokens):
            hidden = self.model.model(
                input_ids=ids,
                attention_mask=self.mask,
                position_ids=positions,
                past_key_values=self.cache,
                use_cache=True,
                **self.keywords,
            ).last_hidden_state[:, -1]
            if step == 0:
                hidden, positions, self.mask = hidden[self.rows], positions[self.rows], self.mask[self.rows]
                self.cache.batch_select_indices(self.rows)
            drawn = draw(self.model.lm_head(hidden), sampling, [self.generators[row] for row in alive])
            bar.update(len(alive))
            ended = set()
            for place, (row, token) in enumerate(zip(alive, drawn.tolist(), strict=True)):
                if token not in self.stops:
                    tokens[row].append(token)
                if token in self.stops or step == sampling.max_new_tokens - 1:
                    bar.total -= sampling.max_new_tokens - 1 - step
                    yield row, tokens[row]
                    ended.add(place)
            if len(ended) == len(alive):
                return
            positions = positions[:, -1:] + 1
            if ended:
                places = _closed_ranks(len(alive), ended)
                alive = [alive[place] for place in places]
                kept = torch.tensor(places, device=self.device)
                drawn, positions, self.mask = drawn[places], positions[kept], self.mask[kept]
                self.cache.batch_select_indices(kept)
            ids = drawn[:, None].to(self.device)
            self.mask = torch.cat([self.mask, self.mask.new_ones(len(alive), 1)], dim=1)


def _closed_ranks(rows: int, ended: Set[int]) -> list[int]:
    """The places of the rows that go on: the last ones move up to where one has ended, the others stay."""
    going_on = [place for place in range(rows) if place not in ended]
    last = reversed(going_on)
    return [next(last) if place in ended else place for place in range(len(going_on))]


def draw(logits: torch.Tensor, sampling: Sampling, generators: Sequence[torch.Generator]) -> torch.Tensor:
    """The next token of each row of `logits` (rows, vocabulary): nucleus sampling, or the likeliest at temperature 0."""
    if sampling.temperature == 0:
        return logits.argmax(-1).cpu()
    likeliest = [_likeliest(some, sampling.temperature) for some in logits.split(ROWS_AT_ONCE)]
    probabilities, ids = (torch.cat(parts).cpu() for parts in zip(*likeliest, strict=True))
    before = probabilities.cumsum(-1) - probabilities
    probabilities = probabilities.masked_fill(before > sampling.top_p, 0)
    cumulative = probabilities.cumsum(-1)
    uniform = torch.stack([torch.rand(1, generator=generator) for generator in generators])
    places = (cumulative < uniform * cumulative[:, -1:]).sum(-1, keepdim=True).clamp(max=ids.shape[-1] - 1)
    return ids.gather(-1, places).squeeze(-1)


def _likeliest(logits: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities and ids of the likeliest tokens of each row, which its nucleus lies within.

    Sorting 256 of 49,152 is enough but for near-uniform rows.
    """
    every = (logits.float() / temperature).softmax(-1)
    likeliest = every.topk(min(256, every.shape[-1]), dim=-1)
    return likeliest.values, likeliest.indices


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
    beginning = _Beginning(model, prompts)
    tails = [[*prompt[beginning.length :], *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    with tqdm(total=len(prompts), desc=label, unit="answer") as bar, beginning.attended():
        for rows in batches([beginning.columns + len(tail) for tail in tails], batch_tokens):
            width = max(len(tails[i]) for i in rows)
            ids = torch.tensor([tails[i] + [0] * (width - len(tails[i])) for i in rows], device=model.device)
            length = torch.tensor([[len(tails[i])] for i in rows], device=model.device)
            answer = torch.tensor([[counts[i]] for i in rows], device=model.device)
            place = torch.arange(width, device=model.device)
            supervised = ((place >= length - answer) & (place < length))[:, 1:]
            mask = torch.cat([ids.new_ones(len(rows), beginning.columns), (place < length).long()], dim=1)
            hidden = model.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=(place + beginning.length).expand_as(ids),
                past_key_values=beginning.cache(len(rows), beginning.columns + width),
                use_cache=True,
                **beginning.keywords,
            )
            # A share of the tokens at a time: the logits of all would take half a gigabyte.
            states = hidden.last_hidden_state[:, :-1][supervised].split(LOGITS_AT_ONCE)
            targets = ids[:, 1:][supervised].split(LOGITS_AT_ONCE)
            losses = torch.cat(
                [
                    cross_entropy(model.lm_head(some).float(), target, reduction="none")
                    for some, target in zip(states, targets, strict=True)
                ]
            )
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
