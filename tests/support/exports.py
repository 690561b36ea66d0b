"""Invented exports: one talk of two people, written as the programs write it that people export from."""

import csv
import io
import json
import mailbox
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path

ADA, BOB = "Ada Quill", "Bob Marlow"
MAIL = {ADA: "ada@quill.example.org", BOB: "bob.marlow@example.com"}

THINGS = [
    "ladder",
    "kettle",
    "goose",
    "piano",
    "bicycle",
    "tent",
    "oven",
    "lamp",
    "garden",
    "boat",
    "sofa",
    "fridge",
    "violin",
    "camera",
    "drill",
    "map",
    "kite",
    "mirror",
]
PLACES = [
    "market",
    "station",
    "library",
    "harbour",
    "museum",
    "bakery",
    "forest",
    "office",
    "cinema",
    "lake",
    "castle",
    "stadium",
]
ASKS = (
    "did you manage to fix the {thing} before the {place} closed on {day}?",
    "should we take the {thing} along to the {place} on {day}, or rather not?",
    "why is there a {thing} in front of the {place} since {day}?",
    "What do you think of the new {thing} I saw at the {place} {day}?",
    "Can you believe somebody left a {thing} at the {place} on {day}?",
    "how much would you pay for the {thing} they sell near the {place}? asking for {day}",
    "Is the {place} open on {day}? I need to return the {thing}.",
    "who wants to carry the {thing} all the way to the {place} on {day}?",
)
SAYS = (
    "haha nope, the {thing} stays where it is \U0001f605",
    "omg yes!! {place} first, {thing} later",
    "honestly idk, {day} is so far away...",
    "lol the {thing} again? you and your {thing}s",
    "ok ok, but only if we get cake at the {place} after",
    "ugh, {day}. can't we just pretend the {thing} never happened",
    "yesss finally someone asks \U0001f389 i'd carry that {thing} anywhere",
    "nah, the {place} smells like wet {thing} tbh",
    "sure thing, {day} works for me",
)
MORE = (
    "also bring snacks pls",
    "brb",
    "and tell me how the {place} was",
    "no wait, i take that back \U0001f602",
    "anyway, miss you loads",
)
DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


@dataclass(frozen=True)
class Said:
    author: str
    time: datetime
    text: str


def talk(seed: int, count: int = 400) -> list[Said]:
    """`count` messages of Bob, who asks, and Ada, who answers, some of hers in two parts, over some weeks."""
    draw = random.Random(seed)
    time = datetime(2023, 11, 3, 9, 0, 0)
    said: list[Said] = []

    def say(author: str, forms: Sequence[str]) -> None:
        fields = {"thing": draw.choice(THINGS), "place": draw.choice(PLACES), "day": draw.choice(DAYS)}
        said.append(Said(author, time, draw.choice(forms).format(**fields)))

    while len(said) < count:
        time += timedelta(minutes=draw.randint(20, 900))
        say(BOB, ASKS)
        time += timedelta(minutes=draw.randint(1, 15))
        say(ADA, SAYS)
        if draw.random() < 0.3:
            time += timedelta(seconds=draw.randint(5, 60))
            say(ADA, MORE)
    return said[:count]


def whatsapp(said: Sequence[Said], line: str, clock: str, media: str) -> str:
    """A text export: `line` has the places {when}, {name} and {text}; `clock` is what strftime writes the time by."""

    def written(one: Said, text: str) -> str:
        when = (
            one.time.strftime(clock).replace("/0", "/").removeprefix("0") if "%I" in clock else one.time.strftime(clock)
        )
        return line.format(when=when, name=one.author, text=text)

    lines = []
    for number, one in enumerate(said):
        lines.append(written(one, one.text if number % 50 else f"{one.text}\nand a second line"))
        if number % 40 == 7:
            lines.append(written(one, media))
    return "\n".join(lines) + "\n"


SYSTEM = "Messages and calls are end-to-end encrypted. No one outside of this chat, not even WhatsApp, can read them."
WHATSAPP: dict[str, Callable[[Sequence[Said]], str]] = {
    "android, month first, 12 h": lambda said: (
        f"11/3/23, 8:59\u202fAM - {SYSTEM}\n"
        + whatsapp(said, "{when} - {name}: {text}", "%m/%d/%y, %I:%M\u202f%p", "<Media omitted>")
    ),
    "android, day first, 24 h": lambda said: (
        f"03/11/2023, 08:59 - {SYSTEM}\n"
        + whatsapp(said, "{when} - {name}: {text}", "%d/%m/%Y, %H:%M", "IMG-20231103-WA0001.jpg (file attached)")
    ),
    "android, german": lambda said: whatsapp(
        said, "{when} - {name}: {text}", "%d.%m.%y, %H:%M", "<Medien ausgeschlossen>"
    ),
    "ios, day first, 24 h": lambda said: (
        f"[03.11.23, 08:59:10] {BOB}: \u200e{SYSTEM}\n"
        + whatsapp(said, "[{when}] {name}: {text}", "%d.%m.%y, %H:%M:%S", "\u200eimage omitted")
    ),
    "ios, month first, 12 h": lambda said: whatsapp(
        said, "[{when}] {name}: {text}", "%m/%d/%y, %I:%M:%S\u202f%p", "\u200eaudio omitted"
    ),
    "ios, year first": lambda said: whatsapp(
        said, "[{when}] {name}: {text}", "%Y-%m-%d, %H:%M:%S", "\u200evideo omitted"
    ),
}


def telegram(said: Sequence[Said]) -> str:
    """result.json of one chat: a service line first, every tenth text in parts, replies named, a forwarded message."""
    ids = {name: f"user{number}" for number, name in enumerate((ADA, BOB), 1001)}
    messages: list[dict[str, object]] = [
        {
            "id": 1,
            "type": "service",
            "date": "2023-11-03T08:59:00",
            "date_unixtime": "1698994740",
            "actor": BOB,
            "action": "phone_call",
            "text": "",
            "text_entities": [],
        }
    ]
    for number, one in enumerate(said, 2):
        text: object = one.text
        if number % 10 == 0:
            first, _, rest = one.text.partition(" ")
            text = [{"type": "bold", "text": first}, f" {rest}"]
        messages.append(
            {
                "id": number,
                "type": "message",
                "date": one.time.isoformat(),
                "date_unixtime": str(int(one.time.replace(tzinfo=UTC).timestamp())),
                "from": one.author,
                "from_id": ids[one.author],
                "text": text,
                "text_entities": [],
            }
        )
    shared = {
        "id": 9001,
        "type": "message",
        "date": "2024-12-01T10:00:00",
        "from": ADA,
        "from_id": ids[ADA],
        "text_entities": [],
    }
    messages.append(shared | {"forwarded_from": "Some Paper", "text": "A headline that Ada passed on without a word."})
    messages.append(shared | {"id": 9002, "photo": "photos/photo_1.jpg", "text": ""})
    return json.dumps(
        {"name": BOB, "type": "personal_chat", "id": 77, "messages": messages}, ensure_ascii=False, indent=1
    )


def discord(said: Sequence[Said]) -> str:
    """A channel as DiscordChatExporter writes it, with a bot and somebody who joins."""
    people = {
        ADA: {"id": "1", "name": "adaq", "nickname": ADA, "isBot": False},
        BOB: {"id": "2", "name": "bobm", "nickname": BOB, "isBot": False},
    }
    messages = [
        {
            "id": str(1000 + number),
            "type": "Default",
            "timestamp": one.time.replace(tzinfo=UTC).isoformat(),
            "timestampEdited": None,
            "isPinned": False,
            "content": one.text,
            "author": people[one.author],
            "attachments": [],
            "embeds": [],
            "stickers": [],
            "reactions": [],
            "mentions": [],
        }
        for number, one in enumerate(said)
    ]
    bot = {"id": "3", "name": "MEE6", "nickname": "MEE6", "isBot": True}
    messages.append(messages[0] | {"id": "1", "author": bot, "content": "Ada has reached level 5!"})
    messages.append(messages[0] | {"id": "2", "type": "GuildMemberJoin", "content": "Joined the server."})
    guild = {"id": "5", "name": "Friends", "iconUrl": ""}
    channel = {"id": "6", "type": "GuildTextChat", "name": "general"}
    return json.dumps(
        {"guild": guild, "channel": channel, "messages": messages, "messageCount": len(messages)},
        ensure_ascii=False,
        indent=2,
    )


def x_archive(said: Sequence[Said]) -> str:
    """data/tweets.js: Ada's lines as posts, some of them answers, and a repost."""
    posts = []
    for number, one in enumerate(one for one in said if one.author == ADA):
        text = one.text.replace("&", "&amp;") + (" &lt;3 https://t.co/abcDEF123" if number % 9 == 0 else "")
        post = {
            "id_str": str(7000 + number),
            "created_at": one.time.strftime("%a %b %d %H:%M:%S +0000 %Y"),
            "full_text": f"@somebody {text}" if number % 7 == 0 else text,
            "entities": {"media": [{"url": "https://t.co/abcDEF123"}]} if number % 9 == 0 else {},
            "lang": "en",
        }
        posts.append({"tweet": post})
    posts.append(
        {"tweet": posts[0]["tweet"] | {"id_str": "1", "full_text": "RT @paper: Not her words at all, only passed on."}}
    )
    return "window.YTD.tweets.part0 = " + json.dumps(posts, ensure_ascii=False, indent=2)


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
