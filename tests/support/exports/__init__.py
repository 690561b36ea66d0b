"""Invented exports: one talk of two people, in every format that can be imported."""

from tests.support.exports.chats import WHATSAPP, discord, telegram, x_archive
from tests.support.exports.files import chat_rows, markdown, mbox, pairs, table
from tests.support.exports.talk import ADA, BOB, Said, talk

__all__ = [
    "ADA",
    "BOB",
    "WHATSAPP",
    "Said",
    "chat_rows",
    "discord",
    "markdown",
    "mbox",
    "pairs",
    "table",
    "talk",
    "telegram",
    "x_archive",
]
