"""What prompts begin with alike is held once, and changes no answer."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.support.greedy import GREEDY, one_at_a_time
from tests.support.tiny_model import grouped_config
from tonetune.generation.generate import generate_ids
from tonetune.generation.likelihood import likelihood
from tonetune.generation.prefix_attention import supports_prefix_sharing
from tonetune.generation.prefixes import group_by_prefix
from tonetune.model.kernels.grouped_attention import ARCHITECTURES


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_a_prefix_that_is_held_once_gives_the_tokens_of_one_at_a_time(family, tiny):
    """Three query heads to a key head, long prefixes of several families, tails of many lengths, rows that leave the batch."""
    config = grouped_config(
        family, hidden_size=48, intermediate_size=64, initializer_range=0.5, eos_token_id=2, pad_token_id=2
    )
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
    assert supports_prefix_sharing(model)

    def drawn(length):
        return torch.randint(3, 50, (length,)).tolist()

    start, one, other = drawn(5), drawn(40), drawn(25)
    prompts = [start + prefix + drawn(length) for length in (3, 9, 5, 1, 7, 4) for prefix in (one, other, [])]
    assert [(length, len(found)) for length, found in group_by_prefix(list(map(tuple, prompts)))] == [
        (5, 6),
        (45, 6),
        (30, 6),
    ]
    expected = one_at_a_time(model, prompts, 40)
    assert len({len(answer) for answer in expected}) > 4
    assert one_at_a_time(model, [prompt[5:] for prompt in prompts], 40) != expected
    for batch_tokens in (100, 400, 10_000):
        sampling = replace(GREEDY, max_new_tokens=40, batch_tokens=batch_tokens)
        assert generate_ids(model, tiny[1], prompts, sampling, [0] * 18) == expected
        assert generate_ids(model, tiny[1], prompts[::3] * 2, sampling, [0] * 12) == expected[::3] * 2
    assert model.config._attn_implementation == "sdpa"

    answers = [[*answer[:8], 2] for answer in expected]
    alone = [likelihood(model, [p], [a], ["abc"], 1) for p, a in zip(prompts, answers, strict=True)]
    together = likelihood(model, prompts, answers, ["abc"] * 18, 10_000)
    assert together.nats == pytest.approx([nats for each in alone for nats in each.nats], rel=1e-4)


def test_families_are_of_enough_prompts_that_share_enough_more_than_all_do():
    def prompt(*parts):
        return tuple(token for start, count in parts for token in range(start, start + count))

    few = [prompt((0, 10), (100, 30), (200 + i, 1)) for i in range(3)]
    short = [prompt((0, 10), (300, 15), (400 + i, 1)) for i in range(5)]
    many = [prompt((0, 10), (500, 16), (600 + i, 2)) for i in range(4)]
    within = [prompt((0, 10), (500, 16), (700, 40), (800 + i, 2)) for i in range(4)]
    # A few tokens further on, a branch that is too short itself parts into one that is long enough and one that is not.
    late = [prompt((0, 10), (900, 5), (950, 20), (1000 + i, 1)) for i in range(4)]
    none = [prompt((0, 10), (900, 5), (1100 + i, 1)) for i in range(4)]
    found = {length: set(alike) for length, alike in group_by_prefix([*few, *short, *many, *within, *late, *none])}
    assert found == {10: {*few, *short, *none}, 26: set(many), 66: set(within), 35: set(late)}
    # One of each prompt is left over, and what is not shared is no beginning.
    assert group_by_prefix([(1, 2, 3), (1, 2)]) == [(1, [(1, 2, 3), (1, 2)])]
    assert group_by_prefix([(1, 2, 3)]) == [(2, [(1, 2, 3)])]
    assert group_by_prefix([(1, 2), (3, 4)]) == [(0, [(1, 2), (3, 4)])]
    assert group_by_prefix([]) == []


def test_prompts_without_a_shared_prefix(tiny, ids):
    model, tokenizer = tiny
    prompts = [[token, *prompt] for token, prompt in zip((100, 200, 300), ids, strict=True)]
    assert generate_ids(model, tokenizer, prompts, GREEDY, [0] * 3) == one_at_a_time(model, prompts, 12)
