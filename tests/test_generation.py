"""Batched generation and likelihoods against the plainest way to compute them."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from tone.base import load_tokenizer
from tone.generation import Sampling, draw, generate, likelihood

PROMPTS = ["Why?", "What would you do on a rainy day in a town without a library?", "Tell me about rockets."]
GREEDY = Sampling(temperature=0, top_p=1, max_new_tokens=12, batch_size=8)


@pytest.fixture(scope="module")
def tiny(tiny_base):
    model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32).eval()
    return model, load_tokenizer(f"path:{tiny_base}")


@pytest.fixture(scope="module")
def ids(tiny):
    return [tiny[1].encode(f"<|im_start|>user\n{text}") for text in PROMPTS]


def test_batched_greedy_answers_equal_transformers_one_at_a_time(tiny, ids):
    model, tokenizer = tiny
    single = []
    for prompt in ids:
        out = model.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False)[0][len(prompt) :]
        single.append(tokenizer.decode(out, skip_special_tokens=True).strip())
    assert len(set(single)) == len(single)
    assert generate(model, tokenizer, ids, GREEDY, [0] * len(ids)) == single


def test_a_row_that_ends_leaves_the_batch_and_changes_nobody(tiny, ids):
    model, tokenizer = tiny
    alone = generate(model, tokenizer, ids[1:2], GREEDY, [0])[0]
    # Let the first token of another row's answer be the end of turn: that row ends at once.
    tokens = model.generate(torch.tensor([ids[0]]), max_new_tokens=1, do_sample=False)[0]
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(int(tokens[-1]))
    try:
        answers = generate(model, tokenizer, ids, GREEDY, [0] * len(ids))
    finally:
        tokenizer.eos_token = "<|im_end|>"
    assert answers[0] == ""
    assert answers[1].startswith(alone[:5])


def test_sampling_depends_on_the_row_seed_and_not_on_the_batch(tiny, ids):
    model, tokenizer = tiny
    sampling = Sampling(temperature=1.0, top_p=0.95, max_new_tokens=10, batch_size=8)
    together = generate(model, tokenizer, ids, sampling, [1, 2, 3])
    alone = [generate(model, tokenizer, [ids[i]], sampling, [i + 1])[0] for i in range(3)]
    assert together == alone
    assert generate(model, tokenizer, ids, sampling, [4, 5, 6]) != together


def test_the_nucleus_holds_no_token_beyond_top_p():
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0]]).repeat(200, 1)
    generators = [torch.Generator().manual_seed(i) for i in range(200)]
    sampling = Sampling(temperature=1.0, top_p=0.7, max_new_tokens=1, batch_size=1)
    drawn = draw(logits, sampling, generators)
    assert set(drawn.tolist()) == {0, 1}  # 0.64 and 0.24: the first two reach 0.7
    assert 0.6 < (drawn == 0).float().mean() < 0.85


def test_likelihood_counts_the_answer_tokens_only_whatever_the_batch(tiny, ids):
    model, _ = tiny
    answers = [[10, 20, 30, 2], [40, 2], [50, 60, 2]]
    expected = []
    for prompt, answer in zip(ids, answers, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
        expected.append(-sum(float(logits[len(prompt) + i - 1, token]) for i, token in enumerate(answer)))
    for batch_size in (1, 8):
        result = likelihood(model, ids, answers, ["abcd", "ab", "abc"], batch_size)
        assert result.nats == pytest.approx(expected, rel=1e-4)
        assert result.tokens == (4, 2, 3)
    assert result.perplexity == pytest.approx(torch.tensor(sum(expected) / 9).exp().item(), rel=1e-4)
    assert result.bits_per_byte == pytest.approx(sum(expected) / 9 / 0.6931472, rel=1e-4)
