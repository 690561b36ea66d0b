"""What is drawn depends on the row's seed alone, and comes from the nucleus."""

import torch

from tonetune.generation.generate import generate
from tonetune.generation.sampling import Sampling, sample


def test_sampling_depends_on_the_row_seed_and_not_on_the_batch(tiny, ids):
    model, tokenizer = tiny
    sampling = Sampling(temperature=1.0, top_p=0.95, max_new_tokens=10, batch_tokens=1000)
    together = generate(model, tokenizer, ids, sampling, [1, 2, 3])
    alone = [generate(model, tokenizer, [ids[i]], sampling, [i + 1])[0] for i in range(3)]
    assert together == alone
    assert generate(model, tokenizer, ids, sampling, [4, 5, 6]) != together


def test_a_prompt_with_several_seeds_gets_what_each_seed_draws_alone(tiny, ids):
    model, tokenizer = tiny
    sampling = Sampling(temperature=1.0, top_p=0.95, max_new_tokens=40, batch_tokens=1000)  # past the cache's room
    prompts = [ids[0], ids[1], ids[0], ids[2], ids[1]]
    together = generate(model, tokenizer, prompts, sampling, [1, 2, 3, 4, 5])
    assert together == [generate(model, tokenizer, [prompts[i]], sampling, [i + 1])[0] for i in range(5)]
    assert together[0] != together[2]


def test_the_nucleus_holds_no_token_beyond_top_p():
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0]]).repeat(200, 1)
    generators = [torch.Generator().manual_seed(i) for i in range(200)]
    sampling = Sampling(temperature=1.0, top_p=0.7, max_new_tokens=1, batch_tokens=1)
    drawn = sample(logits, sampling, generators)
    assert set(drawn.tolist()) == {0, 1}  # 0.64 and 0.24: the first two reach 0.7
    assert 0.6 < (drawn == 0).float().mean() < 0.85


def test_a_wide_nucleus_is_drawn_from_whole_and_a_narrow_one_beside_it_is_not_changed():
    """Of 200 equal tokens, a row's draws reach beyond the few likeliest; a row in its batch draws what it does alone."""
    flat, peaked = torch.zeros(1, 200), torch.linspace(0, 40, 200)[None]
    sampling = Sampling(temperature=1.0, top_p=0.9, max_new_tokens=1, batch_tokens=1)

    def drawn(logits):
        return sample(logits, sampling, [torch.Generator().manual_seed(i) for i in range(len(logits))])

    assert 170 < len(set(drawn(flat.repeat(2000, 1)).tolist())) < 190
    alone = drawn(peaked.repeat(12, 1))
    assert len(set(alone.tolist())) > 3
    assert torch.equal(drawn(torch.cat([peaked.repeat(12, 1), flat]))[:12], alone)


def test_top_p_1_draws_from_the_whole_vocabulary():
    """From 256 tokens alone, 4000 draws of 2000 equal tokens could not be so many."""
    sampling = Sampling(temperature=1.0, top_p=1.0, max_new_tokens=1, batch_tokens=1)
    logits = torch.zeros(4000, 2000)
    logits[:, 7] = 7.0  # a third of the probability
    drawn = sample(logits, sampling, [torch.Generator().manual_seed(i) for i in range(4000)])
    assert len(set(drawn.tolist())) > 1200
    assert 0.3 < (drawn == 7).float().mean() < 0.4


def test_a_nucleus_wider_than_the_likeliest_few_hundred_is_drawn_from_whole():
    """top_p 0.99 of 1000 equal tokens is 990 of them; rows with a narrow nucleus draw what they do alone."""
    sampling = Sampling(temperature=1.0, top_p=0.99, max_new_tokens=1, batch_tokens=1)

    def drawn(logits):
        return sample(logits, sampling, [torch.Generator().manual_seed(i) for i in range(len(logits))])

    flat, peaked = torch.zeros(1500, 1000), torch.linspace(0, 200, 1000).repeat(40, 1)
    together = drawn(torch.cat([peaked, flat]))
    assert 600 < len(set(together[40:].tolist())) <= 991
    assert torch.equal(together[:40], drawn(peaked))
    assert len(set(together[:40].tolist())) > 3
