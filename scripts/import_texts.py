"""Own texts (chats, mails, posts, files of messages) as a persona's recordings: read, look at what was found, then write."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tonetune.core.errors import UserError
from tonetune.core.params import Params, load_params
from tonetune.core.persona import FOLDER, Persona, load_persona
from tonetune.core.text import detected_language
from tonetune.imports.examples import Examples, OwnExample, make_examples
from tonetune.imports.formats import AUTO, READERS, read_chat_export
from tonetune.imports.messages import ANSWERED, ASKED, OWNER, ChatMessage, Columns, authors
from tonetune.imports.own_recordings import (
    FEWEST_EXAMPLES,
    ImportedCounts,
    ask_teacher,
    asking_estimate,
    has_recordings,
    refuse_too_few,
    write_own,
)
from tonetune.imports.privacy import Redactor, findings, write_found
from tonetune.imports.readers import documents
from tonetune.imports.readers.documents import HEADING_AUTHOR
from tonetune.teacher.endpoint.address import check_key, host_of
from tonetune.teacher.endpoint.cost import Prices

LISTED = 8
NOBODY = (OWNER, ASKED, ANSWERED, HEADING_AUTHOR)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of an import of own texts, beside those of an import of pairs."""
    group = parser.add_argument_group("own texts", "chats, mails, posts, files of messages: docs/own-texts.md")
    group.add_argument("--from", dest="form", choices=[AUTO, *READERS], help="the format; auto finds it out")
    group.add_argument(
        "--me",
        metavar="NAME",
        action="append",
        help="whose messages to learn from: a name, nickname or address in the export; again for each further one",
    )
    group.add_argument(
        "--names", metavar="NAMES", default="", help="further names to replace: a, b, c or a file, one a line"
    )
    group.add_argument("--region", metavar="CODE", help="country whose telephone numbers to know, e.g. DE")
    group.add_argument("--question", metavar="COLUMN", help="column or key of the question")
    group.add_argument("--answer", metavar="COLUMN", help="column or key of one's own answer")
    group.add_argument("--plain", metavar="COLUMN", help="column or key of the same answer in plain words")
    group.add_argument(
        "--found", type=Path, metavar="FILE", help="write all personal data that was found into this file"
    )
    group.add_argument("--yes", action="store_true", help="write without asking")


def import_texts(options: argparse.Namespace) -> None:
    """Read the files, show what was found, and write the persona's recordings if that is wanted."""
    params = load_params()
    name = options.persona or params.persona
    persona = load_persona(name)
    if persona.consent is None:
        raise UserError(
            f"{FOLDER / name}.yaml: consent: missing; whose words are these, and do they agree? If so add\n"
            "  consent: {words_of: <name>, agreed: true}"
        )
    if has_recordings(name) and not options.replace:
        raise UserError(f"{name}: has recordings, which an import would replace; give --replace if they may go")
    messages = _read(options)
    me = _me(options.me, messages)
    others = _others(messages, options.me or [me])
    messages = [replace(message, author=me) if _is_own(message, options.me) else message for message in messages]
    redaction = Redactor([*others, *_names(options.names)], options.region).redact(messages)
    examples = make_examples(redaction.messages, me, params.train.max_length)
    print(f"personal data replaced in {len(messages)} messages, others' among them; look for what is missing:")
    for line in findings(redaction, LISTED) or ["nothing found"]:
        print(f"  {line}")
    if options.found:
        write_found(options.found, redaction)
        print(f"  all of it, with how often, is in {options.found}: delete that file when you have looked")
    _tell(examples, params)
    refuse_too_few(examples.kept)
    kept = examples.kept
    live = params.teacher.mode == "live"
    if live:
        _tell_price(params, persona, kept)
    _ask(options.yes)
    if live:
        kept = ask_teacher(params, persona, kept)
    written = write_own(params, name, persona, kept)
    print(_summary(name, persona, written))


def _read(options: argparse.Namespace) -> list[ChatMessage]:
    messages: list[ChatMessage] = []
    columns = Columns(options.question, options.answer, options.plain)
    for path in options.file:
        form, export = read_chat_export(path, options.form or AUTO, columns)
        print(f"{path}: {READERS[form].TITLE}: {len(export.messages)} messages")
        for note in [*export.notes, *(f"{count} {why} left out" for why, count in export.left_out.items())]:
            print(f"  {note}")
        if (
            form == documents.NAME
            and options.me
            and (options.form or AUTO) == AUTO
            and path.suffix.lower() not in documents.MARKDOWN
        ):
            raise UserError(
                f"{path}: no chat that is known here; give --from text, without --me, if all of it is one's own"
            )
        if options.me and not any(
            message.author == OWNER or _is_own(message, options.me) for message in export.messages
        ):
            print(
                f"  none of them by {' or '.join(options.me)}, but by {_counted(export.messages)}: give --me for each name"
            )
        messages += export.messages
    return messages


def _me(me: Sequence[str] | None, messages: Sequence[ChatMessage]) -> str:
    """Whose turns are one's own: as named, or the only one who can be."""
    counts = authors(messages)
    if me is None:
        if set(counts) <= set(NOBODY):
            return ANSWERED
        people = [message for message in messages if message.author not in NOBODY]
        raise UserError(f"--me: whose messages are one's own? The export has {_counted(people)}")
    for name in me:
        if not any(message.is_by(name) for message in messages if message.author != OWNER) and OWNER not in counts:
            raise UserError(
                f"--me: {name!r} wrote none of the {len(messages)} messages; these did: {_counted(messages)}"
            )
    return me[0]


def _is_own(message: ChatMessage, me: Sequence[str] | None) -> bool:
    """Whether it is one's own; beside chats, the answers of a file of question and answer are as well, unless `me` asks."""
    if me is None or message.author == OWNER:
        return False  # it is known without a name
    answers = message.author == ANSWERED and ASKED not in me
    return answers or any(message.is_by(name) for name in me)


def _others(messages: Sequence[ChatMessage], me: Sequence[str]) -> list[str]:
    """The names of everybody else: who wrote, by what other names they go, and who was written to."""
    own = {name.casefold() for name in me}
    named: dict[str, None] = {}
    for message in messages:
        names = [message.author, *message.other_names.split("\n")]
        if _is_own(message, me):
            own.update(map(str.casefold, names))
            names = []
        named.update(dict.fromkeys([*names, *message.written_to.split("\n")]))
    # Addresses are found as such; their parts are no names.
    return [name for name in named if name not in NOBODY and name.casefold() not in own and "@" not in name]


def _counted(messages: Sequence[ChatMessage]) -> str:
    return ", ".join(f"{author} ({count})" for author, count in list(authors(messages).items())[:LISTED])


def _names(value: str) -> list[str]:
    """Names from the command line, or from the file that it names."""
    path = Path(value)
    try:
        parts = path.read_text(encoding="utf-8").split("\n") if value and path.is_file() else value.split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--names: {path}: cannot be read as UTF-8 text ({error})") from None
    return [part.strip() for part in parts if part.strip()]


def _tell(examples: Examples, params: Params) -> None:
    """What the examples are, and what was left out."""
    talks = sum(example.after is not None for example in examples.kept)
    made = sum(example.made_question for example in examples.kept)
    print(
        f"{len(examples.kept)} examples from {examples.turns} own turns: {talks} go on a talk, {made} answer nobody and got a"
    )
    print('  question made of their rarest words ("Write something of your own about ...")')
    for why, count in examples.left_out.items():
        print(f"  left out: {count} {why}")
    for example in examples.kept[:3]:
        print(f"  e.g. {example.question[-60:]!r} -> {example.answer[:60]!r}")
    wanted = params.split.quality.language
    found = detected_language(" ".join(example.answer for example in examples.kept)[:20_000])
    # Of fewer texts, which are refused anyway, the guess means nothing.
    if len(examples.kept) >= FEWEST_EXAMPLES and found not in ("en", wanted):
        print(
            f"  they read as {found}: give -S split.quality.language={found}. The probes that ask what the model is, the neutral "
            "texts (also beside texts without a plain answer) and the measure of fluency are English: those figures mean little "
            "here. So are the exchanges: the persona file may bring `exchanges:` of its own"
        )


def _tell_price(params: Params, persona: Persona, kept: Sequence[OwnExample]) -> None:
    """Whom the texts would be sent to, for what and at what price."""
    check_key(params.teacher)
    rows = asking_estimate(params, persona, kept)
    likely, most = (sum(values) for values in zip(*(row.dollars(params.teacher) for row in rows), strict=True))
    priced = Prices(params.teacher).prices is not None
    price = f"about ${likely:.2f}, at most ${most:.2f}" if priced else "price unknown, see teacher.prices"
    questions, answers = (row.missing for row in rows)
    print(
        f"teacher.mode: live: {params.teacher.model} at {host_of(params.teacher)} is sent these texts, placeholders and all, and "
        f"asked for {questions} questions and {answers} plain answers: {price}; mode replay sends nothing"
    )


def _ask(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError("nothing written yet: look at what was found above, then give --yes")
    if input("write them? [y/N] ").strip().lower() not in ("y", "yes"):
        raise UserError("nothing written")


def _summary(name: str, persona: Persona, written: ImportedCounts) -> str:
    listed = ", ".join(f"{count} {category}" for category, count in written.categories.items())
    lacking = written.categories.total() - written.plain
    consent = persona.consent
    assert consent is not None
    return (
        f"wrote data/recordings/{name}.jsonl.gz and {name}.questions.jsonl.gz: {listed}, {written.exchanges} exchanges\n"
        f"{lacking} have no plain answer: neutral texts stand in where the scores need another tone, and the report says so\n"
        f"these files hold the texts of {consent.words_of}: commit them only where others may read them\n"
        f"next: dvc exp run -S persona={name}"
    )
