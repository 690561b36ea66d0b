"""Tables and rows of training data as spreadsheets and programs write them."""

import json

import pytest

from tonetune.core.errors import UserError
from tonetune.imports.formats import read_chat_export
from tonetune.imports.messages import Columns


def read(tmp_path, name: str, text: str, **columns: str):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return [
        (message.author, message.text, message.plain)
        for message in read_chat_export(path, columns=Columns(**columns))[1].messages
    ]


def test_a_cell_of_several_lines_keeps_them(tmp_path):
    rows = read(tmp_path, "a.csv", 'question,answer\nHow so?,"First.\n\nThen."\n')
    assert rows[1][1] == "First.\n\nThen."


@pytest.mark.parametrize("first", ["", "sep=;\n", "sep=;\r\n"])
def test_the_line_by_which_excel_names_the_delimiter_is_no_header(tmp_path, first):
    assert read(tmp_path, "a.csv", f"{first}question;answer\nHow so?;So.\n")[0][1] == "How so?"


def test_a_comma_in_the_name_of_a_column_is_no_delimiter(tmp_path):
    text = '"Question, please";"Answer, mine"\nHow so?;So.\n'
    rows = read(tmp_path, "a.csv", text, question="Question, please", answer="Answer, mine")
    assert [text for _, text, _ in rows] == ["How so?", "So."]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "question,answer,Plain\nHow so?,So.,It is so.\n"),
        ("a.jsonl", '{"question": "How so?", "answer": "So.", "Plain": "It is so."}\n'),
    ],
)
def test_the_column_of_plain_answers_is_read_or_told_to_be_missing(tmp_path, name, text):
    assert read(tmp_path, name, text, plain="Plain")[1][2] == "It is so."
    with pytest.raises(UserError, match=r"no (?:column|key) 'neutral' among "):
        read(tmp_path, name, text, plain="neutral")


def test_the_case_of_a_column_of_plain_answers_does_not_count(tmp_path):
    assert read(tmp_path, "a.csv", "Question,Answer,PLAIN\nHow so?,So.,It is so.\n", plain="plain")[1][2] == "It is so."


def said(tmp_path, rows: object, **columns: str) -> list[str]:
    return [text for _, text, _ in read(tmp_path, "data.json", json.dumps(rows), **columns)]


def test_a_turn_that_calls_a_tool_says_nothing(tmp_path):
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    turns = [{"role": "user", "content": "How so?"}, call, {"role": "assistant", "content": "So."}]
    assert said(tmp_path, [{"messages": turns}]) == ["How so?", "So."]


@pytest.mark.parametrize("role", ["chatgpt", "bing", "bard"])
def test_sharegpts_names_of_models_are_roles(tmp_path, role):
    turns = [{"from": "human", "value": "How so?"}, {"from": role, "value": "So."}]
    assert said(tmp_path, [{"conversations": turns}]) == ["How so?", "So."]


def test_rows_may_be_in_a_list_called_data_and_have_long_texts_first(tmp_path):
    rows = [{"id": "x" * 30_000, "question": "How so?", "answer": "So."}]
    assert said(tmp_path, {"version": 1, "data": rows}) == ["How so?", "So."]


def test_what_stands_beside_an_instruction_belongs_to_the_question_once(tmp_path):
    row = {"instruction": "Sum it up.", "context": "The goose is well.", "response": "All is well."}
    assert said(tmp_path, [row]) == ["Sum it up.\nThe goose is well.", "All is well."]
    assert said(tmp_path, [{"input": "How so?", "output": "So."}], question="input") == ["How so?", "So."]


MANY = [f"column {number}" for number in range(12)]
NAMED = [
    (
        {},
        "no column called question or instruction or prompt, and none called persona_answer or answer or output among ",
    ),
    ({"question": "column 1"}, "no column called persona_answer or answer or output among "),
    ({"answer": "column 1"}, "no column called question or instruction or prompt among "),
    ({"question": "frage", "answer": "column 1"}, "no column 'frage' among "),
]


@pytest.mark.parametrize(("columns", "problem"), NAMED)
def test_columns_of_other_names_are_listed_beside_the_options_that_are_missing(tmp_path, columns, problem):
    with pytest.raises(UserError) as error:
        read(tmp_path, "a.csv", f"{','.join(MANY)}\n{','.join('abcdefghijkl')}\n", **columns)
    wanted = {"question", "answer"} - {what for what, name in columns.items() if name in MANY}
    options = " ".join(f"--{what} COLUMN" for what in ("question", "answer") if what in wanted)
    listed = f"{', '.join(MANY[:10])!r} and 2 more; name what is meant: {options}"
    assert str(error.value) == f"{tmp_path / 'a.csv'}: {problem}{listed}"


@pytest.mark.parametrize(
    ("columns", "missing", "options"),
    [
        ({}, "no question and no answer", "--question KEY --answer KEY"),
        ({"question": "column 1"}, "no answer", "--answer KEY"),
        ({"answer": "column 1"}, "no question", "--question KEY"),
    ],
)
def test_keys_of_other_names_are_listed_beside_the_options_that_are_missing(tmp_path, columns, missing, options):
    with pytest.raises(UserError) as error:
        read(tmp_path, "a.jsonl", json.dumps(dict.fromkeys(MANY, "text")) + "\n", **columns)
    listed = f"{', '.join(MANY[:10])!r} and 2 more; name what is meant: {options}"
    assert str(error.value) == f"{tmp_path / 'a.jsonl'}, line 1: no messages, and {missing} among its keys {listed}"
