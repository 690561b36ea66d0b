"""Talk to the tuned model: `python -m scripts.chat "question"`, or without a question a conversation."""

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stdout, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn, TextIO

from pydantic import ValidationError

from tonetune.conversation import Conversation
from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.params import Params, load_params
from tonetune.core.persona import load_persona
from tonetune.core.startup import import_bitsandbytes
from tonetune.core.validation import explain

ADAPTER = Path("models/adapter")


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; --help lists the options")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; numbers are checked by `overridden`, with the limits of params.yaml."""
    parser = Parser(prog="python -m scripts.chat", description="Talk to the tuned model.")
    parser.add_argument("question", nargs="?", help="answer this and end; without it, a conversation")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--base", action="store_true", help="the base model as it was before tuning")
    which.add_argument("--adapter", type=Path, default=ADAPTER, metavar="DIR", help="default: %(default)s")
    sampling = parser.add_argument_group("sampling", "the defaults are those of params.yaml")
    sampling.add_argument("--temperature", metavar="T", help="0 = always the likeliest token")
    sampling.add_argument("--top-p", metavar="P", help="draw from the likeliest tokens up to this share")
    sampling.add_argument("--max-new-tokens", metavar="N", help="longest answer")
    sampling.add_argument("--max-sentences", metavar="N", help="an answer ends with its N-th sentence")
    sampling.add_argument("--seed", metavar="N", help="the same seed and questions give the same answers")
    options = parser.parse_args(arguments)
    if options.question is not None and not options.question.strip():
        parser.error("the question is empty")
    return options


def overridden(params: Params, options: argparse.Namespace) -> Params:
    """`params` with the sampling that the command line asks for."""
    values = params.model_dump()
    for name in ("temperature", "top_p", "max_new_tokens", "max_sentences", "seed"):
        if getattr(options, name) is not None:
            (values if name == "seed" else values["evaluate"])[name] = getattr(options, name)
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        field, _, problem = explain(error).partition(":")
        raise UserError(f"--{field.removeprefix('evaluate.').replace('_', '-')}:{problem}") from None


def load(params: Params, adapter: Path | None) -> Conversation:
    """A conversation with the base model, or with the adapter merged into it so that it runs at the base's speed."""
    from tonetune.generation.sampling import Sampling
    from tonetune.model.base import load_base, load_tokenizer

    tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)
    if adapter is None:
        model = load_base(params.base_model, params.compute)
    else:
        import_bitsandbytes()
        from tonetune.adapter import load_tuned

        model = load_tuned(params.base_model, params.compute, adapter)
    return Conversation(model, tokenizer, params.system_prompt, Sampling.of(params.evaluate), params.seed)


def lenient(stream: TextIO) -> None:
    """Let what cannot be decoded or encoded pass as a question mark."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="replace")


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


def talk(conversation: Conversation) -> None:
    """Answer line after line; Ctrl-C stops an answer and no more."""
    for question in questions():
        try:
            with ctrl_c_noted() as pressed, closing(conversation.ask(question)) as pieces:
                for piece in pieces:
                    print(piece, end="", flush=True)
                    if pressed:
                        break
                print(flush=True)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    params = overridden(load_params(), options)
    disclosure = load_persona(params.persona).disclosure
    lenient(sys.stdout)
    # stdout is the answer's: what loading says goes elsewhere.
    with redirect_stdout(sys.stderr):
        conversation = load(params, None if options.base else options.adapter)
    print(disclosure, file=sys.stderr)
    if options.base:
        print(f"--base: this is {params.base_model} as it was before tuning, without the adapter.", file=sys.stderr)
    if options.question is None:
        print("/quit or Ctrl-D ends the conversation, Ctrl-C stops an answer.", file=sys.stderr)
        talk(conversation)
    else:
        for piece in conversation.ask(options.question.strip()):
            print(piece, end="", flush=True)
        print()


if __name__ == "__main__":
    run(main)
