"""The Modelfile: what Ollama makes of it is what the model was trained on."""

import json
import shutil
import subprocess

import pytest

from tests.support.exported_models import QUESTIONS
from tonetune.core.errors import UserError
from tonetune.core.rows import Message
from tonetune.export import gguf_tokenizer
from tonetune.export.ollama import instructions, turns
from tonetune.model.base import load_tokenizer

CHAT = [
    Message(role="system", content="Be brief."),
    Message(role="user", content="Why?  2024"),
    Message(role="assistant", content="So."),
    Message(role="user", content="And {{ this }}?"),
]
GO = """
package main
import ("encoding/json"; "os"; "text/template")
type Message struct { Role string; Content string }
func main() {
  var in struct { Template string; Messages []Message }
  json.NewDecoder(os.Stdin).Decode(&in)
  t := template.Must(template.New("").Parse(in.Template))
  if err := t.Execute(os.Stdout, map[string]any{"Messages": in.Messages}); err != nil { panic(err) }
}
"""


@pytest.fixture(scope="module")
def exported(place, tmp_path_factory):
    pytest.importorskip("xllamacpp", reason="llama.cpp comes with the extra llamacpp")
    return place.export("ollama", tmp_path_factory.mktemp("ollama") / "out")


@pytest.fixture
def tokenizer(place):
    return load_tokenizer(place.params.base_model)


def rendered(tokenizer, chat):
    messages = [message.model_dump() for message in chat]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def test_the_turns_are_those_of_the_chat_template(tokenizer):
    assert turns(tokenizer).render(CHAT) == rendered(tokenizer, CHAT)


@pytest.mark.skipif(shutil.which("go") is None, reason="no Go here, whose own templates this runs")
def test_go_renders_the_template_as_training_does(exported, tokenizer, tmp_path):
    (tmp_path / "main.go").write_text(GO)
    template = instructions((exported / "Modelfile").read_text())["TEMPLATE"][0]
    asked = {"Template": template, "Messages": [message.model_dump() for message in CHAT]}
    done = subprocess.run(
        ["go", "run", "main.go"], cwd=tmp_path, input=json.dumps(asked), capture_output=True, text=True
    )
    assert done.stdout == rendered(tokenizer, CHAT), done.stderr


def test_a_template_that_is_no_series_of_turns_is_refused(tokenizer):
    tokenizer.chat_template = "{{ messages | length }} messages: {% for m in messages %}{{ m.content }}{% endfor %}"
    with pytest.raises(UserError, match="more than a series of turns"):
        turns(tokenizer)


def test_it_holds_all_that_ollama_has_defaults_of_its_own_for(exported, place):
    found = instructions((exported / "Modelfile").read_text())
    settings = place.params.evaluate
    assert found["SYSTEM"] == [place.params.system_prompt]
    assert found["PARAMETER stop"] == ["<|im_end|>"]
    assert float(found["PARAMETER temperature"][0]) == settings.temperature
    assert float(found["PARAMETER top_p"][0]) == settings.top_p
    assert float(found["PARAMETER repeat_penalty"][0]) == 1
    assert found["FROM"] == [f"./{next(exported.glob('*.gguf')).name}"]
    assert place.source().disclosure in found["LICENSE"][0]


def test_it_says_of_which_base_data_and_commit_it_is(exported, place):
    source = place.source()
    provenance = f"# base path:tiny_base, training data unknown, commit {source.commit or 'unknown'}"
    assert (exported / "Modelfile").read_text().splitlines()[:2] == [f"# {source.disclosure}", provenance]


def test_the_check_finds_a_file_that_cuts_text_into_other_tokens(place, ours, tmp_path, monkeypatch):
    monkeypatch.setattr(gguf_tokenizer, "pre_tokenizer", lambda _: "qwen2")
    spoilt = place.export("ollama", tmp_path / "spoilt")
    measures, differences = place.check("ollama", spoilt, ours, "f16")
    assert not measures["prompts equal, token by token"].passed
    assert any(text.startswith("prompts: token ") for text in differences)


def test_the_check_passes_it_and_fails_on_a_spoilt_template_or_a_missing_stop(exported, place, ours, tmp_path):
    assert len(ours.texts) == len(QUESTIONS)
    measures, differences = place.check("ollama", exported, ours, "f16")
    assert differences == []
    assert all(measure.passed for measure in measures.values())
    spoilt = shutil.copytree(exported, tmp_path / "spoilt")
    text = (exported / "Modelfile").read_text()
    (spoilt / "Modelfile").write_text(text.replace("<|im_start|>assistant", "assistant:"))
    _, differences = place.check("ollama", spoilt, ours, "f16")
    assert any(text.startswith("Modelfile: TEMPLATE is ") for text in differences)
    (spoilt / "Modelfile").write_text(text.replace("PARAMETER stop <|im_end|>\n", ""))
    measures, differences = place.check("ollama", spoilt, ours, "f16")
    assert not measures["ends answers where training does"].passed
    assert any("none here" in text for text in differences)
