"""Mailboxes in the mbox format, as Thunderbird, Apple Mail and Google Takeout write them."""

import email.header
import email.message
import email.policy
import mailbox
import re
import tempfile
from email.utils import getaddresses, parsedate_to_datetime
from html.parser import HTMLParser

from mailparser_reply import EmailReplyParser

from tonetune.imports.messages import ChatExport, ChatMessage, Source

NAME = "mbox"
TITLE = "mails, mbox"

LANGUAGES = ["en", "de", "fr", "es", "it", "nl", "pl", "sv", "da", "cs"]
FROM_LINE = re.compile(rb"^From \S+.*\d{4}\s*$")
QUOTED = re.compile(r"^\s*>")
SENT_FROM = re.compile(
    r"^\s*(?:sent from (?:my|mail)|get outlook for|von meinem .{2,20} gesendet|envoy\u00e9 de mon|enviado desde mi)\b.*$",
    re.IGNORECASE,
)
# Behind these lines stand a signature, or the words of whoever wrote the mail that is passed on.
DELIMITER = re.compile(
    r"^(?:-- ?|-{5} ?BEGIN PGP SIGNATURE ?-{5}"
    r"|-{3,} ?(?:Forwarded message|Original Message|Weitergeleitete Nachricht|Urspr\u00fcngliche (?:Nachricht|Mail)"
    r"|Message transf\u00e9r\u00e9|Message d.origine|Mensaje (?:reenviado|original)|Messaggio (?:inoltrato|originale)"
    r"|Doorgestuurd bericht|Oorspronkelijk bericht) ?-{3,}"
    r"|(?:Begin forwarded message|Anfang der weitergeleiteten (?:E-Mail|Nachricht)|D\u00e9but du message (?:transf\u00e9r\u00e9|r\u00e9exp\u00e9di\u00e9)"
    r"|Inicio del mensaje reenviado|Inizio messaggio inoltrato) ?:)\s*$",
    re.IGNORECASE,
)
PGP_HEADER = re.compile(r"\A\s*-{5}BEGIN PGP SIGNED MESSAGE-{5}\n(?:\w+: .*\n)*\n")
BLOCK_TAGS = {"p", "div", "br", "li", "tr", "h1", "h2", "h3"}
HIDDEN_TAGS = {"style", "script", "head", "blockquote"}


def looks_like(source: Source) -> bool:
    """Whether the first line separates mails."""
    return FROM_LINE.match(source.data[:500].lstrip().split(b"\n")[0].rstrip(b"\r")) is not None


def read(source: Source) -> ChatExport:
    """The mails without quoted text and signatures; automatic ones and those of lists are left out."""
    if not looks_like(source):
        raise source.error('not an mbox file: its first line is not "From <address> <date>"')
    export = ChatExport()
    with tempfile.NamedTemporaryFile(
        suffix=".mbox"
    ) as file:  # mailbox reads files only, and `source` may be in an archive
        file.write(source.data)
        file.flush()
        box = mailbox.mbox(file.name, create=False)
        for key in box.keys():  # noqa: SIM118 - a mailbox yields mails, and writing those out again fails on odd bytes
            _mail(export, email.message_from_bytes(box.get_bytes(key), policy=email.policy.default))
        box.close()
    return export


def _mail(export: ChatExport, mail: email.message.EmailMessage) -> None:
    automatic = str(mail.get("Auto-Submitted", "no")).lower() != "no"
    if automatic or mail.get("List-Unsubscribe") or str(mail.get("Precedence", "")).lower() in ("bulk", "list", "junk"):
        return export.leave_out("automatic mails and newsletters")
    senders = getaddresses([_header(mail, "From")])
    text = own_part(_body(mail))
    if not senders or not text:
        return export.leave_out("mails without text of their own")
    name, address = senders[0]
    references = f"{_header(mail, 'References')} {_header(mail, 'In-Reply-To')}".split()
    identifier = _header(mail, "Message-ID").strip()
    sent_to = [_header(mail, name) for name in ("To", "Cc", "Bcc", "Reply-To")]
    try:
        time = parsedate_to_datetime(_header(mail, "Date")).astimezone().replace(tzinfo=None)
    except (ValueError, TypeError, OverflowError):
        time = None
    export.messages.append(
        ChatMessage(
            author=name or address,
            text=text,
            kind="mail",
            time=time,
            thread=references[0] if references else identifier,
            id=identifier,
            reply_to=references[-1] if references else "",
            other_names=address,
            written_to="\n".join(receiver for receiver, _ in getaddresses(sent_to) if receiver),
        )
    )
    return None


def _header(mail: email.message.EmailMessage, name: str) -> str:
    try:
        return str(mail.get(name, ""))
    except (ValueError, IndexError, AttributeError):  # the parser of headers stumbles over some that spam has
        return ""


def _body(mail: email.message.EmailMessage) -> str:
    """The plain part, or what is to be read of the HTML one."""
    try:
        part = mail.get_body(preferencelist=("plain", "html"))
        content = part.get_content() if part is not None else ""
    except (KeyError, LookupError, ValueError, AttributeError):  # an unknown charset, a broken multipart
        return ""
    if part is not None and part.get_content_type() == "text/html":
        reader = _HTMLText()
        reader.feed(content)
        content = "".join(reader.pieces)
    return content if isinstance(content, str) else ""


class _HTMLText(HTMLParser):
    """The text of a page: blocks on lines of their own, quotations left out."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.hidden += tag in HIDDEN_TAGS
        if tag in BLOCK_TAGS:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in HIDDEN_TAGS and self.hidden > 0

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.pieces.append(re.sub(r"\s+", " ", data))


def own_part(body: str) -> str:
    """What the writer wrote: without the mail it answers, the signature and the line that a phone adds."""
    lines = PGP_HEADER.sub("", body.replace("\r\n", "\n").replace("\u00a0", " ")).split("\n")
    end = next((number for number, line in enumerate(lines) if DELIMITER.match(line)), len(lines))
    text = "\n".join(line for line in lines[:end] if not SENT_FROM.match(line))
    replies = EmailReplyParser(languages=LANGUAGES).read(text).replies
    first = replies[0].body if replies else text
    kept = "\n".join(line.rstrip() for line in first.split("\n") if not QUOTED.match(line))
    return re.sub(r"\n{3,}", "\n\n", kept).strip()
