"""Several files of one person: chats stay apart, names differ from file to file, and others' words are nobody's own."""

import json
import runpy
import sys
import zipfile

import pytest

from scripts.recordings import main
from tests.support import exports
from tests.support.exports import ADA, WHATSAPP, talk
from tonetune.core.errors import UserError
from tonetune.imports.formats import read_chat_export
from tonetune.imports.messages import ChatExport

HERS = "03/11/2023, 09:00 - Bob: who feeds the goose?\n03/11/2023, 09:01 - Ada: me, as always\n"
OTHER = "03/11/2023, 09:00 - Cleo: and who eats cake?\n03/11/2023, 09:01 - Ada: everybody, I hope\n"


def threads(export: ChatExport) -> int:
    return len({message.thread for message in export.messages})


def test_two_chats_of_one_archive_are_two_talks(tmp_path):
    path = tmp_path / "chats.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Chat de WhatsApp con Bob.txt", HERS)
        archive.writestr("WhatsApp-Chat mit Cleo.txt", OTHER)
        archive.writestr("__MACOSX/._Chat de WhatsApp con Bob.txt", b"\x00\x05\x16\x07")
    _, export = read_chat_export(path)
    assert (len(export.messages), threads(export)) == (4, 2)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_the_first_rows_of_two_files_are_two_talks(tmp_path, name):
    row = "question,answer\nHow so?,So.\n" if name == "a.csv" else '{"question": "How so?", "answer": "So."}\n'
    found = set()
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(row)
        found |= {message.thread for message in read_chat_export(tmp_path / folder / name)[1].messages}
    assert len(found) == 2


def test_the_mailboxes_of_a_takeout_are_read(tmp_path):
    exports.mbox(talk(1, 20), tmp_path / "box")
    path = tmp_path / "takeout.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(tmp_path / "box", "Takeout/Mail/All mail Including Spam and Trash.mbox")
    name, export = read_chat_export(path)
    assert (name, len(export.messages)) == ("mbox", 20)


UNKNOWN = {
    "line": "2023/12/31(Sun)\n21:41\tBob\twho feeds the goose?\n21:42\tAda\tme, as always\n",
    "signal": "Bob (2023-12-31 21:41): who feeds the goose?\nAda (2023-12-31 21:42): me, as always\n",
    "arabic": "٣١/١٢/٢٠٢٣، ٩:٤١ م - Bob: who feeds the goose?\n٣١/١٢/٢٠٢٣، ٩:٤٢ م - Ada: me, as always\n",
    "slack": "Bob Marlow  9:41 PM\nwho feeds the goose?\nAda  9:42 PM\nme, as always\n",
    "a log": "[21:41:05] <bob> who feeds the goose?\n[21:42:05] <ada> me, as always\n",
}


@pytest.mark.parametrize("program", UNKNOWN)
def test_a_chat_of_an_unknown_program_is_not_ones_own_prose(tmp_path, program):
    path = tmp_path / "chat.txt"
    path.write_text(UNKNOWN[program], encoding="utf-8")
    with pytest.raises(UserError, match="a chat of a program that is not known here"):
        read_chat_export(path)


def test_a_diary_with_dates_and_times_is_prose(tmp_path):
    path = tmp_path / "diary.txt"
    days = [
        "Monday, 12.03.2023",
        "12.03.2023: rain",
        "We left at 9:30 and came home.",
        "At 10:30 I wrote this: no more.",
    ]
    path.write_text("\n\n".join(days * 3))
    assert read_chat_export(path)[0] == "text"


@pytest.mark.parametrize("line", ["31/12/2023 à 21:41 - Bob: salut", "31. 12. 2023 21:41 - Bob: ahoj"])
def test_whatsapp_in_french_and_czech(tmp_path, line):
    path = tmp_path / "chat.txt"
    path.write_text(line)
    name, export = read_chat_export(path)
    assert (name, export.messages[0].author, export.messages[0].time.day) == ("whatsapp", "Bob", 31)


def test_text_is_refused_where_a_name_is_to_be_found_in_it(space, refused):
    (space.root / "letter.txt").write_text("Dear Bob,\n\nthe goose is well, and sends its regards.\n")
    assert "no chat that is known here; give --from text" in refused("letter.txt", "--me", "Ada Quill")


@pytest.fixture
def two_names(space):
    """Ada under her full name in one chat and her first in another, and her answers in rows."""
    (space.root / "one.txt").write_text(WHATSAPP["android, day first, 24 h"](talk(1, 100)))
    (space.root / "two.txt").write_text(WHATSAPP["android, day first, 24 h"](talk(2, 100)).replace(ADA, "Ada"))
    (space.root / "rows.jsonl").write_text(exports.chat_rows(talk(3, 100), "messages"))
    return space


def imported(capsys, *options: str) -> tuple[int, str]:
    """How many own turns an import finds, and what it says."""
    with pytest.raises(UserError, match="nothing written yet"):
        main(["import", *options, "--persona", "ada"])
    printed = capsys.readouterr().out
    return int(printed.partition(" examples from ")[2].split()[0]), printed


def test_me_may_have_several_names_and_a_file_without_an_own_turn_is_told(two_names, capsys):
    first, printed = imported(capsys, "one.txt", "two.txt", "rows.jsonl", "--me", ADA)
    assert "none of them by Ada Quill, but by " in printed
    both, printed = imported(capsys, "one.txt", "two.txt", "rows.jsonl", "--me", ADA, "--me", "Ada")
    assert "none of them" not in printed
    assert both > first + 20


def test_answers_beside_a_chat_are_own_unless_one_asks(two_names, capsys):
    chat, _ = imported(capsys, "one.txt", "two.txt", "--me", ADA, "--me", "Ada")
    rows = len((two_names.root / "rows.jsonl").read_text().splitlines())
    both = ["one.txt", "two.txt", "rows.jsonl", "--me", ADA, "--me", "Ada"]
    assert imported(capsys, *both)[0] == chat + rows


def test_names_in_the_headers_go_too(space, capsys):
    text = exports.discord(talk(1)).replace('"nickname": "Bob Marlow"', '"nickname": "Zebulon Quirk"')
    (space.root / "general.json").write_text(text.replace("brb", "brb, zebulon"))
    exports.mbox([one for one in talk(2) if one.author == ADA], space.root / "Sent.mbox")
    mails = (
        (space.root / "Sent.mbox")
        .read_text()
        .replace("To: bob.marlow@example.com", "To: Wilhelmina Ortega <w@example.org>")
    )
    mails = mails.replace("haha", "haha wilhelmina")
    (space.root / "Sent.mbox").write_text(mails)
    _, printed = imported(capsys, "general.json", "Sent.mbox", "--me", ADA)
    (line,) = [line for line in printed.splitlines() if line.startswith("  [name]")]
    assert "zebulon" in line
    assert "wilhelmina" in line


@pytest.mark.parametrize("form", ["telegram", "discord", "x", "text", "whatsapp", "messages", "table", "mbox"])
def test_the_invented_export_of_each_format_is_enough_to_import(space, capsys, monkeypatch, form):
    monkeypatch.setattr(sys, "argv", ["exports", form, "export.csv" if form == "table" else "export.txt"])
    runpy.run_module("tests.support.exports", run_name="__main__")
    me = [] if form in ("text", "x", "messages", "table") else ["--me", ADA]
    imported(capsys, sys.argv[2], "--from", form, *me)  # fewer than it takes would be refused with another line


def test_half_a_character_is_no_reason_to_fail(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"question": "How so \ud83d", "answer": "So \ud83d\ude00."}) + "\n")
    _, export = read_chat_export(path)
    assert [message.text for message in export.messages] == ["How so \ufffd", "So \U0001f600."]
