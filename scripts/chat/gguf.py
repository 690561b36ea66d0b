"""`scripts.chat --gguf`: the conversation with an exported file, run by llama.cpp."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.chat.talk import Talk
from tonetune.core.errors import UserError
from tonetune.core.files import read_json
from tonetune.core.params import Params
from tonetune.export.gguf_conversation import CONTEXT, GgufConversation
from tonetune.export.serving import llama_cpp


class GgufTalk(Talk):
    """A talk whose model is a file: it has one voice, at the strength that it was exported with."""

    conversation: GgufConversation  # type: ignore[assignment]

    def __init__(self, conversation: GgufConversation, params: Params, file: Path, disclosure: str):
        self.conversation, self.params, self.file, self.disclosure = conversation, params, file, disclosure
        self.drafter = None
        self.said: list[dict[str, str]] = []

    @property
    def speaker(self) -> str:
        return str(self.file)

    def swap(self) -> str:
        raise UserError("/base: an exported file holds the tuned model alone; start without --gguf")

    def set_strength(self, strength: float) -> str:
        raise UserError("/strength: an exported file's weights are merged for good; start without --gguf")


@contextmanager
def gguf_talk(folder: Path, params: Params) -> Iterator[GgufTalk]:
    """A talk with what `scripts.export gguf` or `ollama` wrote into `folder`; a `UserError` if it is not there."""
    files = sorted(folder.glob("*.gguf"))
    if not files or not (folder / "export.json").is_file():
        raise UserError(f"{folder}: no GGUF export there; `python -m scripts.export gguf` writes one")
    record = read_json(folder / "export.json")
    with llama_cpp(files[0], record["persona"], CONTEXT, params.compute.threads) as server:
        conversation = GgufConversation(server, record["system_prompt"], params.evaluate, params.seed)
        yield GgufTalk(conversation, params, files[0], record["disclosure"])
