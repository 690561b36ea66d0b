"""WhatsApp's text export: of Android and of iOS, in any order of the date, with a clock of 12 or 24 hours."""

import re
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from tonetune.imports.messages import ChatExport, ChatMessage, Source

# The parser of the library whatstk is not used: it is under the GPL, which this project's licence cannot take in, brings
# pandas and plotly along, and leaves media, edits and deleted messages in the texts.
NAME = "whatsapp"
TITLE = "WhatsApp, text export (.txt or .zip)"

# iOS: [31.12.23, 21:41:05] Ada: text        Android: 12/31/23, 9:41 PM - Ada: text
HEADER = re.compile(
    r"^[\u200e\u200f\u202a-\u202e]*\[?(\d{1,4})[./-]\s?(\d{1,2})[./-]\s?(\d{1,4}),?\s(?:\w{1,3}\s)?(\d{1,2})[:.](\d{2})(?:[:.](\d{2}))?"
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
    r"^(?:[<\u2039][^<>\u2039\u203a\n]*[>\u203a]|\u200e[^\n]*|null"
    r"|(?:image|video|audio|sticker|GIF|document|Contact card)(?: message)? omitted"
    r"|(?:Bild|Video|Audio|Sticker|GIF|Dokument) weggelassen"
    r"|(?:This message was deleted|You deleted this message|Diese Nachricht wurde gel\u00f6scht|Du hast diese Nachricht gel\u00f6scht"
    r"|Se elimin\u00f3 este mensaje|Eliminaste este mensaje|Este mensaje fue eliminado"
    r"|Ce message a \u00e9t\u00e9 supprim\u00e9|Vous avez supprim\u00e9 ce message|Tu as supprim\u00e9 ce message"
    r"|Questo messaggio \u00e8 stato eliminato|Hai eliminato questo messaggio"
    r"|(?:Esta )?mensagem (?:foi )?apagada|(?:Voc\u00ea )?apagou esta mensagem|Eliminou esta mensagem"
    r"|Dit bericht (?:is|werd) verwijderd|(?:Je|U) hebt dit bericht verwijderd)\.?"
    r"|(?:Missed (?:voice|video) call|Verpasster (?:Sprach|Video)anruf).*|Waiting for this message.*"
    r"|(?:live )?location(?: shared)?: https?://\S+|(?:Live )?location shared|POLL:.*|\u200e[A-Z]{4,}:.*)$",
    re.IGNORECASE | re.DOTALL,
)
# What stands in a message for a file: Android names it on the first line, iOS behind a mark of direction; a caption stays.
FILE = re.compile(
    r"\A[^\n]*\((?:file attached|Datei angeh\u00e4ngt|archivo adjunto|fichier joint|file allegato"
    r"|(?:arquivo|ficheiro) anexado|bestand bijgevoegd)\)$\n?"
    r"|^[^\n]*\u2022 ?\u200e[^\n]*$|\s*\u200e<[^<>\n]*>",
    re.IGNORECASE | re.MULTILINE,
)
EDITED = re.compile(
    r"\s*<[^<>\n]*\b(?:edited|bearbeitet|edit\u00f3|editad[ao]|modifi\u00e9|modificato|bewerkt)\b[^<>\n]*>\s*\Z",
    re.IGNORECASE,
)
DIRECTION = re.compile(r"[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
ORDERS = {"day first": (2, 1, 0), "month first": (2, 0, 1), "year first": (0, 1, 2)}


def looks_like(source: Source) -> bool:
    """Whether one of the first lines begins as a message does."""
    return any(HEADER.match(line) for line in source.head().splitlines()[:20])


def read(source: Source) -> ChatExport:
    """The messages; a line that begins none goes on with the one before it."""
    entries: list[tuple[int, re.Match[str], list[str]]] = []
    for number, line in enumerate(source.text().split("\n"), 1):
        header = HEADER.match(line)
        # A header in the form of the other system is one that somebody pasted into a message.
        if header and (not entries or _bracketed(header) == _bracketed(entries[0][1])):
            entries.append((number, header, [header[8]]))
        elif entries:
            entries[-1][2].append(line)
        elif line.strip():
            raise source.error(f"{line[:40]!r} is no message of a WhatsApp export (date, time, name)", number)
    if not entries:
        raise source.error("no message of a WhatsApp export in it (date, time, name: text)")
    export = ChatExport()
    order = _order(source, [(number, header) for number, header, _ in entries], export)
    for number, header, lines in entries:
        text = "\n".join(lines).strip()
        said = AUTHOR.match(text)
        if said is None or EVENT.search(said[1]):
            export.leave_out("lines of the program")
            continue
        text = said[2].strip()
        body = DIRECTION.sub("", EDITED.sub("", FILE.sub("", text))).strip()
        if not body or MEDIA.match(text) or MEDIA.match(body) or "end-to-end encrypted" in body:
            export.leave_out("media, calls and deleted messages")
            continue
        author = said[1].strip("\u200e\u200f\u202a\u202c~ \u202f")
        export.messages.append(ChatMessage(author, body, time=_time(source, number, header, order)))
    return export


def _bracketed(header: re.Match[str]) -> bool:
    return "[" in header.group()[:3]


def _order(source: Source, numbered: Sequence[tuple[int, re.Match[str]]], export: ChatExport) -> str:
    """Which number of the dates is the day, as all of them together tell; what stays open is guessed and said."""
    headers = [header for _, header in numbered]
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
        times = [_time(source, number, header, order) for number, header in numbered]
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
