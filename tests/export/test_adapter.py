"""The adapter alone: plain peft loads it, its base has a name that others know, and whole weights are no adapter."""

import json

import pytest

from tests.support.exported_models import elsewhere
from tonetune.core.errors import UserError

LOAD = """
from peft import PeftConfig, PeftModel
from transformers import AutoModelForCausalLM
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(sys.argv[1]), sys.argv[2])
print(PeftConfig.from_pretrained(sys.argv[2]).base_model_name_or_path, sum("lora" in name for name, _ in model.named_parameters()))
"""


@pytest.fixture(scope="module")
def exported(place, tmp_path_factory):
    return place.export("adapter", tmp_path_factory.mktemp("adapter") / "out")


def test_plain_peft_loads_it_and_its_base_has_the_hub_s_name(exported, tiny_base, tmp_path):
    name, weights = elsewhere(LOAD, tiny_base, exported, cwd=tmp_path).split()[-2:]
    assert name == "someone/tiny"
    assert int(weights) > 0
    assert json.loads((exported / "adapter_config.json").read_text())["revision"] == "0123456"


def test_the_check_passes_it_and_finds_other_weights(exported, place, ours, tmp_path):
    measures, differences = place.check("adapter", exported, ours)
    assert differences == []
    assert measures["greedy tokens as ours"].found == "100.00%"
    config = json.loads((exported / "adapter_config.json").read_text())
    (tmp_path / "spoilt").mkdir()
    for path in exported.iterdir():
        (tmp_path / "spoilt" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "spoilt/adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 80}))
    measures, _ = place.check("adapter", tmp_path / "spoilt", ours)
    assert not measures["greedy tokens as ours"].passed


def test_whole_weights_are_no_adapter(place, tmp_path):
    with pytest.raises(UserError, match="holds weights and no adapter"):
        place.export("adapter", tmp_path / "out", "full")
    assert not (tmp_path / "out").exists()
