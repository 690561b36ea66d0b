"""Files that no program wrote: pairs and exports are read or refused in a line, whatever is in them."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tonetune.core.errors import UserError
from tonetune.imports.formats import READERS, read_chat_export
from tonetune.imports.messages import ChatExport
from tonetune.imports.pairs import MOST_SHOWN, read_pairs

KEYS = st.sampled_from(["question", "Persona_Answer", "persona_answer", "plain_answer", "category", "messages", "role", "content", "id", ""])  # fmt: skip
TEXTS = st.text(max_size=20) | st.sampled_from(["Why is that so?", "user", "assistant", "basics", "", " ", "a;b,c\td"])
VALUES = st.recursive(
    TEXTS | st.none() | st.integers() | st.floats() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)
HEADER = "question,persona_answer,plain_answer,category\n"
FILES = st.one_of(
    st.binary(max_size=80),
    VALUES.map(json.dumps).map(str.encode),
    st.lists(VALUES, max_size=4).map(lambda rows: "\n".join(map(json.dumps, rows)).encode()),
    VALUES.map(lambda value: json.dumps(value, indent=1).encode()),
    st.text(max_size=60).map(lambda text: (HEADER + text).encode(errors="replace")),
    st.text(max_size=60).map(lambda text: (HEADER + text).encode("utf-16", errors="replace")),
    st.text(alphabet="ab?.,;|\t\n\r\"'[]{}:=\x00", max_size=60).map(lambda text: (HEADER + text).encode()),
)
DEEP = b'{"question": ' + b"[" * 5_000
LONG = b'{"question": ' + b"9" * 5_000 + b"}"
ODD_FILES = [DEEP, b"[" * 5_000, LONG, b"[" + LONG + b"]", LONG + b"\n" + LONG, b'{"question": "\\ud800"}']


def with_odd_files(test):
    for data in ODD_FILES:
        test = example(data=data)(test)
    return test


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.csv", "pairs.txt"])
@settings(max_examples=30, deadline=None)
@with_odd_files
@given(data=FILES)
def test_pairs_are_read_or_refused(name, data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        pairs, refused = {}, None
        try:
            pairs = read_pairs(path)
        except UserError as error:
            refused = str(error)
    assert refused is None or (refused.startswith(str(path)) and len(refused.split("\n")) <= MOST_SHOWN + 2)
    for pair in pairs.values():
        assert pair.question.strip()
        assert pair.category == "basics" or len(pair.question.splitlines()) == 1
        assert any(character.isalpha() for character in pair.question)


@pytest.mark.parametrize("form", ["auto", *READERS])
@settings(max_examples=30, deadline=None)
@with_odd_files
@given(data=FILES)
def test_an_export_is_read_or_refused(form, data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export"
        path.write_bytes(data)
        export, refused = ChatExport(), None
        try:
            _, export = read_chat_export(path, form)
        except UserError as error:
            refused = str(error)
    assert refused is None or str(path) in refused
    assert all(message.text.strip() for message in export.messages)
