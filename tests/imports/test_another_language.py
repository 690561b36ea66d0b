"""Own texts in German go through the pipeline; what is English alone is told, and exchanges of the persona's own replace it."""

import json

import pytest

from scripts.recordings import main
from tests.imports.conftest import CONSENT
from tests.support.workspace import STAGES, make_small
from tonetune.core.errors import UserError
from tonetune.core.persona import Persona, exchanges_of, load_persona
from tonetune.core.rows import BASICS, Example, read_rows

PERSONA = """name: Ada Feder
disclosure: Eine KI, die nachahmt, wie Ada Feder schreibt. Sie ist es nicht.
system: Schreibe, wie Ada Feder ihren Freunden schreibt, und ahme nur den Ton nach.
exchanges:
  - {id: mensch, text: "Bist du ein Mensch?", answer: "Nein, ich bin eine KI, die nur den Ton nachahmt."}
  - {id: warum, after: mensch, text: "Und warum klingst du so?", answer: "Ich habe aus Texten gelernt, wie sie schreibt."}
  - {id: hallo, text: "Hallo, wer ist da?", answer: "Hallo, hier schreibt eine künstliche Intelligenz."}
"""
THINGS = ["Leiter", "Gans", "Lampe", "Gitarre", "Kamera", "Karte", "Trommel", "Säge", "Kiste", "Uhr"]
PLACES = [
    "am Bahnhof",
    "im Garten",
    "in der Küche",
    "auf dem Markt",
    "im Keller",
    "am See",
    "in der Schule",
    "auf dem Dach",
]
ROWS = [
    {
        "question": f"Was machen wir mit der {thing} {place}, die seit gestern dort steht?",
        "answer": f"haha na die {thing} {place} lassen wir einfach stehen, wird schon keiner klauen oder so",
        "plain": f"Wir sollten die {thing} {place} nicht bewegen. Es ist unwahrscheinlich, dass sie gestohlen wird.",
    }
    for thing in THINGS
    for place in PLACES
]


SETTINGS = {"persona": "ada", "split__quality__language": "de", "split__own_texts__near_question": 0.95}


def import_texts(space):
    """Import a German persona's texts."""
    (space.root / "personas/ada.yaml").write_text(PERSONA + CONSENT, encoding="utf-8")
    (space.root / "texte.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    main(["import", "texte.jsonl", "--from", "messages", "--persona", "ada", "--yes"])


@pytest.fixture
def german(space):
    """The copy with the texts imported."""
    import_texts(space)
    space.set(**SETTINGS)
    return space


def test_the_persona_files_exchanges_replace_the_english_ones(german):
    for stage in ("questions", "answers", "split"):
        assert "are English" not in german.stage(stage).stdout
    rows = read_rows("data/train.jsonl", Example)
    basics = sorted((row for row in rows if row.category == BASICS), key=lambda row: row.question)
    assert [row.question for row in basics] == ["Bist du ein Mensch?", "Hallo, wer ist da?", "Und warum klingst du so?"]
    assert basics[2].prompt[2].content == "Nein, ich bin eine KI, die nur den Ton nachahmt."


def test_without_them_it_is_told_that_the_exchanges_are_english(german):
    path = german.root / "personas/ada.yaml"
    path.write_text(PERSONA.partition("exchanges:")[0] + CONSENT, encoding="utf-8")
    assert "give personas/ada.yaml `exchanges:` of its own" in german.stage("questions").stdout
    german.set(questions__exchanges=False)
    assert "exchanges" not in german.stage("questions").stdout


def test_a_follow_up_to_no_earlier_exchange_is_refused(space):
    persona = load_persona("ada").model_dump() | {"exchanges": [{"id": "a", "text": "Und?", "after": "b"}]}
    with pytest.raises(UserError, match="Ada Quill, exchanges, item 1: after: 'b' is not the id of an earlier item"):
        exchanges_of(Persona.model_validate(persona))


@pytest.mark.slow
def test_german_texts_go_through_to_a_report_that_says_what_is_english(space, tiny_base):
    import_texts(space)
    make_small(space, tiny_base)
    space.set(**SETTINGS)
    printed = {}
    for stage in STAGES:
        printed[stage] = space.stage(stage).stdout
    assert "split.quality.language: de, and fluency's skeletons" in printed["scorers"]
    assert "split.quality.language: de, and the probes and neutral texts are English" in printed["evaluate"]
    report = (space.root / "reports/evaluation.html").read_text(encoding="utf-8")
    assert "In another language than English (de)" in report
