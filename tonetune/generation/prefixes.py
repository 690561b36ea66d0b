"""Prefixes that prompts share, run through the model once.

Terms: prompts with the same prefix are a group; what follows the prefix of a prompt is its suffix.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import groupby
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel

from tonetune.generation.decoder_layer import decoding_layers, supports_decoding_layer
from tonetune.generation.kv_cache import PreallocatedLayer, StaticLayer, preallocated_cache
from tonetune.generation.prefix_attention import Prefix, has_sliding_window, prefix_sharing, supports_prefix_sharing

# A group gets a prefix of its own only if at least MIN_PROMPTS prompts share MIN_TOKENS more tokens:
# each group adds one matrix product to every decoding step.
MIN_PROMPTS = 4
MIN_TOKENS = 16

Ids = tuple[int, ...]


class SharedPrefixes:
    """The prompts as prefixes and suffixes, and the caches that the prefixes are in.

    Where the model supports prefix sharing, each group's prefix is held once, outside the cache of the batch. Elsewhere
    the prefix that all prompts share is computed once and copied into the cache of each row; with a sliding window
    prompts are computed whole. Prompts that are the same count as one, or with `repeated` each for itself: then a prompt that
    comes often is a prefix of its own, which only pays where no decoding follows.
    """

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], repeated: bool = False):
        self.model = model
        self.prompts = [tuple(prompt) for prompt in prompts]
        distinct = self.prompts if repeated else list(dict.fromkeys(self.prompts))
        groups = group_by_prefix(distinct) if supports_prefix_sharing(model) else []
        self.shared = bool(groups) and all(length for length, _ in groups)
        """Whether the model attends to prefixes that are held once."""
        if not self.shared:
            # A window slides over columns: padding between prefix and suffix would push what it should show out of it.
            length = common_prefix(distinct) if distinct and not has_sliding_window(model) else 0
            groups = [(length, distinct)] if distinct else []
        group_of = {prompt: number for number, (_, members) in enumerate(groups) for prompt in members}
        self.groups = [group_of[prompt] for prompt in self.prompts]
        """The number of each prompt's group."""
        self.lengths = [groups[group][0] for group in self.groups]
        """The length of each prompt's prefix, in tokens."""
        self.suffixes = [list(prompt[length:]) for prompt, length in zip(self.prompts, self.lengths, strict=True)]
        """The tokens of each prompt after its prefix, at least one."""
        prefixes = [members[0][:length] for length, members in groups]
        self.prefixes = [self._run(prefix) for prefix in prefixes] if self.shared else []
        """The keys and values of each group's prefix, if they are held once."""
        self.row_prefix: Ids = () if self.shared or not prefixes else prefixes[0]
        """The prefix that the cache of each row begins with, if they are not."""

    def _run(self, prefix: Ids) -> Prefix:
        cache = preallocated_cache(self.model.config)
        self.model.model(input_ids=self._batch_of_one(prefix), past_key_values=cache, use_cache=True)
        layers: list[Any] = cache.layers
        return [(layer.keys[0], layer.values[0]) for layer in layers]

    def _batch_of_one(self, tokens: Ids) -> torch.Tensor:
        return torch.tensor([tokens], device=self.model.device)

    @property
    def columns(self) -> int:
        """The columns of the attention mask that the prefix in each row takes; 0 if prefixes are held once."""
        return len(self.row_prefix)

    def cache(self, rows: int, max_tokens: int, max_rows: int | None = None) -> DynamicCache:
        """A cache for `rows` rows, later up to `max_rows`, of up to `max_tokens` tokens, `row_prefix` included."""
        layer = partial(StaticLayer, max_rows or rows, max_tokens) if self.shared else PreallocatedLayer
        cache = preallocated_cache(self.model.config, layer)
        if self.row_prefix:
            ids = self._batch_of_one(self.row_prefix)
            self.model.model(input_ids=ids, past_key_values=cache, use_cache=True)
            cache.batch_repeat_interleave(rows)
        return cache

    def model_kwargs(self, indices: Sequence[int]) -> dict[str, Any]:
        """Arguments for a call of the model whose rows are the prompts at `indices`; groups must not be interleaved."""
        if not self.shared:
            return {}
        runs = groupby(indices, key=self.groups.__getitem__)
        return {"prefixes": [(len(list(rows)), self.prefixes[group]) for group, rows in runs]}

    def enabled(self) -> AbstractContextManager[None]:
        """Within it the model is called with `model_kwargs`."""
        if not self.shared:
            return nullcontext()
        return decoding_layers(self.model) if supports_decoding_layer(self.model) else prefix_sharing(self.model)


def common_prefix(prompts: Sequence[Ids]) -> int:
    """The length of the longest common prefix that leaves at least one token of each prompt as its suffix."""
    first, last = min(prompts), max(prompts)  # in lexicographic order: what these two share, all share
    limit = min(map(len, prompts)) - 1
    return next((i for i in range(limit) if first[i] != last[i]), limit)


def group_by_prefix(prompts: Sequence[Ids]) -> list[tuple[int, list[Ids]]]:
    """Prompts by the prefix that they share: pairs (length of the prefix, the group's prompts).

    The common prefix of all is one group's. Where at least `MIN_PROMPTS` of them share at least `MIN_TOKENS` more
    tokens, these are a group of their own, and so on within it.
    """
    if not prompts:
        return []
    shared = common_prefix(prompts)
    branches: dict[int, list[Ids]] = {}
    for prompt in prompts:
        branches.setdefault(prompt[shared], []).append(prompt)
    rest: list[Ids] = []
    groups = []
    for branch in branches.values():
        # All prompts are one branch if the shortest has one token left, which must stay its suffix: no group within it.
        subgroups = group_by_prefix(branch) if MIN_PROMPTS <= len(branch) < len(prompts) else [(shared, branch)]
        for length, members in subgroups:
            if len(members) >= MIN_PROMPTS and length >= shared + MIN_TOKENS:
                groups.append((length, members))
            else:
                rest += members
    return ([(shared, rest)] if rest else []) + groups
