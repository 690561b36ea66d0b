"""Key-value caches for generation in which a new token costs no copy of the earlier ones.

Shapes: keys and values (rows, key_heads, tokens, head_dim); buffers likewise, with a capacity in place of the tokens.
"""

from collections.abc import Callable

import torch
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer

BLOCK = 32  # tokens that a buffer grows by


def whole_blocks(tokens: int) -> int:
    """`tokens`, rounded up to whole blocks."""
    return BLOCK * -(-tokens // BLOCK)


class PreallocatedLayer(DynamicLayer):
    """A `DynamicLayer` whose keys and values are views of larger buffers.

    `DynamicLayer` copies everything for each new token, and again whenever rows leave the batch: with a few-shot prompt
    that is more work than the attention itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self.buffers: list[torch.Tensor] = []
        """That of keys and that of values, (rows, key_heads, capacity, head_dim)."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append (rows, key_heads, new tokens, head_dim) in place; return all keys and values."""
        rows, _, new, _ = key_states.shape
        length = self.get_seq_length()
        capacity = self.capacity(length + new)
        if not self.buffers or self.buffers[0].shape[2] < capacity:
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
            cached = (self.keys, self.values) if length else (None, None)
            pairs = zip((key_states, value_states), cached, strict=True)
            self.buffers = [self.allocate(which, states, capacity, old) for which, (states, old) in enumerate(pairs)]
        keys, values = (buffer[:rows, :, : length + new] for buffer in self.buffers)
        keys[:, :, length:], values[:, :, length:] = key_states, value_states
        self.keys, self.values = keys, values
        return keys, values

    def capacity(self, tokens: int) -> int:
        """The capacity of the buffers, in tokens, once they hold `tokens`."""
        current = self.buffers[0].shape[2] if self.buffers else 0
        return max(current, whole_blocks(tokens))

    def allocate(self, which: int, states: torch.Tensor, capacity: int, cached: torch.Tensor | None) -> torch.Tensor:
        """A buffer of keys (`which` 0) or values (1) that begins with `cached`; but for the capacity like `states`."""
        rows, heads, _, head_dim = states.shape
        buffer = states.new_empty(rows, heads, capacity, head_dim)
        if cached is not None:
            buffer[:, :, : cached.shape[2]] = cached
        return buffer

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row; the next token moves all rows into larger buffers."""
        super().batch_repeat_interleave(repeats)
        self.buffers = []

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep the rows `indices`, in that order; only rows that change their index are copied.

        A row may be selected several times if the rows become more.
        """
        keys, values = self.keys, self.values
        if keys is None or values is None or not self.get_seq_length():
            return
        if len(indices) > len(keys):
            super().batch_select_indices(indices)
            self.buffers = []
            return
        moved = (indices != torch.arange(len(indices), device=indices.device)).nonzero()[:, 0]
        for states in (keys, values):
            states[moved] = states[indices[moved]]
        self.keys, self.values = keys[: len(indices)], values[: len(indices)]


class StaticLayer(PreallocatedLayer):
    """A `PreallocatedLayer` that returns whole buffers; unused positions are zero and the attention mask hides them.

    On a CPU a batched matrix product first copies a view that is not contiguous. The storage, for `max_rows` rows of
    `max_tokens` tokens, is allocated once: freed and allocated again, it would fragment the heap.
    """

    def __init__(self, max_rows: int, max_tokens: int) -> None:
        super().__init__()
        self.max_rows, self.max_tokens = max_rows, max_tokens
        self.storage: dict[int, torch.Tensor] = {}
        """The memory under the buffers of keys (0) and values (1), flat."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append (rows, key_heads, new tokens, head_dim) in place; return the whole buffers."""
        super().update(key_states, value_states, *args, **kwargs)
        keys, values = self.buffers
        return keys[: len(key_states)], values[: len(value_states)]

    def allocate(self, which: int, states: torch.Tensor, capacity: int, cached: torch.Tensor | None) -> torch.Tensor:
        """A buffer at the start of the storage, where `cached` may lie too; what follows `cached` is zero."""
        rows, heads, _, head_dim = states.shape
        length = 0 if cached is None else cached.shape[2]
        cached = None if cached is None else cached.clone()
        size = rows * heads * capacity * head_dim
        if which not in self.storage or self.storage[which].numel() < size:
            max_size = max(rows, self.max_rows) * heads * max(capacity, whole_blocks(self.max_tokens)) * head_dim
            self.storage[which] = states.new_empty(max_size)
        buffer = self.storage[which][:size].view(rows, heads, capacity, head_dim)
        buffer[:, :, length:] = 0
        if cached is not None:
            buffer[:, :, :length] = cached
        return buffer

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """The mask's number of columns, and the first of them."""
        return self.capacity(self.get_seq_length() + query_length), 0


def preallocated_cache(
    config: PretrainedConfig, layer: Callable[[], PreallocatedLayer] = PreallocatedLayer
) -> DynamicCache:
    """A `DynamicCache` for the model; layers of another kind, such as those with a sliding window, stay as they are."""
    cache = DynamicCache(config=config)
    cache.layers = [layer() if type(default) is DynamicLayer else default for default in cache.layers]
    return cache
