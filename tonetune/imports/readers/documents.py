"""Plain text and Markdown: letters, essays, posts; every paragraph or section of some length is a text of its own."""

import re

from tonetune.imports.messages import OWNER, ChatExport, ChatMessage, Source

NAME = "text"
TITLE = "plain text or Markdown: one's own writing"

SUFFIXES = (".txt", ".md", ".markdown", ".text")
LONGEST = 900  # characters of one text: several paragraphs go together up to so many
FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
CODE = re.compile(r"^```.*?^```[^\n]*$", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$")
IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
EMPHASIS = re.compile(r"(\*\*|__|\*|`)(?=\S)(.+?)(?<=\S)\1")
QUOTE = re.compile(r"^\s*>")


def looks_like(source: Source) -> bool:
    """Whether its name says so: any text may be one's own."""
    return source.path.suffix.lower() in SUFFIXES and b"\0" not in source.data[:2000]


def read(source: Source) -> ChatExport:
    """The texts, without code, quotations, pictures and marks; a heading stands before what it is above."""
    export = ChatExport()
    text = CODE.sub("", FRONT_MATTER.sub("", source.text()))
    heading, held = "", ""
    number = 0

    def close() -> None:
        nonlocal heading, held, number
        if held:
            number += 1
            thread = f"{source.path.name} {number}"
            if heading:
                asked = f"Write about this: {heading}"
                export.messages.append(ChatMessage(HEADING_AUTHOR, asked, kind="text", thread=thread))
            export.messages.append(ChatMessage(OWNER, held, kind="text", thread=thread))
            heading = ""
        held = ""

    for block in re.split(r"\n\s*\n", text):
        lines = block.strip("\n").split("\n")
        if found := HEADING.match(lines[0]):
            close()
            heading = _unmarked(found[1])
            lines = lines[1:]
        if any(QUOTE.match(line) for line in lines):
            export.leave_out("quotations")
            lines = [line for line in lines if not QUOTE.match(line)]
        paragraph = _unmarked(" ".join(line.strip() for line in lines).strip())
        if not paragraph:
            continue
        if held and len(held) + len(paragraph) > LONGEST:
            close()
        held = f"{held}\n\n{paragraph}" if held else paragraph
    close()
    return export


HEADING_AUTHOR = "heading"
"""Stands for whoever asks for a text: the heading says what it is about."""


def _unmarked(text: str) -> str:
    return EMPHASIS.sub(r"\2", LINK.sub(r"\1", IMAGE.sub("", text))).strip()
