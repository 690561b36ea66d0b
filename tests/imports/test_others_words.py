"""What somebody only passed on, and what is no prose, is not learnt as their words."""

import json

import pytest

from tonetune.imports.formats import read_chat_export
from tonetune.imports.readers.mbox import own_part


@pytest.mark.parametrize(
    "behind",
    [
        "---------- Forwarded message ---------\nFrom: Bob Marlow\nSubject: cake\n\nHis words.",
        "Begin forwarded message:\n\nFrom: Bob Marlow\n\nHis words.",
        "-----Ursprüngliche Nachricht-----\nVon: Bob Marlow\n\nSeine Worte.",
        "-----BEGIN PGP SIGNATURE-----\n\niQEzBAEBCAAdFiEE\n-----END PGP SIGNATURE-----",
    ],
)
def test_a_mail_ends_before_what_it_passes_on(behind):
    assert own_part(f"Look at this, will you?\n\n{behind}\n") == "Look at this, will you?"


def test_a_signed_mail_is_its_text():
    signed = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nThe goose is well.\n-----BEGIN PGP SIGNATURE-----\n\niQEz\n"
    assert own_part(signed) == "The goose is well."


def test_a_mail_of_odd_bytes_and_no_boundary_is_read(tmp_path):
    path = tmp_path / "Sent"
    head = b"From ada@example.org Sat Jan  6 10:00:00 2024\nFrom: Ada Quill <ada@example.org>\nMessage-ID: <1@example.org>\n"
    plain = head.replace(b"<1@", b"<2@") + b"\nThe goose is well.\n"
    path.write_bytes(head + b"Content-Type: multipart/mixed\n\nsch\xf6n, the goose\n\n" + plain)
    name, export = read_chat_export(path)
    assert name == "mbox"
    assert "The goose is well." in [message.text for message in export.messages]


def telegram(tmp_path, kind: str, **more: object) -> int:
    said = {"type": "message", "date": "2024-01-06T10:00:00", "from": "Ada Quill", "from_id": "user1", "text": "hello"}
    messages = [said | {"id": 1}, said | {"id": 2} | more]
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"name": "Bob", "type": "personal_chat", "id": 1, "messages": [said | {"id": 9}]}))
    chats = [json.loads(path.read_text()), {"name": "Bob", "type": kind, "id": 2, "messages": messages}]
    path.write_text(json.dumps({"personal_information": {}, "chats": {"list": chats}}))
    return len(read_chat_export(path)[1].messages) - 1


def test_forwarded_from_an_account_that_is_gone_and_said_to_a_bot(tmp_path):
    assert telegram(tmp_path, "personal_chat") == 2
    assert telegram(tmp_path, "personal_chat", forwarded_from=None) == 1
    assert telegram(tmp_path, "bot_chat") == 0


PAGE = """Geese
=====

They are *well*, and [eat](https://example.org) `corn`. ![a goose](goose.jpg)

~~~python
code = 1

~~~

    indented = 2

| who | eats |
| --- | --- |
| goose | corn |

<div class="note">
not her words
</div>

- first one
- second one
  goes on

> Somebody else's words.

Lamps
-----

The last paragraph.
"""


def test_marks_code_tables_and_html_go_and_lists_keep_their_lines(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    _, export = read_chat_export(path)
    assert [message.text for message in export.messages] == [
        "Write about this: Geese",
        "They are well, and eat corn.\n\nfirst one\nsecond one goes on",
        "Write about this: Lamps",
        "The last paragraph.",
    ]
    assert export.left_out == {"code": 2, "tables": 1, "HTML": 1, "quotations": 1}


def test_an_indented_paragraph_of_plain_text_is_no_code(tmp_path):
    path = tmp_path / "letter.txt"
    path.write_text("Dear Bob,\n\n    the goose is well.\n\n<3\n\nAda\n---\n")
    _, export = read_chat_export(path)
    assert [message.text for message in export.messages] == ["Dear Bob,\n\nthe goose is well.\n\n<3\n\nAda"]
