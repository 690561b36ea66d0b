"""The merged folder in plain transformers: the same tokens, and the check that says when they are not."""

import json
import shutil

import pytest

from tests.support.exported_models import QUESTIONS, elsewhere, other_base
from tonetune.adapter import load_tuned
from tonetune.core.errors import UserError
from tonetune.export.merged import write_merged
from tonetune.model.base import load_tokenizer

ASK = """
from transformers import AutoModelForCausalLM, AutoTokenizer
import json
model, tokenizer = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype="float32"), AutoTokenizer.from_pretrained(sys.argv[1])
chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": sys.argv[2]}]
ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
said = model.generate(**ids, do_sample=False)[0, ids["input_ids"].shape[1]:]
print(json.dumps([said.tolist(), model.generation_config.to_dict()]))
"""


@pytest.fixture(scope="module")
def merged(place, tmp_path_factory):
    return place.export("merged", tmp_path_factory.mktemp("merged") / "out")


@pytest.fixture
def copied(merged, tmp_path):
    """One to spoil."""
    return shutil.copytree(merged, tmp_path / "spoilt")


def spoil_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_plain_transformers_says_the_same_and_stops_by_the_folder_s_own_settings(merged, place, ours, tmp_path):
    tokens, settings = json.loads(elsewhere(ASK, merged, QUESTIONS[0], cwd=tmp_path))
    assert tokens == ours.answers[0]
    assert set(ours.stops) == set(settings["eos_token_id"])
    evaluate = place.params.evaluate
    assert (settings["temperature"], settings["top_p"]) == (evaluate.temperature, evaluate.top_p)
    assert not settings["top_k"]


def test_the_check_passes_what_was_written(merged, place, ours):
    measures, differences = place.check("merged", merged, ours)
    assert differences == []
    assert all(measure.passed for measure in measures.values())
    assert measures["served answers as ours, word for word"].found == "100%"


def test_whole_weights_are_exported_too(place, tmp_path):
    ours = place.ours("full")
    measures, differences = place.check("merged", place.export("merged", tmp_path / "full", "full"), ours)
    assert differences == []
    assert measures["greedy tokens as ours"].found == "100.00%"


def test_the_check_names_the_place_where_a_spoilt_template_differs(copied, place, ours):
    template = copied / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|im_start|>assistant", "<|im_start|>bot"))
    measures, differences = place.check("merged", copied, ours)
    assert not measures["prompts equal, token by token"].passed
    assert any(text.startswith("prompts: token ") and "bot" in text for text in differences)


def test_the_check_finds_a_missing_stop_token(copied, place, ours):
    spoil_json(copied / "generation_config.json", eos_token_id=0)
    measures, differences = place.check("merged", copied, ours)
    assert not measures["ends answers where training does"].passed
    assert any("<|im_end|> ends an answer in training and none here" in text for text in differences)
    assert measures["prompts equal, token by token"].passed


def test_the_check_finds_an_adapter_merged_into_another_base(place, ours, tiny_base, tmp_path):
    other = other_base(tiny_base, tmp_path / "base")
    tuned = shutil.copytree(place.adapter("lora"), tmp_path / "adapter")
    spoil_json(tuned / "tuning.json", base_model=f"path:{other}", base_content=None)
    model = load_tuned(f"path:{other}", place.params.compute, tuned)
    out = tmp_path / "out"
    out.mkdir()
    write_merged(model, load_tokenizer(f"path:{other}"), place.params, out)
    measures, differences = place.check("merged", out, ours)
    assert not measures["greedy tokens as ours"].passed
    assert not measures["log-probabilities, mean difference"].passed
    assert any("of this base and adapter" in text for text in differences)


def test_record_and_card_say_what_it_is_of_and_that_it_is_an_imitation(merged, place):
    record = json.loads((merged / "export.json").read_text())
    assert record["format"] == "merged"
    assert record["base"]["base_model"] == "path:tiny_base"  # and not where it lies on this machine
    assert (record["base"]["hub"], record["base"]["revision"]) == ("someone/tiny", "0123456")
    assert record["disclosure"] in (merged / "README.md").read_text()


def test_a_folder_with_something_else_in_it_is_left_alone(place, tmp_path):
    (tmp_path / "thesis.txt").write_text("Years of work.")
    with pytest.raises(UserError, match="holds something else than an export"):
        place.export("merged", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_missing_model_is_said_and_nothing_is_written(place, tmp_path):
    with pytest.raises(UserError, match="no tuned model there"):
        place.export("merged", tmp_path / "out", "nowhere")
    assert not (tmp_path / "out").exists()
