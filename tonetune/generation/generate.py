"""Answers from a model, in batches."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence, Set
from itertools import groupby

import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tonetune.core.text import first_sentences
from tonetune.generation.prefixes import Ids, SharedPrefixes
from tonetune.generation.sampling import Sampling, sample
from tonetune.model.chat_template import stop_ids
from tonetune.model.head import logits
from tonetune.model.kernels.malloc import trim

# Finished rows leave the batch so many at a time: oneDNN compiles its matrix products anew for every number of rows.
MIN_FINISHED = 8


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    seeds: Sequence[int],
    label: str = "generating",
) -> list[str]:
    """One answer to each prompt (token ids), in the order given: what `generate_ids` samples, as text."""
    answers = generate_ids(model, tokenizer, prompts, sampling, seeds, label)
    return [first_sentences(_text(tokenizer, tokens), sampling.max_sentences) for tokens in answers]


@torch.inference_mode()
def generate_ids(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    seeds: Sequence[int],
    label: str = "generating",
) -> list[list[int]]:
    """The token ids of each answer, without the end of turn; `seeds[i]` alone seeds the sampling of the i-th answer.

    With `sampling.max_sentences` an answer also ends with the token that begins a sentence too many.

    Prompts are sorted by length, batched up to `batch_tokens`, and padded on the left; finished rows leave the batch, a
    few at a time. Equal prompts and shared prefixes are computed once. Each row has a random generator of its own, so
    an answer does not depend on what else is in its batch.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    prefixes = SharedPrefixes(model, prompts)
    lengths = [prefixes.columns + len(suffix) + sampling.max_new_tokens for suffix in prefixes.suffixes]
    # The bar counts tokens: as many as there can be, less those that are left when an answer ends early.
    bar = tqdm(total=len(prompts) * sampling.max_new_tokens, desc=label, unit="token")
    with bar, prefixes.enabled():
        for indices in batches(lengths, sampling.batch_tokens):
            indices.sort(key=prefixes.groups.__getitem__)
            batch = _Batch(model, tokenizer, prefixes, indices, [seeds[i] for i in indices], sampling.max_new_tokens)
            for index, tokens in batch.run(sampling, bar):
                answers[index] = tokens
            del batch  # frees its cache before the next one is allocated
            trim()
    return answers


def batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Indices in order of length, in as few batches as hold `batch_tokens` each, padding included, or a single row.

    The batches are of about the same size: a small last batch would take nearly as long as a full one.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)

    def filled(max_tokens: int) -> list[list[int]]:
        filled_batches: list[list[int]] = []
        for i in order:
            if not filled_batches or (len(filled_batches[-1]) + 1) * lengths[i] > max_tokens:
                filled_batches.append([])
            filled_batches[-1].append(i)
        return filled_batches

    fewest = len(filled(batch_tokens))
    return filled(bisect_left(range(batch_tokens), True, key=lambda max_tokens: len(filled(max_tokens)) <= fewest))


class _Batch:
    """Rows that are generated together until each has finished.

    `indices` are the prompts' indices in `prefixes`, those of a group side by side; `seeds` are one for each of them.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        prefixes: SharedPrefixes,
        indices: list[int],
        seeds: list[int],
        max_new_tokens: int,
    ):
        self.model = model
        self.device = model.device
        self.tokenizer = tokenizer
        self.stop_ids = stop_ids(tokenizer, model)
        self.prefixes = prefixes
        self.indices = indices
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        # Prefill runs over distinct prompts: one that is given with several seeds is computed once and copied.
        first: dict[Ids, int] = {}
        first_indices = [first.setdefault(prefixes.prompts[index], index) for index in indices]
        self.distinct = list(first.values())
        self.sources = torch.tensor([self.distinct.index(index) for index in first_indices], device=self.device)
        """The row of the prefill that each row is a copy of."""
        suffixes = [prefixes.suffixes[index] for index in self.distinct]
        width = max(map(len, suffixes))
        padding = [width - len(suffix) for suffix in suffixes]
        padded = [[0] * pad + suffix for pad, suffix in zip(padding, suffixes, strict=True)]
        self.ids = torch.tensor(padded, device=self.device)
        # Columns of the attention mask: the prefix if it is in the rows' cache, padding, the suffix.
        columns = prefixes.columns
        self.mask = torch.tensor(
            [[1] * columns + [0] * pad + [1] * (width - pad) for pad in padding], device=self.device
        )
        self.cache = prefixes.cache(len(suffixes), columns + width + max_new_tokens, len(indices))
        # Positions count the prefix, also where it has no columns.
        shared = [[prefixes.lengths[index] - columns] for index in self.distinct]
        self.positions = (self.mask.cumsum(1) - 1).clamp(min=0)[:, -width:] + torch.tensor(shared, device=self.device)

    def run(self, sampling: Sampling, bar: tqdm) -> Iterator[tuple[int, list[int]]]:
        """Yield (index of the prompt, token ids of its answer) as each answer finishes."""
        active = list(range(len(self.indices)))  # rows that are still in the batch; a slot is a position in this list
        tokens: list[list[int]] = [[] for _ in active]
        finished: set[int] = set()  # slots
        ids, positions, indices = self.ids, self.positions, self.distinct
        for step in range(sampling.max_new_tokens):
            hidden = self.model.model(
                input_ids=ids,
                attention_mask=self.mask,
                position_ids=positions,
                past_key_values=self.cache,
                use_cache=True,
                **self.prefixes.model_kwargs(indices),
            ).last_hidden_state[:, -1]
            if step == 0:
                hidden, positions, self.mask = hidden[self.sources], positions[self.sources], self.mask[self.sources]
                self.cache.batch_select_indices(self.sources)
                indices = self.indices
            sampled = sample(logits(self.model, hidden), sampling, [self.generators[row] for row in active])
            bar.update(len(active) - len(finished))
            for slot, (row, token) in enumerate(zip(active, sampled.tolist(), strict=True)):
                if slot in finished:
                    continue
                if token not in self.stop_ids:
                    tokens[row].append(token)
                last = step == sampling.max_new_tokens - 1
                if last or token in self.stop_ids or self._beyond(tokens[row], sampling.max_sentences):
                    bar.total -= sampling.max_new_tokens - 1 - step
                    yield indices[slot], tokens[row]
                    finished.add(slot)
            if len(finished) == len(active):
                return
            positions = positions[:, -1:] + 1
            if len(finished) >= min(MIN_FINISHED, len(active) / 2):
                slots = _compacted([self.prefixes.groups[index] for index in indices], finished)
                active, indices = [active[slot] for slot in slots], [indices[slot] for slot in slots]
                selected = torch.tensor(slots, device=self.device)
                sampled, positions, self.mask = sampled[slots], positions[selected], self.mask[selected]
                self.cache.batch_select_indices(selected)
                finished = set()
            ids = sampled[:, None].to(self.device)
            self.mask = torch.cat([self.mask, self.mask.new_ones(len(active), 1)], dim=1)

    def _beyond(self, tokens: list[int], max_sentences: int | None) -> bool:
        """Whether the answer has begun a sentence too many."""
        if max_sentences is None:
            return False
        text = _text(self.tokenizer, tokens)
        return len(first_sentences(text, max_sentences)) < len(text)


def _text(tokenizer: PreTrainedTokenizerBase, tokens: list[int]) -> str:
    return str(tokenizer.decode(tokens, skip_special_tokens=True)).strip()


def _compacted(groups: Sequence[int], finished: Set[int]) -> list[int]:
    """The unfinished slots in the order of their new slots: groups stay side by side and as few rows as possible move.

    `groups` are the group of each slot. The cache copies the rows that move.
    """
    slots: list[int] = []
    for _, members in groupby(range(len(groups)), key=groups.__getitem__):
        unfinished = [slot for slot in members if slot not in finished]
        new_slots = range(len(slots), len(slots) + len(unfinished))
        staying = set(unfinished).intersection(new_slots)
        moving = reversed([slot for slot in unfinished if slot not in staying])
        slots += [slot if slot in staying else next(moving) for slot in new_slots]
    return slots
