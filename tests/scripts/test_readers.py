"""A language model behind a real endpoint reads a blind sheet's items."""

import csv

import pytest
from ruamel.yaml import YAML

from scripts.readers import ask_reader, take_readings
from tests.support.servers.teacher_server import TeacherServer
from tests.support.workspace import ROOT
from tonetune.core.errors import UserError
from tonetune.core.rows import read_rows, write_rows
from tonetune.report.readers import Item, Reading


class Reader(TeacherServer):
    """Finds everything sensible that does not hold the word nonsense, and says too little of what holds the word odd."""

    def __enter__(self):
        self.shown = []
        return super().__enter__()

    def answer(self, body, fault):
        text = body["messages"][-1]["content"]
        self.shown.append(text)
        if "odd" in text:
            return "I would rather not."
        return "0 2" if "nonsense" in text else "3 1"


@pytest.fixture
def sheet(tmp_path, monkeypatch):
    """A folder with params, a persona and the items of a sheet."""
    monkeypatch.chdir(tmp_path)
    yaml = YAML()
    yaml.dump(yaml.load(ROOT / "params.yaml"), tmp_path / "params.yaml")
    (tmp_path / "personas").symlink_to(ROOT / "personas")
    for folder in ("data/readers", "metrics"):
        (tmp_path / folder).mkdir(parents=True)
    said = {"tuned": "Sure.", "base": "Some nonsense.", "base_prompted": "An odd answer."}
    items = [
        Item(id=f"id {system}", system=system, question_id="q", question="Why?", answer=answer)
        for system, answer in said.items()
    ]
    write_rows("data/readers/items.jsonl", items)
    write_rows("data/readers/readings.jsonl", [Reading(id="id tuned", reader="someone", sense=1, tone=3)])
    return tmp_path


def test_a_model_reads_without_names_and_joins_the_readers(sheet, capsys):
    with Reader() as server:
        ask_reader(f"endpoint:test-model@{server.url}")
    assert sorted(server.shown) == [
        "Question: Why?\n\nAnswer: An odd answer.",
        "Question: Why?\n\nAnswer: Some nonsense.",
        "Question: Why?\n\nAnswer: Sure.",
    ]
    kept = {(r.reader, r.id): (r.sense, r.tone) for r in read_rows("data/readers/readings.jsonl", Reading)}
    assert kept == {
        ("someone", "id tuned"): (1, 3),
        ("test-model", "id tuned"): (3, 1),
        ("test-model", "id base"): (0, 2),
    }
    assert "1 replies of endpoint:test-model" in capsys.readouterr().err
    with open("metrics/readers.csv") as file:
        means = {(row["system"], row["figure"]): float(row["mean"]) for row in csv.DictReader(file)}
    assert means["tuned", "sense"] == 2
    assert means["base", "tone"] == 2


def test_readings_of_another_runs_answers_go_and_are_counted(sheet, capsys):
    """The file holds what was said of the sheet before; an answer that has changed since has another id."""
    old = [Reading(id="of an older run", reader="someone", sense=3, tone=3)]
    write_rows("data/readers/readings.jsonl", [*old, *read_rows("data/readers/readings.jsonl", Reading)])
    write_rows("saved.jsonl", [Reading(id="id base", reader="another", sense=0, tone=0)])
    take_readings([sheet / "saved.jsonl"])
    assert [r.id for r in read_rows("data/readers/readings.jsonl", Reading)] == ["id tuned", "id base"]
    assert "1 readings of answers that are not in this sheet" in capsys.readouterr().out


def test_whoever_wrote_the_data_does_not_read(sheet):
    with pytest.raises(UserError, match="wrote the data"):
        ask_reader("endpoint:general-purpose-language-model")
    with pytest.raises(UserError, match="name the model that reads"):
        ask_reader(None)
