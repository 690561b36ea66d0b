"""The cache with buffers of a capacity that is allocated beforehand."""

from functools import partial

import pytest
import torch
from transformers import DynamicCache

from tonetune.generation.kv_cache import PreallocatedLayer, StaticLayer, preallocated_cache


@pytest.mark.parametrize("layer", [PreallocatedLayer, partial(StaticLayer, 1, 100), partial(StaticLayer, 6, 300)])
def test_the_preallocated_cache_holds_what_a_dynamic_cache_holds(tiny, layer):
    config = tiny[0].config
    preallocated, plain = preallocated_cache(config, layer), DynamicCache(config=config)
    assert all(isinstance(found, PreallocatedLayer) for found in preallocated.layers)
    generator = torch.Generator().manual_seed(0)

    def both(act):
        for cache in (preallocated, plain):
            act(cache)
        for one, other in zip(preallocated.layers, plain.layers, strict=True):
            assert torch.equal(one.keys, other.keys)
            assert torch.equal(one.values, other.values)
        assert preallocated.get_seq_length() == plain.get_seq_length()

    def append(rows, tokens):
        states = [torch.randn(rows, 2, tokens, 16, generator=generator) for _ in range(2)]
        positions = preallocated.layers[0].get_mask_sizes(tokens)[0]
        both(lambda cache: [cache.update(*states, layer) for layer in range(2)])
        held = preallocated.get_seq_length()
        handed_out = preallocated.layers[0].update(*(part[:, :, :0] for part in states))
        for found, expected in zip(handed_out, (plain.layers[0].keys, plain.layers[0].values), strict=True):
            assert found.shape[2] == positions
            assert torch.equal(found[:, :, :held], expected)
            assert found.isfinite().all()

    append(1, 5)
    both(lambda cache: cache.batch_repeat_interleave(6))
    append(6, 3)
    both(lambda cache: cache.batch_select_indices(torch.tensor([0, 5, 2, 4])))
    for _ in range(130):  # past the capacity twice
        append(4, 1)
    both(lambda cache: cache.batch_select_indices(torch.tensor([3, 1])))
    append(2, 1)
    both(lambda cache: cache.crop(-100))
    append(2, 4)
