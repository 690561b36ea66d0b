"""Mailboxes, rows of training data, tables and texts, as people have them."""

import csv
import io
import json
import mailbox
from collections.abc import Sequence
from datetime import UTC
from email.message import EmailMessage
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path

from tests.support.exports.talk import ADA, BOB, MAIL, PLACES, Said


def mbox(said: Sequence[Said], path: Path) -> None:
    """Mails: Ada's answer Bob's with his text quoted below hers, her signature, some as HTML; a newsletter."""
    path.unlink(missing_ok=True)
    box = mailbox.mbox(path)
    last: tuple[str, Said] | None = None
    for number, one in enumerate(said):
        mail = EmailMessage()
        mail["From"], mail["To"] = f"{one.author} <{MAIL[one.author]}>", MAIL[BOB if one.author == ADA else ADA]
        mail["Date"] = format_datetime(one.time.replace(tzinfo=UTC))
        mail["Message-ID"] = f"<m{number}@example.org>"
        text = one.text
        if one.author == ADA and last is not None:
            mail["In-Reply-To"] = mail["References"] = last[0]
            mail["Subject"] = "Re: a question"
            quoted = f"On Fri, Nov 3, 2023 at 9:00 AM {BOB} <{MAIL[BOB]}> wrote:\n> {last[1].text}\n"
            text = f"{one.text}\n\n-- \nAda Quill\nQuill & Daughters\n\n{quoted}"
        else:
            mail["Subject"] = "a question"
        if number % 11 == 3:
            mail.set_content(
                f"<html><head><style>p {{}}</style></head><body><p>{one.text}</p></body></html>", subtype="html"
            )
        else:
            mail.set_content(text)
        box.add(mail)
        last = (str(mail["Message-ID"]), one) if one.author == BOB else last
    letter = EmailMessage()
    letter["From"], letter["Subject"], letter["List-Unsubscribe"] = (
        "news@example.net",
        "Sale",
        "<https://example.net/u>",
    )
    letter.set_content("Everything must go.")
    box.add(letter)
    box.close()


def pairs(said: Sequence[Said]) -> list[tuple[str, str]]:
    """Each of Bob's lines with Ada's next one."""
    return [(one.text, other.text) for one, other in pairwise(said) if (one.author, other.author) == (BOB, ADA)]


def chat_rows(said: Sequence[Said], form: str) -> str:
    """Rows of training data: `messages`, `sharegpt`, `alpaca`, or `array` (question and answer as one JSON array)."""
    rows: list[dict[str, object]] = []
    for asked, answered in pairs(said):
        rows.append(
            {
                "messages": {
                    "messages": [
                        {"role": "system", "content": "Be Ada."},
                        {"role": "user", "content": asked},
                        {"role": "assistant", "content": answered},
                    ]
                },
                "sharegpt": {"conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": answered}]},
                "alpaca": {"instruction": asked, "input": "", "output": answered},
                "array": {"id": len(rows), "question": asked, "answer": answered},
            }[form]
        )
    if form == "array":
        return json.dumps(rows, ensure_ascii=False, indent=2)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def table(said: Sequence[Said], delimiter: str, names: tuple[str, str]) -> str:
    """Questions and answers with an id, an empty last column and rows of nothing."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(["id", *names, ""])
    for number, pair in enumerate(pairs(said)):
        writer.writerow([number, *pair, ""])
        if number % 30 == 2:
            writer.writerow(["", "", "", ""])
    return text.getvalue()


def markdown(said: Sequence[Said]) -> str:
    """Ada's lines as the paragraphs of a diary, with headings, a quotation and some code."""
    blocks = ["---\ntitle: diary\n---", "# A diary"]
    for number, one in enumerate(one for one in said if one.author == ADA):
        if number % 6 == 0:
            blocks.append(f"## Day {number} at the *{PLACES[number % len(PLACES)]}*")
        blocks.append(one.text)
        if number % 25 == 3:
            blocks += ["> Somebody else's words.", "```\ncode = 1\n```"]
    return "\n\n".join(blocks) + "\n"
