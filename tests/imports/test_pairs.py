"""One's own questions and answers become recordings, and what cannot become one is named."""

import csv
import json
import re
import sys

import pytest

from scripts.recordings import main
from tonetune.core.errors import UserError
from tonetune.core.rows import Answer, Question, read_rows
from tonetune.imports.pairs import read_pairs
from tonetune.teacher.recordings import SHARED, read_recordings, recordings_path

IMPORT = ("-m", "scripts.recordings", "import")

ROWS = [
    {
        "question": f"What is number {i} good for?",
        "persona_answer": f"Number {i}? Well, everything.",
        "plain_answer": f"Number {i} is useful.",
    }
    for i in range(7)
]

PERSONA = "name: Aunt Ada\ndisclosure: An AI that imitates Aunt Ada.\nsystem: Speak as Aunt Ada.\nprompts: {imported: Questions that came with the pairs.}\n"


def import_rows(space, text, name="pairs.jsonl", options=("--persona", "ada", "--teacher", "written by hand")):
    """Import a file that holds `text`, or those bytes."""
    (space.root / "personas/ada.yaml").write_text(PERSONA)
    (space.root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return space.run(sys.executable, *IMPORT, name, *options, check=False)


def as_jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_own_pairs_become_recordings_that_the_pipeline_replays(workspace, form):
    if form == "jsonl":
        text = as_jsonl(ROWS)
    else:
        path = workspace.root / "rows.csv"
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, ROWS[0])
            writer.writeheader()
            writer.writerows(ROWS)
        text = path.read_text()
    assert import_rows(workspace, text, f"pairs.{form}").returncode == 0
    workspace.set(persona="ada", questions__per_prompt=7, questions__exchanges=False, answers__samples=1)
    workspace.stage("questions")
    workspace.stage("answers")
    answers = read_rows(workspace.root / "data/answers.jsonl", Answer)
    assert [a.style for a in answers] == ["plain", "persona"] * len(ROWS)
    assert [a.text for a in answers] == [row[key] for row in ROWS for key in ("plain_answer", "persona_answer")]
    assert {a.teacher for a in answers} == {"written by hand"}


def test_every_bad_row_is_listed_and_nothing_is_written(workspace):
    bad = [
        json.dumps(ROWS[0]),
        "{not json",
        json.dumps(ROWS[1] | {"plain_answer": " "}),
        json.dumps(ROWS[0]),
        json.dumps(ROWS[2] | {"extra": 1}),
    ]
    result = import_rows(workspace, "\n".join(bad))
    assert result.returncode == 1
    for part in (
        "4 bad rows, nothing was written",
        "line 2: not JSON",
        "line 3: plain_answer",
        "line 4: question: the same as in line 1",
        "line 5: extra",
    ):
        assert part in result.stderr
    assert not (workspace.root / "data/recordings/ada.jsonl.gz").exists()


def test_every_category_without_a_prompt_is_named_and_where_to_give_it_one(workspace):
    categories = ["imported", "birds", "imported", "fish", "birds", "basics"]
    rows = [row | {"category": category} for row, category in zip(ROWS, categories, strict=False)]
    result = import_rows(workspace, as_jsonl(rows))
    assert result.returncode == 1
    assert "pairs.jsonl: categories without a prompt: 'birds' (line 2), 'fish' (line 4)" in result.stderr
    assert "prompts: {birds: Questions that came with the imported pairs., fish: " in result.stderr
    assert "personas/ada.yaml" in result.stderr
    assert not (workspace.root / recordings_path("ada")).exists()


@pytest.mark.parametrize("options", [(), ("--teacher", " ")], ids=["none", "blank"])
def test_pairs_of_an_unnamed_teacher_are_imported_as_unknown(workspace, options):
    assert import_rows(workspace, as_jsonl(ROWS), options=("--persona", "ada", *options)).returncode == 0
    recordings = read_recordings(workspace.root / recordings_path("ada"))
    assert {recording.teacher for recording in recordings} == {"unknown"}


def test_recordings_that_are_there_go_only_when_told_to(workspace):
    paths = [workspace.root / path for path in (recordings_path("elon_musk"), SHARED)]
    before = [path.read_bytes() for path in paths]
    held = len(read_recordings(paths[0]))
    rows = as_jsonl(row | {"category": "funny"} for row in ROWS)
    result = import_rows(workspace, rows, options=("--persona", "elon_musk"))
    assert result.returncode == 1
    assert f"data/recordings/elon_musk.jsonl.gz: holds {held} recordings" in result.stderr
    assert "--replace" in result.stderr
    assert [path.read_bytes() for path in paths] == before

    assert import_rows(workspace, as_jsonl(ROWS)).returncode == 0
    assert import_rows(workspace, as_jsonl(ROWS[:3])).returncode == 1
    assert len(read_recordings(workspace.root / recordings_path("ada"))) == 2 * len(ROWS) + 1
    options = ("--persona", "ada", "--replace")
    assert import_rows(workspace, as_jsonl(ROWS[:3]), options=options).returncode == 0
    assert len(read_recordings(workspace.root / recordings_path("ada"))) == 2 * 3 + 1


def test_questions_that_a_list_would_lose_are_bad_rows_each_with_its_reason(workspace):
    questions = [
        "What is\nit for?",
        "Name birds.",
        "**Why?** Tell me that.",
        'Explain the word "no"',
        "Why is that so?",
    ]
    rows = [row | {"question": question} for row, question in zip(ROWS, questions, strict=False)]
    result = import_rows(workspace, as_jsonl(rows))
    assert result.returncode == 1
    assert "4 bad rows, nothing was written" in result.stderr
    for part in (
        "line 1: question: more than one line, got 'What is\\nit for?'",
        "line 2: question: fewer than three words and no question mark at the end, got 'Name birds.'",
        'line 3: question: begins or ends with " or *, which lists of questions lose',
        'line 4: question: begins or ends with " or *, which lists of questions lose',
    ):
        assert part in result.stderr
    assert not (workspace.root / recordings_path("ada")).exists()


def test_a_question_without_an_end_mark_may_be_the_last_of_a_list(workspace):
    questions = ["Name a bird you trust", "Why?", "Tell me of a fish", "Is it 1. or 2.?", "Say what you like"]
    rows = [row | {"question": question} for row, question in zip(ROWS, questions, strict=False)]
    options = ("--persona", "ada", "--per-request", "3")
    assert import_rows(workspace, as_jsonl(rows), options=options).returncode == 0
    workspace.set(persona="ada", questions__per_prompt=5, questions__exchanges=False)
    workspace.stage("questions")
    assert [q.text for q in read_rows(workspace.root / "data/questions.jsonl", Question)] == questions


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("question,persona_answer,plain_answer\nWhy is it so?,It\u2019s so.,It is.\n".encode("cp1252"), "(byte 0x92)"),
        (
            f'question,persona_answer,plain_answer\nHow?,So.,So.\nWhy?,"{"open, " * 30_000}\n',
            "not CSV after line 2 (field larger",
        ),
    ],
    ids=["cp1252", "open quotation mark"],
)
def test_a_table_that_cannot_be_read_says_how_to_save_it(workspace, content, says):
    result = import_rows(workspace, content, "pairs.csv")
    assert result.returncode == 1
    assert result.stderr.startswith("error: pairs.csv")
    assert says in result.stderr
    assert "CSV UTF-8" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("number", ["0", "1000"])
def test_a_list_cannot_hold_any_number_of_questions(workspace, number):
    result = import_rows(workspace, as_jsonl(ROWS), options=("--persona", "ada", "--per-request", number))
    assert (result.returncode, result.stderr) == (
        1,
        f"error: --per-request: {number}: a list holds 1 to 999 questions\n",
    )


def as_spreadsheets_write(delimiter):
    """The rows with a numbering, an empty last column, empty categories and rows of nothing."""
    header = ["id", *ROWS[0], "category", ""]
    lines = [header, *([str(number), *row.values(), "", ""] for number, row in enumerate(ROWS)), [""] * len(header)]
    return "\n".join(delimiter.join(f'"{cell}"' if delimiter in cell else cell for cell in line) for line in lines)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_is_read_as_spreadsheets_write_it(workspace, delimiter):
    result = import_rows(workspace, as_spreadsheets_write(delimiter), "pairs.csv")
    assert (result.returncode, result.stderr) == (0, "")
    assert f"{len(ROWS)} imported" in result.stdout
    answers = [r.text for r in read_recordings(workspace.root / recordings_path("ada"))]
    assert set(answers) >= {row["persona_answer"] for row in ROWS}


def test_rows_as_one_array_are_read(workspace):
    result = import_rows(workspace, json.dumps(ROWS, indent=1), "pairs.json")
    assert (result.returncode, result.stderr) == (0, "")
    assert f"{len(ROWS)} imported" in result.stdout


def test_a_column_of_an_unknown_name_is_named_once(workspace):
    text = "question,persona_answer,plain_answer,Bewertung\n" + "Why is that so?,So.,So.,5\n" * 30
    result = import_rows(workspace, text, "pairs.csv")
    assert result.returncode == 1
    assert (
        "pairs.csv: columns 'Bewertung' are not among question, persona_answer, plain_answer, category" in result.stderr
    )
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_texts_under_other_names_are_one_error_that_names_both_options(tmp_path, form):
    path = tmp_path / f"pairs.{form}"
    rows = "Frage,Antwort\n" + "Why is that so?,So.\n" * 30
    path.write_text(rows if form == "csv" else as_jsonl([{"Frage": "Why is that so?", "Antwort": "So."}] * 30))
    with pytest.raises(UserError) as error:
        read_pairs(path)
    options = {
        "csv": "--from table --question COLUMN --answer COLUMN",
        "jsonl": "--from messages --question KEY --answer KEY",
    }
    assert "'Frage, Antwort' are not among question, persona_answer" in str(error.value)
    assert str(error.value).endswith(f"or name them: {options[form]}")


@pytest.mark.parametrize("option", ["--question", "--answer", "--plain"])
def test_one_column_that_is_named_makes_it_an_import_of_own_texts(option, monkeypatch):
    called = []
    monkeypatch.setattr("scripts.import_texts.import_texts", called.append)
    main(["import", "rows.csv", option, "Antwort"])
    assert len(called) == 1


PAIR = ("Why is that so?", "So it is, my dear.", "It is so.")
NAMES = ("question", "persona_answer", "plain_answer")
OBJECT = dict(zip(NAMES, PAIR, strict=True))
LINES = "question;persona_answer;plain_answer\n" + ";".join(PAIR) + "\n"


@pytest.mark.parametrize(
    ("name", "data", "line"),
    [
        ("a.csv", LINES.replace("question", "Question").replace("persona_a", "Persona_A"), 2),
        ("a.csv", "sep=;\n" + LINES, 3),
        ("a.csv", "\n;;;\n" + LINES, 4),
        ("a.csv", LINES.encode("utf-16"), 2),
        ("a.txt", LINES, 2),
        ("a.json", f"\n [{json.dumps(OBJECT)}]", 1),
        ("a.json", json.dumps(OBJECT, indent=2), 1),
        ("a.jsonl", json.dumps(OBJECT, indent=2) + "\n" + json.dumps(OBJECT | {"question": "And why?"}, indent=2), 1),
        ("a.json", json.dumps({"pairs": [OBJECT]}, indent=2), 1),
        ("a.json", json.dumps({"pairs": [OBJECT]}), 1),
    ],
)
def test_pairs_are_read_in_every_form_that_people_bring(name, data, line, tmp_path):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    pair = read_pairs(path)[line]
    assert (pair.question, pair.persona_answer, pair.plain_answer) == PAIR


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.xlsx", b"PK\x03\x04\x14\0\xff", 'a workbook or an archive, which is not read here; save the sheet as "CSV'),
        ("a.csv", LINES.replace("plain_answer", "question").encode(), "the column 'question' is there twice"),
    ],
)
def test_pairs_that_cannot_be_read_say_what_to_do(name, data, says, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=re.escape(says)):
        read_pairs(tmp_path / name)
