"""Batched generation against the plainest way to compute it."""

import copy
from collections import Counter
from dataclasses import replace

import pytest
import torch

from tests.support.greedy import GREEDY, one_at_a_time
from tonetune.generation.generate import batches, generate, generate_ids
from tonetune.model.chat_template import answer_ids, end_of_turn, stop_ids


@pytest.mark.parametrize("batch_tokens", [1, 70, 1000])  # one, two and all at once
def test_batched_greedy_tokens_equal_transformers_one_at_a_time(tiny, ids, batch_tokens):
    model, tokenizer = tiny
    assert len({len(prompt) for prompt in ids}) == len(ids)  # so some are padded
    assert all(prompt[:3] == ids[0][:3] for prompt in ids)  # so there is a shared prefix
    single = one_at_a_time(model, ids, 12)
    assert len(set(map(tuple, single))) == len(single)
    sampling = replace(GREEDY, batch_tokens=batch_tokens)
    assert generate_ids(model, tokenizer, ids, sampling, [0] * len(ids)) == single
    assert generate(model, tokenizer, ids, sampling, [0] * len(ids)) == [tokenizer.decode(t).strip() for t in single]


def test_rows_that_end_at_different_times_change_nobody(tiny, ids):
    model, tokenizer = tiny
    prompts = [[*prompt, token] for prompt in ids for token in range(40, 46)]
    # The end of turn is a token that many of the answers hold, each at a place of its own.
    answers = one_at_a_time(model, prompts, 60)
    counts = Counter(token for answer in answers for token in set(answer[1:]))
    end = max(counts, key=lambda token: len({a.index(token) for a in answers if token in a}))
    expected = [answer[: answer.index(end)] if end in answer else answer for answer in answers]
    assert len({len(answer) for answer in expected}) >= 4
    sampling = replace(GREEDY, max_new_tokens=60, batch_tokens=10_000)
    tokenizer.eos_token_id = end
    try:
        assert generate_ids(model, tokenizer, prompts, sampling, [0] * len(prompts)) == expected
    finally:
        tokenizer.eos_token_id = 2


def test_batches_are_few_and_alike_in_order_of_length():
    lengths = [50, 10, 30, 10, 200, 20]
    assert batches(lengths, 90) == [[1, 3, 5], [2], [0], [4]]  # 4 x 30 and 2 x 50 are more than 90; one alone may be
    assert batches(lengths, 10_000) == [[1, 3, 5, 2, 0, 4]]
    assert [len(batch) for batch in batches([10] * 11, 100)] == [6, 5]  # and not ten and one
    assert [len(batch) for batch in batches([10] * 20, 100)] == [10, 10]
    assert batches([5, 6], 1) == [[0], [1]]
    assert batches([], 90) == []


def test_a_turn_ends_where_the_chat_template_ends_it(tiny):
    """As with Gemma, whose turns end in another token than its texts do: generation stops at either."""
    model, tokenizer = tiny[0], copy.deepcopy(tiny[1])
    assert end_of_turn(tokenizer) == tokenizer.convert_tokens_to_ids("<|im_end|>")
    text, turn = "<|endoftext|>", "<repo_name>"
    tokenizer.eos_token = text
    tokenizer.chat_template = (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<repo_name>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    ends = tokenizer.convert_tokens_to_ids([turn, text])
    assert end_of_turn(tokenizer) == ends[0] == answer_ids(tokenizer, "Yes.")[-1]
    own = copy.deepcopy(model)
    own.generation_config.eos_token_id = [7, 8]
    assert stop_ids(tokenizer, own) == {*ends, 7, 8}
    for end in ends:
        own.lm_head = Always(end)
        assert generate_ids(own, tokenizer, [[5, 6]], GREEDY, [0]) == [[]]
    own.lm_head = Always(9)
    assert generate_ids(own, tokenizer, [[5, 6]], GREEDY, [0]) == [[9] * GREEDY.max_new_tokens]


class Always(torch.nn.Module):
    """A head that makes one token the likeliest, whatever comes before."""

    def __init__(self, token):
        super().__init__()
        self.token = token

    def forward(self, hidden):
        return torch.nn.functional.one_hot(torch.full(hidden.shape[:-1], self.token), 49152).float()
