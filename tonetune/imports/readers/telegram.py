"""Telegram Desktop's JSON export: one chat, or all of an account."""

from typing import Any

from tonetune.imports.messages import ChatExport, ChatMessage, Source
from tonetune.imports.readers.json_files import load, mapping, time_of

NAME = "telegram"
TITLE = "Telegram Desktop, JSON export (result.json)"


def looks_like(source: Source) -> bool:
    """Whether it has the keys of an export, which stand at its beginning."""
    head = source.head(200_000)
    return head.lstrip().startswith("{") and (
        ('"messages"' in head and '"date_unixtime"' in head)
        or ('"type"' in head and '"from_id"' in head and '"text"' in head)
        or ('"chats"' in head and '"personal_information"' in head)
    )


def read(source: Source) -> ChatExport:
    """The messages of every chat in it; service lines, forwarded messages and bots are left out."""
    value = load(source)
    chats = mapping(value["chats"]).get("list") if isinstance(value, dict) and "chats" in value else [value]
    export = ChatExport()
    for chat in chats if isinstance(chats, list) else [None]:
        if not isinstance(chat, dict) or not isinstance(chat.get("messages"), list):
            raise source.error("no `messages` in it; in Telegram Desktop choose Export chat history, format JSON")
        with_bot = chat.get("type") == "bot_chat"
        thread = f"{chat.get('name') or ''} {chat.get('id') or ''}".strip()
        for item in chat["messages"]:
            if with_bot:
                export.leave_out("forwarded messages and bots")
                continue
            _message(source, export, thread, item)
    return export


def _message(source: Source, export: ChatExport, thread: str, item: Any) -> None:
    if not isinstance(item, dict) or "type" not in item:
        raise source.error(f"{str(item)[:40]!r} is no message of a Telegram export")
    if item["type"] != "message":
        return export.leave_out("lines of the program")
    # Of an account that is gone the name is null.
    if "forwarded_from" in item or item.get("via_bot"):
        return export.leave_out("forwarded messages and bots")
    text = _text(item.get("text", ""))
    if not text.strip() or not item.get("from"):
        return export.leave_out("media, calls and deleted messages")
    export.messages.append(
        ChatMessage(
            author=str(item["from"]),
            text=text.strip(),
            time=time_of(source, item.get("date")),
            thread=thread,
            id=str(item.get("id", "")),
            reply_to=str(item.get("reply_to_message_id") or ""),
            other_names=str(item.get("from_id") or ""),
        )
    )
    return None


def _text(value: Any) -> str:
    """A text is a string, or a list of strings and of objects with a `text` where it has links or is formatted."""
    if isinstance(value, list):
        return "".join(part if isinstance(part, str) else str(mapping(part).get("text", "")) for part in value)
    return str(value or "")
