"""What WhatsApp puts into messages goes, in the languages that it is used in, and what people wrote stays."""

import pytest

from tonetune.core.errors import UserError
from tonetune.imports.formats import read_chat_export
from tonetune.imports.messages import ChatExport

ANDROID, IOS = "31/12/2023, 21:41 - Bob: ", "[31.12.23, 21:41:05] Bob: "


def read(tmp_path, text: str) -> ChatExport:
    path = tmp_path / "chat.txt"
    path.write_text(text, encoding="utf-8")
    return read_chat_export(path)[1]


@pytest.mark.parametrize(
    "line",
    [
        ANDROID + "IMG-20231231-WA0001.jpg (file attached)\nso, look",
        ANDROID + "IMG-20231231-WA0001.jpg (Datei angehängt)\nso, look",
        ANDROID + "\u200eIMG-20231231-WA0001.jpg (file attached)\nso, look",
        IOS + "so, look \u200e<attached: 00000012-PHOTO-2023-12-31.jpg>",
        IOS + "so, look \u200e<This message was edited>",
        ANDROID + "so, look <This message was edited>",
        ANDROID + "so, look <Questo messaggio è stato modificato>",
        ANDROID + "so, look <Mensagem editada>",
        ANDROID + "so, look <Se editó este mensaje.>",
        ANDROID + "so, \u200elook\u2069",
    ],
)
def test_of_a_caption_and_an_edit_the_words_stay(tmp_path, line):
    assert [message.text for message in read(tmp_path, line).messages] == ["so, look"]


@pytest.mark.parametrize(
    "body",
    [
        "<Media omessi>",
        "‹Mídia oculta›",
        "<Mídia oculta>",
        "<Media weggelaten>",
        "Questo messaggio è stato eliminato",
        "Mensagem apagada",
        "Se eliminó este mensaje.",
        "Vous avez supprimé ce message",
        "Dit bericht is verwijderd",
        "report.pdf • \u200e2 pages \u200edocument omitted",
        "\u200eimage omitted",
        "\u200ePOLL:\nCake?\n\u200eOPTION: yes (2 votes)",
        "IMG-20231231-WA0001.jpg (file allegato)",
    ],
)
def test_what_is_nobodys_words_is_left_out(tmp_path, body):
    export = read(tmp_path, f"{IOS}{body}\n{IOS}so it is <3")
    assert [message.text for message in export.messages] == ["so it is <3"]
    assert export.left_out == {"media, calls and deleted messages": 1}


def test_the_marks_around_a_mention_go(tmp_path):
    assert read(tmp_path, f"{ANDROID}ask \u2068@Cleo\u2069, she knows").messages[0].text == "ask @Cleo, she knows"


def test_a_pasted_message_of_the_other_system_is_part_of_the_message_around_it(tmp_path):
    export = read(tmp_path, f"{ANDROID}she wrote:\n[12/31/23, 9:40 PM] Cleo: no cake\n{ANDROID}what now?")
    assert [m.text for m in export.messages] == ["she wrote:\n[12/31/23, 9:40 PM] Cleo: no cake", "what now?"]


def test_a_clock_of_no_day_is_told_with_its_line(tmp_path):
    with pytest.raises(UserError, match=r"chat.txt, line 2: '03/11/2023, 25:00"):
        read(tmp_path, "03/11/2023, 09:00 - Bob: hello\n03/11/2023, 25:00 - Bob: hello")
