"""WhatsApp's text export: of Android and of iOS, in any order of the date, with a clock of 12 or 24 hours."""

import re
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from tonetune.imports.messages import ChatExport, ChatMessage, Source

NAME = "whatsapp"
TITLE = "WhatsApp, text export (.txt or .zip)"

# iOS: [31.12.23, 21:41:05] Ada: text        Android: 12/31/23, 9:41 PM - Ada: text
HEADER = re.compile(
    r"^[\u200e\u200f\u202a-\u202e]*\[?(\d{1,4})[./-](\d{1,2})[./-](\d{1,4}),?\s(?:\w{2,3}\s)?(\d{1,2})[:.](\d{2})(?:[:.](\d{2}))?"
    r"(?:\s?([AaPp])\.?\s?[Mm]\.?)?(?:\]\s?|\s[-\u2013]\s)(.*)$"
)
AUTHOR = re.compile(r"^([^:\n]{1,60}?):\s(.*)$", re.DOTALL)
# What people do, as told by the program in the place of a message.
EVENT = re.compile(
    r"end-to-end|\b(?:created|changed|added|removed|left|joined|deleted|pinned|turned (?:on|off)|security code|"
    r"hat|wurde|haben?|erstellt|ge\u00e4ndert|cre\u00f3|a cr\u00e9\u00e9)\b",
    re.IGNORECASE,
)
MEDIA = re.compile(
    r"^(?:<[^<>]*(?:omitted|ausgeschlossen|weggelassen|omis|omitido|attached|angeh\u00e4ngt|adjunto)[^<>]*>"
    r"|\u200e.*|null|.*\((?:file attached|Datei angeh\u00e4ngt|archivo adjunto|fichier joint)\)"
    r"|(?:image|video|audio|sticker|GIF|document|Contact card)(?: message)? omitted"
    r"|(?:Bild|Video|Audio|Sticker|GIF|Dokument) weggelassen"
    r"|(?:This message was deleted|You deleted this message|Diese Nachricht wurde gel\u00f6scht|Du hast diese Nachricht gel\u00f6scht)\.?"
    r"|(?:Missed (?:voice|video) call|Verpasster (?:Sprach|Video)anruf).*|Waiting for this message.*"
    r"|(?:live )?location(?: shared)?: https?://\S+|(?:Live )?location shared|POLL:.*)$",
    re.IGNORECASE | re.DOTALL,
)
EDITED = re.compile(r"\s*\u200e?<(?:This message was edited|Diese Nachricht wurde bearbeitet)\.?>\s*$", re.IGNORECASE)
ORDERS = {"day first": (2, 1, 0), "month first": (2, 0, 1), "year first": (0, 1, 2)}


def looks_like(source: Source) -> bool:
    """Whether one of the first lines begins as a message does."""
    return any(HEADER.match(line) for line in source.head().splitlines()[:20])


def read(source: Source) -> ChatExport:
    """The messages; a line that begins none goes on with the one before it."""
    entries: list[tuple[int, re.Match[str], list[str]]] = []
    for number, line in enumerate(source.text().split("\n"), 1):
        if header := HEADER.match(line):
            entries.append((number, header, [header[8]]))
        elif entries:
            entries[-1][2].append(line)
        elif line.strip():
            raise source.error(f"{line[:40]!r} is no message of a WhatsApp export (date, time, name)", number)
    if not entries:
        raise source.error("no message of a WhatsApp export in it (date, time, name: text)")
    export = ChatExport()
    order = _order(source, [header for _, header, _ in entries], export)
    for number, header, lines in entries:
        text = "\n".join(lines).strip()
        said = AUTHOR.match(text)
        if said is None or EVENT.search(said[1]):
            export.leave_out("lines of the program")
            continue
        body = EDITED.sub("", said[2])
        if not body.strip() or MEDIA.match(body.strip()) or "end-to-end encrypted" in body:
            export.leave_out("media, calls and deleted messages")
            continue
        author = said[1].strip("\u200e\u200f\u202a\u202c~ \u202f")
        export.messages.append(ChatMessage(author, body.strip("\u200e "), time=_time(source, number, header, order)))
    return export


def _order(source: Source, headers: Sequence[re.Match[str]], export: ChatExport) -> str:
    """Which number of the dates is the day, as all of them together tell; what stays open is guessed and said."""
    firsts, seconds = {int(h[1]) for h in headers}, {int(h[2]) for h in headers}
    if max(firsts) > 31:
        return "year first"
    if max(firsts) > 12 and max(seconds) > 12:
        raise source.error("dates in two orders (day first, month first); export the chat again from one device")
    if max(firsts) > 12:
        return "day first"
    if max(seconds) > 12:
        return "month first"
    # Messages are exported in the order of time: read in the wrong order, dates are earlier than the one before them.
    earlier_dates = {}
    for order in ("day first", "month first"):
        times = [_time(source, 0, header, order) for header in headers]
        earlier_dates[order] = sum(later < earlier for earlier, later in pairwise(times))
    if earlier_dates["day first"] != earlier_dates["month first"]:
        return min(earlier_dates, key=earlier_dates.__getitem__)
    american = any(header[7] for header in headers) and "/" in headers[0].group()[:12]
    order = "month first" if american else "day first"
    export.notes.append(f"dates such as {headers[0][1]}/{headers[0][2]} are read with the {order}")
    return order


def _time(source: Source, number: int, header: re.Match[str], order: str) -> datetime:
    year, month, day = (int(header[ORDERS[order][part] + 1]) for part in range(3))
    hour = int(header[4])
    if header[7]:
        hour = hour % 12 + (12 if header[7].lower() == "p" else 0)
    try:
        return datetime(year if year > 99 else 2000 + year, month, day, hour, int(header[5]), int(header[6] or 0))
    except ValueError:
        raise source.error(f"{header.group()[:30]!r} is no date and time", number) from None
