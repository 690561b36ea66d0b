"""Broken exports: each ends in one line that names the file and what is wrong, and nothing is written."""

import tempfile
import zipfile
from pathlib import Path

import pytest

from tests.support import exports
from tests.support.exports import talk

SAID = talk(3, 80)
WHATSAPP = exports.WHATSAPP["android, day first, 24 h"](SAID)
TELEGRAM, DISCORD, X = exports.telegram(SAID), exports.discord(SAID), exports.x_archive(SAID)


def archive(path: Path, **members: str) -> bytes:
    with zipfile.ZipFile(path, "w") as file:
        for name, text in members.items():
            file.writestr(name.replace("_dot_", "."), text)
    return path.read_bytes()


with tempfile.TemporaryDirectory() as folder:
    ZIPPED = archive(Path(folder) / "chat.zip", _chat_dot_txt=WHATSAPP)


def locked(data: bytes) -> bytes:
    """The archive with its only member marked as encrypted, in its own header and in the table of contents."""
    place = data.rindex(b"PK\x01\x02") + 8
    return data[:6] + bytes([data[6] | 1]) + data[7:place] + bytes([data[place] | 1]) + data[place + 1 :]


# Name of the file, what is in it, what is said of it.
BROKEN = {
    "empty": ("chat.txt", b"", "chat.txt: empty; export it again"),
    "only blanks": ("chat.txt", b"\n  \n", "chat.txt: empty"),
    "a photo": (
        "chat.dat",
        b"\x89PNG\r\n\x1a\n\0\0\0",
        "no format that is known here; --from names one of x, telegram",
    ),
    "latin-1": (
        "chat.txt",
        "03/11/2023, 09:00 - Ada Quill: sch\u00f6n\n".encode("latin-1"),
        "not UTF-8 text (byte 0xf6)",
    ),
    "whatsapp, impossible day": (
        "chat.txt",
        WHATSAPP.replace("/11/2023, ", "/02/2023, ").replace("03/02", "31/02").encode(),
        "line 2: '31/02/2023, ",
    ),
    "whatsapp, two orders": (
        "chat.txt",
        (WHATSAPP + "12/31/2023, 09:00 - Ada Quill: and a happy new year\n").encode(),
        "dates in two orders (day first, month first)",
    ),
    "whatsapp, media alone": (
        "chat.txt",
        b"03/11/2023, 09:00 - Ada Quill: <Media omitted>\n",
        "read as whatsapp, no message with text in it (left out: 1 media",
    ),
    "telegram, cut short": ("result.json", TELEGRAM[: len(TELEGRAM) // 2].encode(), "not JSON ("),
    "telegram, HTML in its place": (
        "result.json",
        b"<!DOCTYPE html><html></html>",
        "an HTML page; export it again as JSON",
    ),
    "telegram, no messages": (
        "result.json",
        b'{"name": "Bob", "type": "personal_chat", "from_id": 1, "text": ""}',
        "no `messages` in it; in Telegram Desktop choose",
    ),
    "telegram, a date of no calendar": (
        "result.json",
        TELEGRAM.replace("2023-11-04T", "2023-13-04T").encode(),
        "is no date and time",
    ),
    "discord, no authors": ("general.json", DISCORD.replace('"author"', '"writer"').encode(), "it has no author"),
    "discord, messages no list": (
        "general.json",
        b'{"guild": {}, "channel": {}, "messages": 5}',
        "no `messages` in it",
    ),
    "x, cut short": ("tweets.js", X[:-40].encode(), "not a script of an X archive ("),
    "x, another script": ("tweets.js", b'window.YTD.tweets.part0 = {"a": 1}', "it holds no list of posts"),
    "x, other keys": ("tweets.js", b'window.YTD.tweets.part0 = [{"like": {"tweetId": "1"}}]', "it has no full_text"),
    "messages, an unknown role": (
        "data.jsonl",
        b'{"messages": [{"role": "wizard", "content": "hello"}]}\n',
        "line 1: role 'wizard' is not among user, human",
    ),
    "messages, a broken line": (
        "data.jsonl",
        exports.chat_rows(SAID, "messages").replace('"role"', '"role', 1).encode(),
        "line 1: not JSON (",
    ),
    "table, unknown columns": (
        "data.csv",
        b"a;b\n1;2\n",
        "none called persona_answer or answer or output among 'a, b'; name what is meant: --question COLUMN --answer",
    ),
    "table, an open quotation mark": (
        "data.csv",
        b'question,answer\nHow so?,So.\nWhy?,"open\nand on\n',
        "not CSV after line 2 (unexpected end of data)",
    ),
    "an archive of pictures": ("export.zip", None, "no chat in this archive"),
    "an archive cut short": ("export.zip", ZIPPED[:-300], "a damaged or locked archive (cut short); download it again"),
    "an archive with a password": (
        "export.zip",
        locked(ZIPPED),
        "a damaged or locked archive (File '_chat.txt' is enc",
    ),
    "an empty archive": ("export.zip", b"PK\x05\x06" + b"\0" * 18, "no chat in this archive"),
    "a PDF": ("chat.pdf", b"%PDF-1.7\n%\xe2\xe3", "no format that is known here"),
    "UTF-16, cut within a character": ("chat.txt", WHATSAPP.encode("utf-16")[:-1], "not UTF-16 text (byte 0x"),
    "JSON of another program": (
        "notes.json",
        b'{"notes": [{"title": "x", "body": "y"}]}',
        "no format that is known here",
    ),
    "table, no header": ("data.csv", b"How so?,Because.\nWhy?,It is so.\n", "no column called question or"),
    "table, two columns of one name": (
        "data.csv",
        b"question,answer,Answer\nHow so?,So.,Thus.\n",
        "two columns are called 'answer'; rename the one that is not meant",
    ),
    "table, a header alone": ("data.csv", b"question,answer\n", "read as table, no message with text in it"),
    "not a mailbox": ("sent.mbox", b"Hello,\n\nthis is a letter.\n", "no format that is known here"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_one_line_says_what_is_wrong_and_nothing_is_written(space, refused, case):
    name, data, says = BROKEN[case]
    path = space.root / name
    if data is None:
        archive(path, photo_dot_jpg="x")
    else:
        path.write_bytes(data)
    message = refused("--from", "auto", "--me", "Ada Quill", name)
    assert message.startswith(name)
    assert says in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("form", ["whatsapp", "telegram", "discord", "x", "mbox", "messages", "table"])
def test_a_letter_read_as_anything_else_is_refused_in_one_line(space, refused, form):
    (space.root / "letter.txt").write_text("Dear Bob,\n\nthe goose is well, and sends its regards.\n")
    message = refused("--from", form, "--me", "Ada Quill", "letter.txt")
    assert message.startswith("letter.txt")
    assert len(message.splitlines()) == 1


def test_an_archive_with_damaged_bytes_is_told(space, refused):
    path = space.root / "chat.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("_chat.txt", WHATSAPP)
    data = path.read_bytes()
    path.write_bytes(data[:60] + b"\xff" * 40 + data[100:])
    assert "a damaged or locked archive" in refused("--from", "auto", "--me", "Ada Quill", "chat.zip")


def test_a_folder_and_a_missing_file_are_told(refused):
    assert "data: a folder; name the export's file in it" in refused("--from", "auto", "data")
    assert refused("--from", "auto", "nowhere.txt") == "nowhere.txt: no such file"
