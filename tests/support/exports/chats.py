"""Chats and posts, written as the programs write them that people export from."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC

from tests.support.exports.talk import ADA, BOB, Said


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
