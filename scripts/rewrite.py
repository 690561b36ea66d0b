"""Say plain text in the persona's tone, line by line: `python -m scripts.rewrite "text"`, or a file, or - for stdin.

The adapter must have learnt it: `train.task: rewrite` or `both` in params.yaml, then `dvc repro`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

from scripts.chat.options import ADAPTER, Parser, add_sampling, overridden
from scripts.chat.streams import lenient
from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.params import Params, load_params
from tonetune.core.persona import for_persona, load_persona
from tonetune.core.tasks import ANSWER, rewriting_chat
from tonetune.core.text import excerpt, in_parts
from tonetune.page.parts import sentences_of_a_part

FILE_NAME = re.compile(r"\S*(?:/\S*|\.[a-z]\w*)")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; numbers are checked by `overridden`, with the limits of params.yaml."""
    parser = Parser(prog="python -m scripts.rewrite", description="Say plain text in the persona's tone, line by line.")
    parser.add_argument("text", metavar="TEXT|FILE", help="the text itself, a UTF-8 file of it, or - for stdin")
    parser.add_argument("--question", metavar="Q", help="what the text answers, for context")
    parser.add_argument("--adapter", type=Path, default=ADAPTER, metavar="DIR", help="default: %(default)s")
    add_sampling(parser)
    return parser.parse_args(arguments)


def read_lines(text: str) -> list[str]:
    """The lines of the file `text`, of stdin for -, or else of the text itself; a `UserError` if they say nothing."""
    try:
        is_file = text == "-" or Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or a zero byte in it
        is_file = False
    if not is_file and FILE_NAME.fullmatch(text):
        raise UserError(f"{text}: no such file; text of one word that looks like a file's name can be piped in: -")
    try:
        if text == "-":
            lines = sys.stdin.buffer.read().decode("utf-8").splitlines()
        else:
            lines = (Path(text).read_text(encoding="utf-8") if is_file else text).splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{'stdin' if text == '-' else text}: not UTF-8 text") from None
    if not any(line.strip() for line in lines):
        raise UserError(f"{'stdin' if text == '-' else text if is_file else 'the text'}: nothing to rewrite")
    return [line.encode(errors="replace").decode() for line in lines]  # a shell passes other bytes on as surrogates


def rewrite(lines: Sequence[str], params: Params, adapter: Path, question: str | None) -> list[str]:
    """Each line in the persona's tone; an empty one stays empty.

    A line of more sentences than the model has learnt, or than an answer may have, is said part by part, so that none
    is left out. A `UserError` if a part does not fit the model's window.
    """
    from tonetune.conversation import typed_prompt_ids
    from tonetune.generation.generate import generate
    from tonetune.generation.sampling import Sampling, answer_seed
    from tonetune.merged import load_merged
    from tonetune.model.base import load_tokenizer

    tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)
    model = load_merged(params.base_model, params.compute, adapter)
    window = model.config.get_text_config().max_position_embeddings
    sampling = Sampling.of(params.evaluate)
    parts = [in_parts(line.strip(), sentences_of_a_part(params)) for line in lines]
    prompts = []
    for number, part in ((n, part) for n, line in enumerate(parts, 1) for part in line):
        ids = typed_prompt_ids(tokenizer, rewriting_chat(params.rewrite_prompt, part, question))
        if len(ids) + sampling.max_new_tokens > window:
            raise UserError(
                f"line {number} ({excerpt(part, 40)!r}) makes {len(ids)} tokens, and with up to {sampling.max_new_tokens} "
                f"of its rewriting (--max-new-tokens) that is more than the model's window of {window}; break it up"
            )
        prompts.append(ids)
    # A part's seed is its own: it is said the same wherever it stands.
    seeds = [answer_seed(part, params.seed) for line in parts for part in line]
    said = iter(generate(model, tokenizer, prompts, sampling, seeds, "rewriting"))
    return [" ".join(next(said) for _ in line) for line in parts]


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    params = overridden(for_persona(load_params()), options)
    lines = read_lines(options.text)
    lenient(sys.stdout)
    with redirect_stdout(sys.stderr):  # what loading says
        from tonetune.merged import disclosure_of, task_of

        if options.adapter.is_dir() and task_of(options.adapter) == ANSWER:
            raise UserError(
                f"{options.adapter}: it has learnt to answer, not to rewrite; set train.task: rewrite or both, then `dvc repro`"
            )
        said = rewrite(lines, params, options.adapter, options.question)
        disclosure = disclosure_of(options.adapter) or load_persona(params.persona).disclosure
    print(disclosure, file=sys.stderr)
    print("\n".join(said))


if __name__ == "__main__":
    run(main)
