"""Batched generation and likelihoods against the plainest way to compute them."""

import copy
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, DynamicCache

from tonetune.core.errors import UserError
from tonetune.generation.decoder_layer import decoding_layers, supports_decoding_layer
from tonetune.generation.generate import batches, generate, generate_ids
from tonetune.generation.kv_cache import PreallocatedLayer, StaticLayer, preallocated_cache
from tonetune.generation.likelihood import likelihood
from tonetune.generation.prefix_attention import group_sizes, sharing
from tonetune.generation.prefixes import group_by_prefix
from tonetune.generation.sampling import Sampling, sample
from tonetune.model.base import load_tokenizer
from tonetune.model.chat_template import answer_ids, end_of_turn, stop_ids
from tonetune.model.kernels.grouped_attention import ARCHITECTURES
from tonetune.scoring.hidden_states import HiddenStates

PROMPTS = ["Why?", "What would you do on a rainy day in a town without a library?", "Tell me about rockets."]
GREEDY = Sampling(temperature=0, top_p=1, max_new_tokens=12, batch_tokens=1000)


@pytest.fixture(scope="module")
def tiny(tiny_base):
    model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32).eval()
    return model, load_tokenizer(f"path:{tiny_base}")


@pytest.fixture(scope="module")
def ids(tiny):
    return [tiny[1].encode(f"<|im_start|>user\n{text}") for text in PROMPTS]


def grouped_config(family, **settings):
    """Two layers with three query heads to a key head."""
    return AutoConfig.for_model(
        family, vocab_size=50, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2, **settings
    )


def one_at_a_time(model, prompts, most):
    """What transformers' own greedy `generate` answers to each prompt alone, up to the end of turn."""
    outs = [
        model.generate(torch.tensor([p]), max_new_tokens=most, do_sample=False)[0][len(p) :].tolist() for p in prompts
    ]
    end = model.generation_config.eos_token_id
    return [out[: out.index(end)] if end in out else out for out in outs]


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_a_prefix_that_is_held_once_gives_the_tokens_of_one_at_a_time(family, tiny):
    """Three query heads to a key head, long prefixes of several families, tails of many lengths, rows that leave the batch."""
    config = grouped_config(
        family, hidden_size=48, intermediate_size=64, initializer_range=0.5, eos_token_id=2, pad_token_id=2
    )
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
    assert group_sizes(model)

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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", ARCHITECTURES)
def test_fused_layers_compute_what_transformers_layers_do(family, dtype):
    """All weights are drawn, those of norms and biases too; the rotation is scaled; one token and several are new."""
    config = grouped_config(
        family,
        hidden_size=96,
        intermediate_size=128,
        rope_parameters={"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0},
        max_position_embeddings=64,
        **({"attention_bias": True, "mlp_bias": True} if family == "llama" else {}),
    )
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa", dtype=dtype).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, 0.1, 0.3)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    prefix = [tuple(torch.randn(2, 2, 7, 16, dtype=dtype)) for _ in range(2)]
    turns = torch.randint(50, (3, 4)), torch.randint(50, (3, 1))

    def states(how):
        cache = preallocated_cache(config, partial(StaticLayer, 3, 20))
        with how(model), torch.inference_mode():
            return [
                model.model(turn, position_ids=place + torch.arange(7, 7 + turn.shape[1])[None], past_key_values=cache,
                            prefixes=[(3, prefix)]).last_hidden_state
                for place, turn in zip((0, 4), turns, strict=True)
            ]  # fmt: skip

    assert supports_decoding_layer(model)
    for found, expected in zip(states(decoding_layers), states(sharing), strict=True):
        if dtype == torch.float32:
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        else:  # another rounding anywhere would change most of them
            assert (found != expected).float().mean() < 0.1
    with pytest.raises(KeyboardInterrupt), decoding_layers(model):
        raise KeyboardInterrupt
    assert model.config._attn_implementation == "sdpa"
    assert not [module for module in model.modules() if "forward" in vars(module)]
    after = model.state_dict()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_a_model_with_an_unmerged_adapter_keeps_its_own_layers(tiny, ids):
    model = copy.deepcopy(tiny[0])
    torch.manual_seed(0)
    get_peft_model(model, LoraConfig(r=4, target_modules=["v_proj", "up_proj"], init_lora_weights=False))
    assert group_sizes(model)
    assert not supports_decoding_layer(model)
    answers = one_at_a_time(model, ids, 12)
    assert answers != one_at_a_time(tiny[0], ids, 12)
    assert generate_ids(model, tiny[1], ids, GREEDY, [0] * 3) == answers


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


def test_prompts_without_a_shared_prefix(tiny, ids):
    model, tokenizer = tiny
    prompts = [[token, *prompt] for token, prompt in zip((100, 200, 300), ids, strict=True)]
    assert generate_ids(model, tokenizer, prompts, GREEDY, [0] * 3) == one_at_a_time(model, prompts, 12)


@pytest.mark.parametrize("layer", [PreallocatedLayer, partial(StaticLayer, 1, 100), partial(StaticLayer, 6, 300)])
def test_the_roomy_cache_holds_what_a_dynamic_cache_holds(tiny, layer):
    config = tiny[0].config
    roomy, plain = preallocated_cache(config, layer), DynamicCache(config=config)
    assert all(isinstance(found, PreallocatedLayer) for found in roomy.layers)
    generator = torch.Generator().manual_seed(0)

    def both(act):
        for cache in (roomy, plain):
            act(cache)
        for one, other in zip(roomy.layers, plain.layers, strict=True):
            assert torch.equal(one.keys, other.keys)
            assert torch.equal(one.values, other.values)
        assert roomy.get_seq_length() == plain.get_seq_length()

    def append(rows, tokens):
        states = [torch.randn(rows, 2, tokens, 16, generator=generator) for _ in range(2)]
        places = roomy.layers[0].get_mask_sizes(tokens)[0]
        both(lambda cache: [cache.update(*states, layer) for layer in range(2)])
        held = roomy.get_seq_length()
        handed_out = roomy.layers[0].update(*(part[:, :, :0] for part in states))
        for found, expected in zip(handed_out, (plain.layers[0].keys, plain.layers[0].values), strict=True):
            assert found.shape[2] == places
            assert torch.equal(found[:, :, :held], expected)
            assert found.isfinite().all()

    append(1, 5)
    both(lambda cache: cache.batch_repeat_interleave(6))
    append(6, 3)
    both(lambda cache: cache.batch_select_indices(torch.tensor([0, 5, 2, 4])))
    for _ in range(130):  # past the room twice
        append(4, 1)
    both(lambda cache: cache.batch_select_indices(torch.tensor([3, 1])))
    append(2, 1)
    both(lambda cache: cache.crop(-100))
    append(2, 4)


def test_hidden_states_are_those_of_the_first_layers_whatever_becomes_of_the_base(tiny, tiny_base):
    model, tokenizer = tiny
    base = copy.deepcopy(model)
    states = HiddenStates(base, tokenizer, 1)
    with torch.no_grad():
        for weight in base.parameters():
            weight.zero_()
    first = AutoModel.from_pretrained(tiny_base, dtype=torch.float32, num_hidden_layers=1)
    found = states(["A short one.", "And one that is a good deal longer."])
    for text, vector in zip(["A short one.", "And one that is a good deal longer."], found, strict=True):
        encoded = tokenizer.encode(text, return_tensors="pt", add_special_tokens=False)
        expected = first(encoded).last_hidden_state[0].mean(0)
        assert vector == pytest.approx(expected.detach().numpy(), rel=1e-4, abs=1e-5)


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


def test_weights_that_are_no_numbers_are_an_error_that_says_so(tiny, ids):
    model, tokenizer = copy.deepcopy(tiny[0]), tiny[1]
    model.model.layers[0].mlp.down_proj.weight.data[0, 0] = torch.nan
    with pytest.raises(UserError, match=r"no numbers; are its weights damaged"):
        likelihood(model, ids, [[10, 2]] * 3, ["a"] * 3, 1000)
    with pytest.raises(UserError, match=r"base_model: its hidden states are no numbers"):
        HiddenStates(model, tokenizer, 1)(["Some text."])


def test_likelihood_counts_the_answer_tokens_only_whatever_the_batch(tiny, ids):
    model, _ = tiny
    answers = [[10, 20, 30, 2], [40, 2], [50, 60, 2]]
    expected = []
    for prompt, answer in zip(ids, answers, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
        expected.append(-sum(float(logits[len(prompt) + i - 1, token]) for i, token in enumerate(answer)))
    for batch_tokens in (1, 1000):
        result = likelihood(model, ids, answers, ["abcd", "ab", "abc"], batch_tokens)
        assert result.nats == pytest.approx(expected, rel=1e-4)
        assert result.tokens == (4, 2, 3)
    assert result.perplexity == pytest.approx(torch.tensor(sum(expected) / 9).exp().item(), rel=1e-4)
    assert result.bits_per_byte == pytest.approx(sum(expected) / 9 / 0.6931472, rel=1e-4)
