"""Talk to the tuned model: `python -m scripts.chat "question"`, or without a question a conversation."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, redirect_stdout, suppress
from typing import TYPE_CHECKING

from scripts.chat.options import overridden, parse
from scripts.chat.streams import lenient
from scripts.chat.talk import HELP, Talk, load
from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.params import Params, load_params
from tonetune.core.persona import for_persona, load_persona
from tonetune.drafting import check_task, drafter

if TYPE_CHECKING:
    import argparse


def questions() -> Iterator[str]:
    """The lines of stdin until its end, /quit, or Ctrl-C at the prompt."""
    lenient(sys.stdin)
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if terminal:
        with suppress(ImportError):
            import readline  # noqa: F401  (input() then edits lines and remembers them)
    with suppress(EOFError, KeyboardInterrupt):
        while (line := input("> " if terminal else "").strip()) != "/quit":
            if line:
                yield line
        return
    if terminal:
        print()


@contextmanager
def ctrl_c_noted() -> Iterator[list[bool]]:
    """The first Ctrl-C in the block only fills the list, as a token cut short would leave the cache half written."""
    pressed: list[bool] = []

    def note(*_: object) -> None:
        pressed.append(True)
        signal.signal(signal.SIGINT, usual)

    usual = signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, usual)


def converse(talk: Talk) -> None:
    """Answer line after line; Ctrl-C stops an answer and no more."""
    for line in questions():
        try:
            # A path such as /etc/hosts begins a question.
            if command := re.fullmatch(r"/([a-z]+)(?:\s+(.*))?", line):
                with redirect_stdout(sys.stderr):
                    print(talk.command(command[1], command[2] or ""))
                continue
            with ctrl_c_noted() as pressed, closing(talk.ask(line)) as pieces:
                for piece in pieces:
                    print(piece, end="", flush=True)
                    if pressed:
                        break
                print(flush=True)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)


def talk_with(options: argparse.Namespace, params: Params) -> Talk:
    """The talk that the command line asks for, with the base or the adapter."""
    disclosure = load_persona(params.persona).disclosure
    adapter = None if options.base else options.adapter
    if adapter is not None:
        check_task(adapter, bool(options.draft))
    conversation = load(params, adapter, bool(options.draft))
    if adapter is not None:
        from tonetune.merged import disclosure_of

        disclosure = disclosure_of(adapter) or disclosure
    talk = Talk(conversation, params, adapter, disclosure, drafter(options.draft, params) if options.draft else None)
    if options.strength is not None:
        talk.set_strength(options.strength)
    return talk


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    params = overridden(for_persona(load_params()), options)
    lenient(sys.stdout)
    with ExitStack() as opened:
        # stdout is the answer's: what loading says goes elsewhere.
        with redirect_stdout(sys.stderr):
            if options.gguf:
                from scripts.chat.gguf import gguf_talk

                talk: Talk = opened.enter_context(gguf_talk(options.gguf, params))
            else:
                talk = talk_with(options, params)
        print(talk.disclosure, file=sys.stderr)
        if options.base:
            print(f"--base: this is {params.base_model} as it was before tuning, without the adapter.", file=sys.stderr)
        if options.question is None:
            print(HELP, file=sys.stderr)
            converse(talk)
        else:
            for piece in talk.ask(options.question.strip()):
                print(piece, end="", flush=True)
            print()


if __name__ == "__main__":
    run(main)
