"""What params.yaml may say of training."""

import pytest

from tests.support.tunings import params_with


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"objective": "dpo", "tuning": "full"}, "reference"),
        ({"objective": "sft_dpo", "tuning": "last_layers"}, "reference"),
        ({"tuning": "qlora", "lora": {"init": "pissa"}}, "pissa with tuning qlora"),
        ({"tuning": "lora", "lora": {"init": "pissa", "dora": True}}, "pissa with lora.dora"),
        ({"tuning": "lora", "objective": "dpo", "lora": {"init": "pissa"}}, "not the base"),
        ({"objective": "grpo", "neftune": 5.0}, "neftune"),
        ({"objective": "dpo", "launch": "torchrun"}, "launch torchrun"),
        ({"launch": "torchrun", "processes": 3}, "must divide batch_size"),
        ({"lora": {"alpha": "twice"}}, "alpha"),
    ],
)
def test_an_impossible_combination_is_refused_when_the_params_load(changes, says, tiny_base):
    with pytest.raises(ValueError, match=says):
        params_with(tiny_base, **changes)


def test_alpha_may_follow_the_rank(tiny_base):
    assert params_with(tiny_base, lora={"r": 64, "alpha": "0.25r"}).train.lora.scaled_by == 16
    assert params_with(tiny_base, lora={"r": 64, "alpha": 8}).train.lora.scaled_by == 8
