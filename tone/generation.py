"""Answers from a model, in batches; and how well it predicts given answers."""

import hashlib
import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import groupby

import torch
from torch.nn.functional import pad
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tone.beginnings import Beginnings, Ids
from tone.chat_format import stop_ids
from tone.errors import UserError
from tone.loss import token_losses
from tone.memory import give_back
from tone.params import Evaluate

LEAVE_TOGETHER = 8  # rows that have ended: for every new number of rows oneDNN compiles its matrix products anew
ROWS_AT_ONCE = 16  # of next-token probabilities: a few megabytes stay in the processor's cache
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

    Prompts are sorted by length, as many at once as `batch_tokens` allows, and padded on the left; rows that have ended leave
    the batch, a few at a time. A prompt that is given several times is run through the model once, and so is what many
    prompts begin with, which is held once where the model can attend to it so. The draws come from one generator a row, so
    an answer does not depend on what else is in its batch.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    beginnings = Beginnings(model, prompts)
    lengths = [beginnings.columns + len(tail) + sampling.max_new_tokens for tail in beginnings.tails]
    # The bar counts tokens: all that there may be, less what an answer leaves unused when it ends.
    bar = tqdm(total=len(prompts) * sampling.max_new_tokens, desc=label, unit="token")
    with bar, beginnings.attended():
        for places in batches(lengths, sampling.batch_tokens):
            places.sort(key=beginnings.family.__getitem__)
            batch = _Batch(model, tokenizer, beginnings, places, [seeds[i] for i in places], sampling.max_new_tokens)
            for place, tokens in batch.run(sampling, bar):
                answers[place] = tokens
            del batch  # and its cache, before there is another
            give_back()
    return answers


def batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Places in order of length, in as few batches as `batch_tokens` allows, with their padding, and at least one in each.

    They are of about the same size: the last one would take nearly as long if it were what is left over.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)

    def filled(most: int) -> list[list[int]]:
        found: list[list[int]] = []
        for i in order:
            if not found or (len(found[-1]) + 1) * lengths[i] > most:
                found.append([])
            found[-1].append(i)
        return found

    fewest = len(filled(batch_tokens))
    return filled(bisect_left(range(batch_tokens), True, key=lambda most: len(filled(most)) <= fewest))


class _Batch:
    """Rows that are generated together until each has ended."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        beginnings: Beginnings,
        places: list[int],
        seeds: list[int],
        max_new_tokens: int,
    ):
        self.model = model
        self.device = model.device
        self.stops = stop_ids(tokenizer, model)
        self.beginnings = beginnings
        self.places = places
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        # What is asked with several seeds runs through the model once: `rows` are the places of all among the distinct ones.
        first: dict[Ids, int] = {}
        alike = [first.setdefault(beginnings.prompts[place], place) for place in places]
        self.distinct = list(first.values())
        self.rows = torch.tensor([self.distinct.index(place) for place in alike], device=self.device)
        tails = [beginnings.tails[place] for place in self.distinct]
        width = max(map(len, tails))
        padding = [width - len(tail) for tail in tails]
        padded = [[0] * pad + tail for pad, tail in zip(padding, tails, strict=True)]
        self.ids = torch.tensor(padded, device=self.device)
        # Columns of the mask: the beginning, unless it is held apart; the padding between it and the tails; the tails.
        columns = beginnings.columns
        self.mask = torch.tensor(
            [[1] * columns + [0] * pad + [1] * (width - pad) for pad in padding], device=self.device
        )
        self.cache = beginnings.cache(len(tails), columns + width + max_new_tokens, len(places))
        apart = [[beginnings.lengths[place] - columns] for place in self.distinct]
        self.positions = (self.mask.cumsum(1) - 1).clamp(min=0)[:, -width:] + torch.tensor(apart, device=self.device)

    def run(self, sampling: Sampling, bar: tqdm) -> Iterator[tuple[int, list[int]]]:
        """Yield (place, token ids) of each answer as it ends."""
        alive = list(range(len(self.places)))
        tokens: list[list[int]] = [[] for _ in alive]
        ended: set[int] = set()
        ids, positions, asked = self.ids, self.positions, self.distinct
        for step in range(sampling.max_new_tokens):
            hidden = self.model.model(
                input_ids=ids,
                attention_mask=self.mask,
                position_ids=positions,
                past_key_values=self.cache,
                use_cache=True,
                **self.beginnings.keywords(asked),
            ).last_hidden_state[:, -1]
            if step == 0:
                hidden, positions, self.mask = hidden[self.rows], positions[self.rows], self.mask[self.rows]
                self.cache.batch_select_indices(self.rows)
                asked = self.places
            drawn = draw(self.model.lm_head(hidden), sampling, [self.generators[row] for row in alive])
            bar.update(len(alive) - len(ended))
            for rank, (row, token) in enumerate(zip(alive, drawn.tolist(), strict=True)):
                if rank in ended:
                    continue
                if token not in self.stops:
                    tokens[row].append(token)
                if token in self.stops or step == sampling.max_new_tokens - 1:
                    bar.total -= sampling.max_new_tokens - 1 - step
                    yield asked[rank], tokens[row]
                    ended.add(rank)
            if len(ended) == len(alive):
                return
            positions = positions[:, -1:] + 1
            if len(ended) >= min(LEAVE_TOGETHER, len(alive) / 2):
                ranks = _closed_ranks([self.beginnings.family[place] for place in asked], ended)
                alive, asked = [alive[rank] for rank in ranks], [asked[rank] for rank in ranks]
                kept = torch.tensor(ranks, device=self.device)
                drawn, positions, self.mask = drawn[ranks], positions[kept], self.mask[kept]
                self.cache.batch_select_indices(kept)
                ended = set()
            ids = drawn[:, None].to(self.device)
            self.mask = torch.cat([self.mask, self.mask.new_ones(len(alive), 1)], dim=1)


def _closed_ranks(families: Sequence[int], ended: Set[int]) -> list[int]:
    """The ranks of the rows that go on, those of a family side by side as they were, and as few moved as can be."""
    ranks: list[int] = []
    for _, rows in groupby(range(len(families)), key=families.__getitem__):
        going_on = [rank for rank in rows if rank not in ended]
        taken = range(len(ranks), len(ranks) + len(going_on))
        staying = set(going_on).intersection(taken)
        moving = reversed([rank for rank in going_on if rank not in staying])
        ranks += [rank if rank in staying else next(moving) for rank in taken]
    return ranks


def draw(logits: torch.Tensor, sampling: Sampling, generators: Sequence[torch.Generator]) -> torch.Tensor:
    """The next token of each row of `logits` (rows, vocabulary): nucleus sampling, or the likeliest at temperature 0."""
    if sampling.temperature == 0:
        return logits.argmax(-1).cpu()
    likeliest = [_likeliest(some, sampling) for some in logits.split(ROWS_AT_ONCE)]
    probabilities, ids = (torch.cat(parts).cpu() for parts in zip(*likeliest, strict=True))
    before = probabilities.cumsum(-1) - probabilities
    probabilities = probabilities.masked_fill(before > sampling.top_p, 0)
    cumulative = probabilities.cumsum(-1)
    uniform = torch.stack([torch.rand(1, generator=generator) for generator in generators])
    places = (cumulative < uniform * cumulative[:, -1:]).sum(-1, keepdim=True).clamp(max=ids.shape[-1] - 1)
    return ids.gather(-1, places).squeeze(-1)


def _likeliest(logits: torch.Tensor, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
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
    beginnings = Beginnings(model, prompts)
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
