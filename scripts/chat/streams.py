"""What a terminal or a pipe can show."""

from io import TextIOWrapper
from typing import TextIO


def lenient(stream: TextIO) -> None:
    """Let what cannot be decoded or encoded pass as a question mark."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="replace")
