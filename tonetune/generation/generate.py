"""Answers from a model, in batches; and how well it predicts given answers."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence, Set
from itertools import groupby

import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tonetune.generation.prefixes import Ids, SharedPrefixes
from tonetune.generation.sampling import Sampling, sample
from tonetune.model.chat_template import stop_ids
from tonetune.model.kernels.malloc import trim

DROP_TOGETHER = 8  # rows that have ended: for every new number of rows oneDNN compiles its matrix products anew


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
    beginnings = SharedPrefixes(model, prompts)
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
            trim()
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
        beginnings: SharedPrefixes,
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
            drawn = sample(self.model.lm_head(hidden), sampling, [self.generators[row] for row in alive])
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
            if len(ended) >= min(DROP_TOGETHER, len(alive) / 2):
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
