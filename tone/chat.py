"""Talk to the tuned model: `python -m tone.chat "question"`, or without a question a conversation."""

from tone.quiet import import_bitsandbytes, silence_libraries

silence_libraries()

import argparse
import signal
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stdout, suppress
from io import TextIOWrapper
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

from pydantic import ValidationError

from tone.errors import UserError, run
from tone.params import Params, load_params
from tone.persona import load_persona
from tone.rows import Message, explain

# torch and what needs it is imported where it is used: --help and a mistyped option answer at once.
if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from tone.generation import Sampling

ADAPTER = Path("models/adapter")
HALF_CHARACTER = "\N{REPLACEMENT CHARACTER}"


class Conversation:
    """Questions and answers. The model's cache holds what was said, so that only what is new runs through the model."""

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        system_prompt: str,
        sampling: "Sampling",
        seed: int,
    ):
        import torch

        from tone.roomy_cache import roomy_cache

        self.model = model
        self.tokenizer = tokenizer
        self.system = Message(role="system", content=system_prompt)
        self.turns: list[Message] = []
        self.sampling = sampling
        self.window: int = model.config.get_text_config().max_position_embeddings
        self.generator = torch.Generator().manual_seed(seed)
        self.cache = roomy_cache(model.config)
        self.cached: list[int] = []

    def ask(self, question: str) -> Generator[str, None, None]:
        """Yield the answer piece by piece; what has been said of it when the reader stops is kept in the history."""
        # A shell may hand over bytes that are no UTF-8 as lone surrogates, which no tokenizer takes.
        asked = Message(role="user", content=question.encode(errors="replace").decode())
        said = ""
        try:
            for piece in as_text(self.tokenizer, self._tokens(self._prompt(asked))):
                said += piece
                yield piece
        finally:
            if said:
                self.turns += [asked, Message(role="assistant", content=said)]

    def _prompt(self, asked: Message) -> list[int]:
        """The chat up to the answer as token ids; the oldest turns are dropped when the context window is full."""
        from tone.chat_format import prompt_ids

        turns, longest = list(self.turns), self.sampling.max_new_tokens
        ids = prompt_ids(self.tokenizer, [self.system, *turns, asked])
        if len(ids) + longest > self.window:
            # What comes after a dropped turn has to run through the model again: make room for many turns at once.
            while turns and len(ids) + longest > self.window // 2:
                del turns[:2]
                ids = prompt_ids(self.tokenizer, [self.system, *turns, asked])
            if len(ids) + longest > self.window:
                raise UserError(
                    f"the question makes {len(ids)} tokens, and with an answer of up to {longest} (--max-new-tokens) "
                    f"that is more than the model's window of {self.window}"
                )
            self.turns = turns
        return ids

    def _tokens(self, prompt: list[int]) -> Iterator[int]:
        """Yield the answer's tokens one by one; the cache goes on from what it shares with `prompt`."""
        from tone.chat_format import stop_ids

        ids, stops = prompt[self._rewind(prompt) :], stop_ids(self.tokenizer, self.model)
        for _ in range(self.sampling.max_new_tokens):
            token = self._next(ids)
            if token in stops:
                return
            yield token
            ids = [token]

    def _rewind(self, prompt: list[int]) -> int:
        """Take out of the cache what `prompt` does not begin with; how many of its tokens are left there."""
        from tone.roomy_cache import roomy_cache

        # The last token always runs: its output predicts the answer's first.
        pairs = zip(self.cached, prompt[:-1], strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        if shared < len(self.cached):
            try:
                self.cache.crop(shared - len(self.cached))
            except RuntimeError:  # layers with a sliding window have forgotten what came before
                self.cache, shared = roomy_cache(self.model.config), 0
            del self.cached[shared:]
        return shared

    def _next(self, ids: list[int]) -> int:
        """Run `ids` through the model and draw the token that follows."""
        import torch

        from tone.generation import draw

        with torch.inference_mode():
            inputs = torch.tensor([ids], device=self.model.device)
            output = self.model.model(input_ids=inputs, past_key_values=self.cache, use_cache=True)
            self.cached += ids
            logits = self.model.lm_head(output.last_hidden_state[:, -1])
            return int(draw(logits, self.sampling, [self.generator]))


def as_text(tokenizer: "PreTrainedTokenizerBase", tokens: Iterable[int]) -> Iterator[str]:
    """What each token adds to the text; nothing yet for half a character, or for white space that may be the last."""
    ids: list[int] = []
    text = said = ""
    for token in tokens:
        ids.append(token)
        text = str(tokenizer.decode(ids, skip_special_tokens=True)).strip()
        piece = "" if text.endswith(HALF_CHARACTER) else text[len(said) :]
        said += piece
        yield piece
    yield text[len(said) :]


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; --help lists the options")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; numbers are checked by `overridden`, with the limits of params.yaml."""
    parser = Parser(prog="python -m tone.chat", description="Talk to the tuned model.")
    parser.add_argument("question", nargs="?", help="answer this and end; without it, a conversation")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--base", action="store_true", help="the base model as it was before tuning")
    which.add_argument("--adapter", type=Path, default=ADAPTER, metavar="DIR", help="default: %(default)s")
    sampling = parser.add_argument_group("sampling", "the defaults are those of params.yaml")
    sampling.add_argument("--temperature", metavar="T", help="0 = always the likeliest token")
    sampling.add_argument("--top-p", metavar="P", help="draw from the likeliest tokens up to this share")
    sampling.add_argument("--max-new-tokens", metavar="N", help="longest answer")
    sampling.add_argument("--seed", metavar="N", help="the same seed and questions give the same answers")
    options = parser.parse_args(arguments)
    if options.question is not None and not options.question.strip():
        parser.error("the question is empty")
    return options


def overridden(params: Params, options: argparse.Namespace) -> Params:
    """`params` with the sampling that the command line asks for."""
    values = params.model_dump()
    for name in ("temperature", "top_p", "max_new_tokens", "seed"):
        if getattr(options, name) is not None:
            (values if name == "seed" else values["evaluate"])[name] = getattr(options, name)
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        field, _, problem = explain(error).partition(":")
        raise UserError(f"--{field.removeprefix('evaluate.').replace('_', '-')}:{problem}") from None


def load(params: Params, adapter: Path | None) -> Conversation:
    """A conversation with the base model, or with the adapter merged into it so that it runs at the base's speed."""
    from tone.base import load_base, load_tokenizer
    from tone.generation import Sampling

    tokenizer = load_tokenizer(params.base_model)
    if adapter is None:
        model = load_base(params.base_model, params.compute)
    else:
        import_bitsandbytes()
        from tone.adapter import load_tuned

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
