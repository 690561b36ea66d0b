"""Plain text and Markdown: letters, essays, posts; every paragraph or section of some length is a text of its own."""

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from tonetune.data.near_duplicates import near_pairs
from tonetune.imports.messages import OWNER, ChatExport, ChatMessage, Source

NAME = "text"
TITLE = "plain text or Markdown: one's own writing"

SUFFIXES = (".txt", ".md", ".markdown", ".text")
LONGEST = 900  # characters of one text: several paragraphs go together up to so many
FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
MARKDOWN = (".md", ".markdown")
# In plain text these are how somebody sets a paragraph, not marks.
MARKS_OF_MARKDOWN = ["code", "fence", "html_block", "html_inline", "lheading", "table"]
ALIKE = 0.65  # Jaccard similarity of two headings' shingles, under split.own_texts.near_question
NOT_PROSE = {"fence": "code", "code_block": "code", "html_block": "HTML", "table": "tables"}


def looks_like(source: Source) -> bool:
    """Whether its name says so: any text may be one's own."""
    return source.path.suffix.lower() in SUFFIXES and b"\0" not in source.data[:2000]


def read(source: Source) -> ChatExport:
    """The texts, without code, quotations, pictures and marks; a heading stands before what it is above."""
    export = ChatExport()
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

    for kind, text in _blocks(source, export):
        if kind == "heading":
            close()
            heading = text
            continue
        if held and len(held) + len(text) > LONGEST:
            close()
        held = f"{held}\n\n{text}" if held else text
    close()
    # A diary's headings ("Day 12", "Tuesday the 3rd") do not tell its texts apart, and as near questions they would all be on one
    # side of the split. Without them each text is asked for by its rarest words.
    headings = [message for message in export.messages if message.author == HEADING_AUTHOR]
    pairs = near_pairs([heading.text for heading in headings], ALIKE)
    alike = {id(headings[place]) for one, other, _ in pairs for place in (one, other)}
    export.messages = [message for message in export.messages if id(message) not in alike]
    return export


HEADING_AUTHOR = "heading"
"""Stands for whoever asks for a text: the heading says what it is about."""


def _blocks(source: Source, export: ChatExport) -> Iterator[tuple[str, str]]:
    """(kind, text) of each heading, paragraph and list, a list with a line for each of its items."""
    parser = MarkdownIt("commonmark").enable("table")
    if source.path.suffix.lower() not in MARKDOWN:
        parser.disable(MARKS_OF_MARKDOWN)
    for block in SyntaxTreeNode(parser.parse(FRONT_MATTER.sub("", source.text()))).children:
        if block.type == "blockquote":
            export.leave_out("quotations")
        elif block.type in NOT_PROSE:
            export.leave_out(NOT_PROSE[block.type])
        elif text := "\n".join(filter(None, map(_unmarked, _lines(block)))):
            yield block.type, text


def _lines(block: SyntaxTreeNode) -> list[SyntaxTreeNode]:
    """What holds the words of a block: one of a paragraph, one of each item of a list."""
    return [node for node in block.walk() if node.type == "inline"]


def _unmarked(node: SyntaxTreeNode) -> str:
    """The words without marks and pictures; a link is its text."""
    if node.type in ("softbreak", "hardbreak"):
        return " "
    if node.type in ("image", "html_inline"):
        return ""
    said = "".join(map(_unmarked, node.children)) if node.children else node.content
    return said.strip() if node.type == "inline" else said
