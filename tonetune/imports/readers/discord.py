"""Discord channels as DiscordChatExporter writes them in JSON."""

import re
from typing import Any

from tonetune.imports.messages import ChatExport, ChatMessage, Source
from tonetune.imports.readers.json_files import load, mapping, time_of

NAME = "discord"
TITLE = "Discord, JSON of DiscordChatExporter"

WRITTEN = ("Default", "Reply", "0", "19")
EMOJI = re.compile(r"<a?(:\w+:)\d+>")
MENTION = re.compile(r"<[@#]&?!?\d+>\s?")


def looks_like(source: Source) -> bool:
    """Whether it has the keys of an export, which stand at its beginning."""
    head = source.head()
    return head.lstrip().startswith("{") and '"guild"' in head and '"channel"' in head


def read(source: Source) -> ChatExport:
    """The channel's messages; bots, joins, pins and what is a picture alone are left out."""
    value = load(source)
    if not isinstance(value, dict) or not isinstance(value.get("messages"), list):
        raise source.error("no `messages` in it; export the channel with DiscordChatExporter, format JSON")
    export = ChatExport()
    channel = mapping(value.get("channel"))
    thread = f"{channel.get('name') or ''} {channel.get('id') or ''}".strip()
    for item in value["messages"]:
        _message(source, export, thread, item)
    return export


def _message(source: Source, export: ChatExport, thread: str, item: Any) -> None:
    author = item.get("author") if isinstance(item, dict) else None
    if not isinstance(author, dict) or not author.get("name"):
        raise source.error(f"{str(item)[:40]!r} is no message of DiscordChatExporter: it has no author")
    if str(item.get("type", "Default")) not in WRITTEN:
        return export.leave_out("lines of the program")
    if author.get("isBot"):
        return export.leave_out("forwarded messages and bots")
    text = MENTION.sub("", EMOJI.sub(r"\1", str(item.get("content") or ""))).strip()
    if not text:
        return export.leave_out("media, calls and deleted messages")
    export.messages.append(
        ChatMessage(
            author=str(author["name"]),
            text=text,
            time=time_of(source, item.get("timestamp")),
            thread=thread,
            id=str(item.get("id", "")),
            reply_to=str(mapping(item.get("reference")).get("messageId") or ""),
            other_names=str(author.get("nickname") or ""),
        )
    )
    return None
