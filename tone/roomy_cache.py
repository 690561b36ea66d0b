"""Key-value caches for generation in which an appended token costs that token only."""

import torch
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer

ROOM = 32


class RoomyLayer(DynamicLayer):
    """A `DynamicLayer` whose keys and values are views of buffers with room for more.

    `DynamicLayer` copies all that it holds for every new token, and again for every row that leaves the batch: with a
    few-shot prompt that is more work than the attention itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self.buffers: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append (rows, heads, tokens, head size) in place; return all keys and values."""
        rows, heads, new, _ = key_states.shape
        held = self.get_seq_length()
        room = self._room(held + new)
        if self.buffers is None or self.buffers[0].shape[2] < room:
            old = [states for states in (self.keys, self.values) if held and states is not None]
            self.lazy_initialization(key_states, value_states)
            self.buffers = (
                key_states.new_zeros(rows, heads, room, key_states.shape[-1]),
                value_states.new_zeros(rows, heads, room, value_states.shape[-1]),
            )
            for buffer, states in zip(self.buffers, old, strict=False):
                buffer[:, :, :held] = states
        keys, values = (buffer[:rows, :, : held + new] for buffer in self.buffers)
        keys[:, :, held:], values[:, :, held:] = key_states, value_states
        self.keys, self.values = keys, values
        return keys, values

    def _room(self, tokens: int) -> int:
        """How many tokens the buffers hold, once they have to hold so many."""
        if self.buffers is not None and self.buffers[0].shape[2] >= tokens:
            return self.buffers[0].shape[2]
        return ROOM * -(-tokens // ROOM)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row; the next token moves all into larger buffers."""
        super().batch_repeat_interleave(repeats)
        self.buffers = None

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep the rows `indices`, in that order; only those that change their place are copied.

        A row may be taken several times where the rows become more.
        """
        keys, values = self.keys, self.values
        if keys is None or values is None or not self.get_seq_length():
            return
        if len(indices) > len(keys):
            super().batch_select_indices(indices)
            self.buffers = None
            return
        moved = (indices != torch.arange(len(indices), device=indices.device)).nonzero()[:, 0]
        for states in (keys, values):
            states[moved] = states[indices[moved]]
        self.keys, self.values = keys[: len(indices)], values[: len(indices)]


class WholeLayer(RoomyLayer):
    """A `RoomyLayer` that hands out its buffers whole; the mask hides the places that are not taken yet, which are zero.

    On a CPU a batched matrix product copies a view with gaps between its rows before it begins.
    """

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append (rows, heads, tokens, head size) in place; return the buffers of all rows."""
        super().update(key_states, value_states, *args, **kwargs)
        assert self.buffers is not None
        keys, values = self.buffers
        return keys[: len(key_states)], values[: len(value_states)]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """How many places the mask has, and the first of them."""
        return self._room(self.get_seq_length() + query_length), 0


def roomy_cache(config: PretrainedConfig, layer: type[RoomyLayer] = RoomyLayer) -> DynamicCache:
    """A `DynamicCache` for the model; layers of another kind, such as those with a sliding window, stay as they are."""
    cache = DynamicCache(config=config)
    cache.layers = [layer() if type(usual) is DynamicLayer else usual for usual in cache.layers]
    return cache
