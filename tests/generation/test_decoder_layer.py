"""The layers that decode by hand compute what transformers' do, and keep away from what they cannot stand for."""

import copy
from functools import partial

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from tests.support.greedy import GREEDY, one_at_a_time
from tests.support.tiny_model import grouped_config
from tonetune.generation.decoder_layer import decoding_layers, supports_decoding_layer
from tonetune.generation.generate import generate_ids
from tonetune.generation.kv_cache import StaticLayer, preallocated_cache
from tonetune.generation.prefix_attention import prefix_sharing, supports_prefix_sharing
from tonetune.model.kernels.grouped_attention import ARCHITECTURES


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
    for found, expected in zip(states(decoding_layers), states(prefix_sharing), strict=True):
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
    assert supports_prefix_sharing(model)
    assert not supports_decoding_layer(model)
    answers = one_at_a_time(model, ids, 12)
    assert answers != one_at_a_time(tiny[0], ids, 12)
    assert generate_ids(model, tiny[1], ids, GREEDY, [0] * 3) == answers
