"""Key-value caches for generation in which an appended token costs that token only."""

from collections.abc import Callable

import torch
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer

BLOCK = 32


def whole_blocks(tokens: int) -> int:
    """`tokens`, rounded up to what a buffer grows by."""
    return BLOCK * -(-tokens // BLOCK)


class PreallocatedLayer(DynamicLayer):
    """A `DynamicLayer` whose keys and values are views of buffers with room for more.

    `DynamicLayer` copies all that it holds for every new token, and again for every row that leaves the batch: with a
    few-shot prompt that is more work than the attention itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self.buffers: list[torch.Tensor] = []
        """Of keys and values, (rows, heads, tokens there is room for, head size)."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append (rows, heads, tokens, head size) in place; return all keys and values."""
        rows, _, new, _ = key_states.shape
        held = self.get_seq_length()
        room = self.room(held + new)
        if not self.buffers or self.buffers[0].shape[2] < room:
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
            old = (self.keys, self.values) if held else (None, None)
            pairs = zip((key_states, value_states), old, strict=True)
            self.buffers = [self.grown(part, states, room, kept) for part, (states, kept) in enumerate(pairs)]
        keys, values = (buffer[:rows, :, : held + new] for buffer in self.buffers)
        keys[:, :, held:], values[:, :, held:] = key_states, value_states
        self.keys, self.values = keys, values
        return keys, values

    def room(self, tokens: int) -> int:
        """How many tokens the buffers have room for, once they have to hold so many."""
        held = self.buffers[0].shape[2] if self.buffers else 0
        return max(held, whole_blocks(tokens))

    def grown(self, part: int, states: torch.Tensor, room: int, kept: torch.Tensor | None) -> torch.Tensor:
        """A buffer of keys (`part` 0) or values (1) like `states` with room for so many tokens; the first are `kept`."""
        rows, heads, _, width = states.shape
        buffer = states.new_empty(rows, heads, room, width)
        if kept is not None:
            buffer[:, :, : kept.shape[2]] = kept
        return buffer

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row; the next token moves all into larger buffers."""
        super().batch_repeat_interleave(repeats)
        self.buffers = []

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep the rows `indices`, in that order; only those that change their place are copied.

        A row may be taken several times where the rows become more.
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
    """A `RoomyLayer` that hands out its buffers whole; the mask hides the places that are not taken yet, which are zero.

    On a CPU a batched matrix product copies a view with gaps between its rows before it begins. The buffers lie in memory for
    `rows` of `most` tokens that is taken once: given back and taken anew, it would be in pieces too small to be used again.
    """

    def __init__(self, rows: int, most: int) -> None:
        super().__init__()
        self.rows, self.most = rows, most
        self.memory: dict[int, torch.Tensor] = {}

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append (rows, heads, tokens, head size) in place; return the buffers of all rows."""
        super().update(key_states, value_states, *args, **kwargs)
        keys, values = self.buffers
        return keys[: len(key_states)], values[: len(value_states)]

    def grown(self, part: int, states: torch.Tensor, room: int, kept: torch.Tensor | None) -> torch.Tensor:
        """A `RoomyLayer`'s buffer, at the beginning of the memory in which what is kept may lie."""
        rows, heads, _, width = states.shape
        held = 0 if kept is None else kept.shape[2]
        kept = None if kept is None else kept.clone()
        size = rows * heads * room * width
        if part not in self.memory or self.memory[part].numel() < size:
            whole = max(rows, self.rows) * heads * max(room, whole_blocks(self.most)) * width
            self.memory[part] = states.new_empty(whole)
        buffer = self.memory[part][:size].view(rows, heads, room, width)
        buffer[:, :, held:] = 0
        if kept is not None:
            buffer[:, :, :held] = kept
        return buffer

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """How many places the mask has, and the first of them."""
        return self.room(self.get_seq_length() + query_length), 0


def preallocated_cache(
    config: PretrainedConfig, layer: Callable[[], PreallocatedLayer] = PreallocatedLayer
) -> DynamicCache:
    """A `DynamicCache` for the model; layers of another kind, such as those with a sliding window, stay as they are."""
    cache = DynamicCache(config=config)
    cache.layers = [layer() if type(usual) is DynamicLayer else usual for usual in cache.layers]
    return cache
