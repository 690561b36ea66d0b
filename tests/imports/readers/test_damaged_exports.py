"""Exports damaged at random: whatever is left of them is read or refused in one line, never anything else."""

import json
import random
import tempfile
from pathlib import Path

import pytest

from tests.support import exports
from tests.support.exports import talk
from tonetune.core.errors import UserError
from tonetune.imports.formats import READERS, read_chat_export
from tonetune.imports.messages import ChatExport

SAID = talk(9, 30)
WRITTEN = {
    "telegram": exports.telegram(SAID),
    "discord": exports.discord(SAID),
    "x": exports.x_archive(SAID),
    "whatsapp": exports.WHATSAPP["android, month first, 12 h"](SAID),
    "messages": exports.chat_rows(SAID, "messages"),
    "table": exports.table(SAID, ";", ("question", "answer")),
    "text": exports.markdown(SAID),
}
with tempfile.TemporaryDirectory() as folder:
    exports.mbox(SAID, Path(folder) / "box")
    WRITTEN["mbox"] = (Path(folder) / "box").read_text()
ODD = [None, 5, "x", [], {}, [None], {"text": 5}, True]


def spoilt(rng: random.Random, value):
    """The value with one thing in it, wherever, replaced by something odd."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        return value | {key: spoilt(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        return [*value[:place], spoilt(rng, value[place]), *value[place + 1 :]]
    return rng.choice(ODD)


def damaged(rng: random.Random, form: str) -> bytes:
    text = WRITTEN[form]
    if form in ("telegram", "discord", "x") and rng.random() < 0.7:
        start, _, body = text.rpartition(" = ") if form == "x" else ("", "", text)
        return (start + " = " * bool(start) + json.dumps(spoilt(rng, json.loads(body)))).encode()
    data = text.encode()
    place, other = sorted(rng.sample(range(len(data)), 2))
    return rng.choice([data[:place], data[:place] + data[other:], data[:place] + rng.randbytes(3) + data[place:]])


@pytest.mark.parametrize("form", WRITTEN)
@pytest.mark.parametrize("seed", range(40))
def test_it_is_read_or_refused_in_one_line(tmp_path, form, seed):
    rng = random.Random(f"{form} {seed}")
    path = tmp_path / "export"
    path.write_bytes(damaged(rng, form))
    refused, export = None, ChatExport()
    try:
        _, export = read_chat_export(path, rng.choice(["auto", form]))
    except UserError as error:
        refused = str(error)
    if refused is not None:
        assert len(refused.splitlines()) == 1
        assert str(path) in refused
    else:
        assert export.messages
        assert all(message.text.strip() and isinstance(message.author, str) for message in export.messages)


def test_every_format_is_damaged_here():
    assert WRITTEN.keys() == READERS.keys()
