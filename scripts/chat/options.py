"""The options of scripts.chat and what they change of the params."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from tonetune.core.errors import UserError
from tonetune.core.params import Params
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
    which.add_argument(
        "--gguf", type=Path, metavar="DIR", help="an exported file (scripts.export gguf), by llama.cpp: faster"
    )
    parser.add_argument(
        "--draft",
        metavar="MODEL",
        help="who answers plainly first: base, hub:..., path:... or endpoint:...; the adapter then says it",
    )
    parser.add_argument("--strength", metavar="S", help="of the tone: 0 = the base, 1 = as it was trained")
    add_sampling(parser)
    options = parser.parse_args(arguments)
    if options.question is not None and not options.question.strip():
        parser.error("the question is empty")
    without = "--base" if options.base else "--gguf" if options.gguf else None
    if options.draft and without:
        parser.error(f"--draft: not allowed with argument {without}")
    if options.strength is not None:
        if without:
            parser.error(f"--strength: not allowed with argument {without}")
        options.strength = number(options.strength, "--strength")
    return options


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """The options that `overridden` puts in place of params.yaml's."""
    sampling = parser.add_argument_group("sampling", "the defaults are those of params.yaml")
    sampling.add_argument("--temperature", metavar="T", help="0 = always the likeliest token")
    sampling.add_argument("--top-p", metavar="P", help="sample from the likeliest tokens up to this share")
    sampling.add_argument("--max-new-tokens", metavar="N", help="longest answer")
    sampling.add_argument("--max-sentences", metavar="N", help="an answer ends with its N-th sentence")
    sampling.add_argument("--seed", metavar="N", help="the same seed and questions give the same answers")


def number(text: str, name: str) -> float:
    """A `UserError` if it is none; `Strength.set` checks its range."""
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{name}: {text!r} is not a number") from None


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
