"""Other models beside the base: one that fails, wherever it does, does not lose the others' results."""

import json
import shutil

from transformers import AutoTokenizer

from tests.support.workspace import copied

REFUSES = "{{ raise_exception('System role not supported') }}"


def test_a_rival_that_loads_and_then_fails_is_left_out_and_the_others_stay(tiny_workspace, tiny_base, tmp_path):
    space = copied(tiny_workspace, tmp_path / "repo")
    refusing = tmp_path / "refusing"
    shutil.copytree(tiny_base, refusing)
    tokenizer = AutoTokenizer.from_pretrained(refusing)
    tokenizer.chat_template = REFUSES
    tokenizer.save_pretrained(refusing)
    rivals = [f"path:{refusing}", f"path:{tiny_base}", "path:no/such"]
    space.set(evaluate__rivals=rivals)
    said = space.stage("baselines").stderr
    before = json.loads((tiny_workspace.root / "metrics/baselines.json").read_text())
    after = json.loads((space.root / "metrics/baselines.json").read_text())
    found = after.pop("rivals")
    assert after == before
    assert "System role not supported" in found[rivals[0]]["error"]
    assert "neither a .gguf" in found[rivals[2]]["error"]
    assert said.count("is left out") == 2
    # The same model as the base, told in the same two ways.
    assert found[rivals[1]]["prompted"] == before["base_prompted"]
    systems = {
        json.loads(line)["system"] for line in (space.root / "data/baseline_generations.jsonl").read_text().splitlines()
    }
    assert f"{rivals[1]} fewshot" in systems
    assert not [name for name in systems if str(refusing) in name]
