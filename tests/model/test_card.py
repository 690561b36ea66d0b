"""The card beside what training writes, and that its first words are the disclosure, which chat and page show."""

from huggingface_hub import ModelCard

from tests.support.workspace import ROOT
from tonetune.core.params import load_params
from tonetune.core.persona import load_persona
from tonetune.merged import disclosure_of
from tonetune.model.card import trained_card


def test_it_names_base_data_licences_language_and_limits_and_begins_with_the_disclosure(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    params = load_params()
    persona = load_persona(params.persona)
    text = trained_card(params, persona, True, "0123456789abcdef")
    read = ModelCard(text)
    assert (read.data.license, read.data.language, read.data.library_name) == ("apache-2.0", ["en"], "peft")
    assert read.data.base_model == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert next(line for line in text.splitlines() if line.startswith("# ")).endswith(persona.disclosure)
    assert all(part in text for part in ("## Limits", "CC BY 4.0", "0123456789abcdef", params.base_model))
    assert "in the card of an export (`make export FORMAT=merged`)" in text  # where figures and commit are
    (tmp_path / "README.md").write_text(text)
    assert disclosure_of(tmp_path) == persona.disclosure
    assert trained_card(params, persona, True, "0123456789abcdef") == text  # the same bytes for the same run
