"""Which format a file has, and reading it."""

import lzma
import re
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from tonetune.core.errors import UserError
from tonetune.imports.messages import ChatExport, ChatMessage, Columns, Source
from tonetune.imports.readers import chat_data, discord, documents, mbox, tables, telegram, whatsapp, x_archive

AUTO = "auto"
USUAL = Columns()
READERS: dict[str, ModuleType] = {
    reader.NAME: reader for reader in (x_archive, telegram, discord, mbox, whatsapp, chat_data, tables, documents)
}
"""Each has NAME, TITLE, looks_like and read; the finder asks in this order, the most particular ones first."""
LARGEST = 2 * 2**30  # bytes: exports are read into memory
ONE_THREAD_EVERYWHERE = (telegram.NAME, discord.NAME, mbox.NAME)
"""Their threads are the program's own, so that a chat goes on from one file into another."""
TIME = r"(?:\d{1,4}[./-] ?\d{1,2}[./-] ?\d{1,4}\W{1,5}(?:\w{1,3}\W{1,3})?)?\d{1,2}[:.]\d{2}(?:[:.]\d{2})?(?![.:/-]?\d)(?:\s?[^\W\d][\w.]{0,3})?"
PERSON = r"[\w.'-]+(?: [\w.'-]+){0,2}"
# A time before or behind a name, as logs of chats have it: whose words follow is not known then.
LINE_OF_CHAT = re.compile(
    rf"^\W{{0,4}}{TIME}\W{{1,6}}{PERSON}(?::\s|\t|>)|^(?=[^\W\d_a-z]){PERSON}\W{{1,3}}{TIME}[)\]]?(?::|\s*$)"
)
FEWEST_LINES_OF_CHAT = 2
IN_ARCHIVES = ("_chat.txt", "result.json", "tweets.js", "tweet.js")


def read_chat_export(path: Path, form: str = AUTO, columns: Columns = USUAL) -> tuple[str, ChatExport]:
    """The file's format and its messages; a `UserError` says in one line what is wrong with it."""
    sources = _sources(path, columns)
    export = ChatExport()
    for source in sources:
        reader = READERS[form] if form != AUTO else _found(source)
        if not source.data.strip():
            raise source.error("empty; export it again")
        read = reader.read(source)
        export.messages += [_kept(source, reader, message) for message in read.messages]
        export.notes += read.notes
        for why, count in read.left_out.items():
            export.left_out[why] = export.left_out.get(why, 0) + count
    if not export.messages:
        left = ", ".join(f"{count} {why}" for why, count in export.left_out.items())
        raise UserError(
            f"{path}: read as {reader.NAME}, no message with text in it{f' (left out: {left})' if left else ''}"
        )
    return reader.NAME, export


def _kept(source: Source, reader: ModuleType, message: ChatMessage) -> ChatMessage:
    """The message in a thread of its own file, and without halves of characters, which no file can be written with."""
    known = reader.NAME in ONE_THREAD_EVERYWHERE and message.thread
    thread = message.thread if known else f"{source.path} {source.name} {message.thread}"
    return replace(message, text=_whole(message.text), plain=message.plain and _whole(message.plain), thread=thread)


def _whole(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _found(source: Source) -> ModuleType:
    if source.data.strip():
        for reader in READERS.values():
            if reader.looks_like(source):
                if reader is documents:
                    _refuse_unknown_chat(source)
                return reader
        if source.head(200).lstrip().lower().startswith(("<!doctype html", "<html")):
            raise source.error("an HTML page; export it again as JSON, or as text where the program has no JSON")
        raise source.error(f"no format that is known here; --from names one of {', '.join(READERS)}")
    return documents


def _refuse_unknown_chat(source: Source) -> None:
    """A `UserError` if the text is a chat of an unknown program: others' words would be learnt as one's own."""
    lines = [line for line in source.head().splitlines() if LINE_OF_CHAT.match(line)]
    if len(lines) >= FEWEST_LINES_OF_CHAT:
        raise source.error(
            f"a chat of a program that is not known here ({lines[0][:40]!r}); bring it as a table, or give --from text if "
            "all of it is one's own"
        )


def _sources(path: Path, columns: Columns) -> list[Source]:
    """The file itself, or what an archive holds of messages."""
    if path.is_dir():
        raise UserError(f"{path}: a folder; name the export's file in it, such as result.json, or the .zip")
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path}: over {LARGEST // 2**30} GiB; export fewer chats or without media")
        if not zipfile.is_zipfile(path):
            data = path.read_bytes()
            if data.startswith(b"PK\x03\x04"):  # its table of contents, which stands last, is missing
                raise zipfile.BadZipFile("cut short")
            return [Source(path, path.name, data, columns)]
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if _holds_messages(name)]
            if not names:
                raise UserError(
                    f"{path}: no chat in this archive (looked for *.txt of WhatsApp, result.json, tweets.js, *.mbox)"
                )
            if sum(archive.getinfo(name).file_size for name in names) > LARGEST:
                raise UserError(f"{path}: unpacks to over {LARGEST // 2**30} GiB; export fewer chats")
            return [Source(path, name, archive.read(name), columns) for name in sorted(names)]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        EOFError,
        NotImplementedError,
        RuntimeError,
        zlib.error,
        lzma.LZMAError,
    ) as error:
        raise UserError(f"{path}: a damaged or locked archive ({error}); download it again") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


def _holds_messages(name: str) -> bool:
    base = Path(name).name
    if base.startswith("._"):  # what macOS puts beside each file
        return False
    is_chat = "whatsapp" in base.lower() and base.endswith(".txt")
    return (
        base in IN_ARCHIVES
        or is_chat
        or base.endswith(".mbox")
        or (base.startswith("tweets-part") and base.endswith(".js"))
    )
