"""Invented exports of 400 messages come back as the messages that they were made of."""

import zipfile
from collections.abc import Callable, Sequence

import pytest

from tests.support import exports
from tests.support.exports import ADA, BOB, WHATSAPP, Said, talk
from tonetune.imports.formats import read_chat_export
from tonetune.imports.messages import ANSWERED, ASKED, OWNER, ChatExport, Columns

SEEDS = [1, 2, 3]


def by_both(export: ChatExport) -> list[tuple[str, str]]:
    return [(message.author, message.text) for message in export.messages]


def by_author(said: Sequence[Said]) -> list[tuple[str, str]]:
    return [(one.author, one.text) for one in said]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("form", WHATSAPP)
def test_whatsapp_in_every_form_of_its_dates(tmp_path, form, seed):
    said = talk(seed)
    path = tmp_path / "WhatsApp Chat with Bob.txt"
    path.write_text(WHATSAPP[form](said), encoding="utf-8")
    name, export = read_chat_export(path)
    assert name == "whatsapp"
    expected = [
        (one.author, one.text if number % 50 else f"{one.text}\nand a second line") for number, one in enumerate(said)
    ]
    assert by_both(export) == expected
    minutes = [one.time.replace(second=0) for one in said]
    assert [message.time.replace(second=0) for message in export.messages if message.time] == minutes
    assert export.left_out["media, calls and deleted messages"] == len(said) // 40 + (form == "ios, day first, 24 h")


def test_the_order_of_a_date_that_could_be_either_is_found_by_the_order_of_the_messages(tmp_path):
    path = tmp_path / "chat.txt"
    lines = [f"0{month}/0{day}/23, 10:00 - Ada: on the {day} of {month}" for month in (1, 2, 3) for day in range(1, 10)]
    path.write_text("\n".join(lines))
    _, export = read_chat_export(path)
    assert [(m.time.month, m.time.day) for m in export.messages if m.time] == [
        (m, d) for m in (1, 2, 3) for d in range(1, 10)
    ]
    assert export.notes == []
    path.write_text("05/06/23, 10:00 - Ada: hello\n05/06/23, 10:01 - Bob: hi\n")
    assert read_chat_export(path)[1].notes == ["dates such as 05/06 are read with the day first"]


def test_an_archive_is_searched_for_the_chat(tmp_path):
    said = talk(4)
    path = tmp_path / "WhatsApp Chat - Bob.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("_chat.txt", WHATSAPP["ios, day first, 24 h"](said))
        archive.writestr("00000001-PHOTO.jpg", b"\xff\xd8")
    name, export = read_chat_export(path)
    assert (name, len(export.messages)) == ("whatsapp", len(said))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("name", "write"), [("telegram", exports.telegram), ("discord", exports.discord)])
def test_chats_as_json(tmp_path, seed, name, write: Callable[[Sequence[Said]], str]):
    said = talk(seed)
    path = tmp_path / "result.json"
    path.write_text(write(said), encoding="utf-8")
    found, export = read_chat_export(path)
    assert found == name
    assert [message.text for message in export.messages] == [one.text for one in said]
    assert [message.is_by(ADA) for message in export.messages] == [one.author == ADA for one in said]
    assert [message.time for message in export.messages] == [one.time for one in said]
    assert export.left_out["lines of the program"] == 1
    assert export.left_out["forwarded messages and bots"] == 1


def test_an_account_of_telegram_keeps_its_chats_apart(tmp_path):
    path = tmp_path / "result.json"
    chat = exports.telegram(talk(5, 20))
    path.write_text(f'{{"personal_information": {{}}, "chats": {{"list": [{chat}, {chat.replace("77", "78")}]}}}}')
    _, export = read_chat_export(path)
    assert len(export.messages) == 40
    assert len({message.thread for message in export.messages}) == 2


@pytest.mark.parametrize("seed", SEEDS)
def test_the_archive_of_x(tmp_path, seed):
    said = [one for one in talk(seed) if one.author == ADA]
    path = tmp_path / "tweets.js"
    path.write_text(exports.x_archive(talk(seed)), encoding="utf-8")
    name, export = read_chat_export(path)
    assert name == "x"
    assert [m.text for m in export.messages] == [o.text + (" <3" if n % 9 == 0 else "") for n, o in enumerate(said)]
    assert all(message.is_by("anybody") for message in export.messages)
    assert export.left_out == {"posts of others": 1}


@pytest.mark.parametrize("seed", SEEDS)
def test_mails_without_quotations_and_signatures(tmp_path, seed):
    said = talk(seed)
    path = tmp_path / "Sent.mbox"
    exports.mbox(said, path)
    name, export = read_chat_export(path)
    assert name == "mbox"
    assert by_both(export) == by_author(said)
    assert {message.is_by("ADA@quill.example.org") for message in export.messages if message.author == ADA} == {True}
    answers = [message for message in export.messages if message.reply_to]
    assert len(answers) == sum(one.author == ADA for one in said)
    assert export.left_out == {"automatic mails and newsletters": 1}


@pytest.mark.parametrize("form", ["messages", "sharegpt", "alpaca", "array"])
def test_rows_of_training_data(tmp_path, form):
    said = talk(6)
    path = tmp_path / "data.json"
    path.write_text(exports.chat_rows(said, form), encoding="utf-8")
    name, export = read_chat_export(path)
    assert name == "messages"
    turns = [turn for asked, answered in exports.pairs(said) for turn in ((ASKED, asked), (ANSWERED, answered))]
    assert by_both(export) == turns


@pytest.mark.parametrize("names", [("question", "answer"), ("Frage", "Meine Antwort")])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^", ":", "~"])
def test_tables_with_any_delimiter_and_column(tmp_path, delimiter, names):
    said = talk(7)
    path = tmp_path / "answers.csv"
    path.write_text(exports.table(said, delimiter, names), encoding="utf-8-sig")
    name, export = read_chat_export(path, columns=Columns(*names) if names[0] != "question" else Columns())
    assert name == "table"
    assert by_both(export)[1::2] == [(ANSWERED, answered) for _, answered in exports.pairs(said)]
    assert by_both(export)[::2] == [(ASKED, asked) for asked, _ in exports.pairs(said)]


def test_a_text_in_paragraphs(tmp_path):
    said = talk(8)
    path = tmp_path / "diary.md"
    path.write_text(exports.markdown(said), encoding="utf-8")
    name, export = read_chat_export(path)
    assert name == "text"
    own = [message.text for message in export.messages if message.author == OWNER]
    assert "\n\n".join(own).split("\n\n") == [one.text for one in said if one.author == ADA]
    # Two of its headings would be asked again and again: "Day 12 at the market", "Day 24 at the market".
    assert all(message.author == OWNER for message in export.messages)
    assert export.left_out["quotations"] > 0
    assert BOB not in path.read_text()


def test_a_heading_asks_for_what_is_below_it_unless_others_are_like_it(tmp_path):
    path = tmp_path / "notes.md"
    days = "".join(f"## Day {n} at the lake\n\nThe {n} of us swam.\n\n" for n in range(10, 15))
    path.write_text(f"# Geese\n\nThey honk.\n\n{days}# Why I left the choir\n\nToo loud.\n")
    _, export = read_chat_export(path)
    asked = [message.text for message in export.messages if message.author != OWNER]
    assert asked == ["Write about this: Geese", "Write about this: Why I left the choir"]
    assert len(export.messages) == 2 + 7
