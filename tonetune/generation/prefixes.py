"""What prompts begin with, run through the model once."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import groupby
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel

from tonetune.generation.decoder_layer import decoding_layers, supports_decoding_layer
from tonetune.generation.kv_cache import PreallocatedLayer, StaticLayer, preallocated_cache
from tonetune.generation.prefix_attention import Prefix, group_sizes, sharing

# So many prompts that share so many tokens more than all do are a family of their own: each costs every step a little.
MIN_PROMPTS = 4
MIN_TOKENS = 16

Ids = tuple[int, ...]


class SharedPrefixes:
    """What prompts begin with: of each family held once where the model can attend to it so, else of all in each row's cache."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]]):
        self.model = model
        self.prompts = [tuple(prompt) for prompt in prompts]
        distinct = list(dict.fromkeys(self.prompts))
        found = group_by_prefix(distinct) if group_sizes(model) else []
        self.held_once = bool(found) and all(length for length, _ in found)
        if not self.held_once:
            found = [(common_prefix(distinct), distinct)] if distinct else []
        family_of = {prompt: number for number, (_, alike) in enumerate(found) for prompt in alike}
        self.family = [family_of[prompt] for prompt in self.prompts]
        """The family of each prompt."""
        self.lengths = [found[family][0] for family in self.family]
        """How many tokens of each prompt are its family's beginning."""
        self.tails = [list(prompt[length:]) for prompt, length in zip(self.prompts, self.lengths, strict=True)]
        """The others."""
        beginnings = [alike[0][:length] for length, alike in found]
        self.prefixes = [self._run(tokens) for tokens in beginnings] if self.held_once else []
        self.in_rows: Ids = () if self.held_once or not beginnings else beginnings[0]
        """The beginning that has to be in the cache of each row."""

    def _run(self, tokens: Ids) -> Prefix:
        cache = preallocated_cache(self.model.config)
        self.model.model(input_ids=self._batch_of_one(tokens), past_key_values=cache, use_cache=True)
        layers: list[Any] = cache.layers
        return [(layer.keys[0], layer.values[0]) for layer in layers]

    def _batch_of_one(self, tokens: Ids) -> torch.Tensor:
        return torch.tensor([tokens], device=self.model.device)

    @property
    def columns(self) -> int:
        """How many columns the beginning takes in the mask of each row."""
        return len(self.in_rows)

    def cache(self, rows: int, most: int, later: int | None = None) -> DynamicCache:
        """A cache for so many rows of at most so many tokens each, with what is not held apart; `later` for more rows."""
        layer = partial(StaticLayer, later or rows, most) if self.held_once else PreallocatedLayer
        cache = preallocated_cache(self.model.config, layer)
        if self.in_rows:
            ids = self._batch_of_one(self.in_rows)
            self.model.model(input_ids=ids, past_key_values=cache, use_cache=True)
            cache.batch_repeat_interleave(rows)
        return cache

    def keywords(self, places: Sequence[int]) -> dict[str, Any]:
        """What the model has to be called with for the prompts at `places`, those of one family side by side."""
        if not self.held_once:
            return {}
        alike = groupby(places, key=self.family.__getitem__)
        return {"prefixes": [(len(list(rows)), self.prefixes[family]) for family, rows in alike]}

    def attended(self) -> AbstractContextManager[None]:
        """Within it the model can be called with `keywords`."""
        if not self.held_once:
            return nullcontext()
        return decoding_layers(self.model) if supports_decoding_layer(self.model) else sharing(self.model)


def common_prefix(prompts: Sequence[Ids]) -> int:
    """How many tokens all prompts begin with; at least one of each is left over."""
    first, last = min(prompts), max(prompts)  # in the order of a dictionary
    limit = min(map(len, prompts)) - 1
    return next((i for i in range(limit) if first[i] != last[i]), limit)


def group_by_prefix(prompts: Sequence[Ids]) -> list[tuple[int, list[Ids]]]:
    """Distinct prompts by what they begin with: how many tokens, and the prompts.

    What all share is a beginning; where `LEAST_PROMPTS` of them share `LEAST_TOKENS` more, theirs is a longer one.
    """
    if not prompts:
        return []
    shared = common_prefix(prompts)
    branches: dict[int, list[Ids]] = {}
    for prompt in prompts:
        branches.setdefault(prompt[shared], []).append(prompt)
    rest: list[Ids] = []
    apart = []
    for branch in branches.values():
        # A branch of all is what is left where a prompt is no longer than what is shared.
        within = group_by_prefix(branch) if MIN_PROMPTS <= len(branch) < len(prompts) else [(shared, branch)]
        for length, alike in within:
            if len(alike) >= MIN_PROMPTS and length >= shared + MIN_TOKENS:
                apart.append((length, alike))
            else:
                rest += alike
    return ([(shared, rest)] if rest else []) + apart
