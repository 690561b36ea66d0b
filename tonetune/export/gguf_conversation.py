"""A conversation with an exported GGUF file, which llama.cpp runs: no torch, and about twice as fast on a CPU."""

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any

from tonetune.conversation import remembered, template_texts, trimmed, typed_turn
from tonetune.core.errors import UserError
from tonetune.core.params import Evaluate
from tonetune.core.rows import Message
from tonetune.export.serving import LlamaCpp

CONTEXT = 2048  # tokens of talk that are remembered


class GgufConversation:
    """Questions and answers; llama.cpp keeps what was said in its cache."""

    def __init__(self, server: LlamaCpp, system_prompt: str, settings: Evaluate, seed: int):
        self.server, self.settings = server, settings
        self.system = Message(role="system", content=system_prompt)
        self.turns: list[Message] = []
        self.seed = seed
        """Of the next answer."""

    def ask(self, question: str) -> Generator[str, None, None]:
        """Yield the answer piece by piece; if the caller stops early, the history keeps what was yielded."""
        user_turn, settings = typed_turn(question), self.settings
        prompt = self.prompt(user_turn.content)
        body: dict[str, Any] = {"temperature": settings.temperature, "top_p": settings.top_p, "top_k": 0, "min_p": 0}
        pieces = self.server.stream(prompt=prompt, n_predict=settings.max_new_tokens, seed=self.seed, **body)
        self.seed = (self.seed + 1) % 2**31
        with closing(pieces):  # or llama.cpp goes on with an answer that nobody reads
            yield from remembered(trimmed(pieces), self.turns, user_turn, settings.max_sentences)

    def prompt(self, question: str) -> list[int]:
        """The token ids of the chat up to the answer to `question`; the oldest turns are dropped when the window is full.

        A `UserError` if the question alone does not fit.
        """
        longest, asked = self.settings.max_new_tokens, Message(role="user", content=question)
        while len(ids := typed_ids(self.server, [self.system, *self.turns, asked])) + longest > CONTEXT:
            if not self.turns:
                raise UserError(
                    f"the question makes {len(ids)} tokens, and with an answer of up to {longest} (--max-new-tokens) that is "
                    f"more than the window of {CONTEXT}"
                )
            del self.turns[:2]
        return ids


def typed_ids(server: LlamaCpp, messages: Sequence[Message]) -> list[int]:
    """The chat as token ids; what looks like a control token in a message is text, and ends no turn."""
    if not any(_holds_control(server, message.content) for message in messages):
        return server.prompt_ids(messages)

    def render(contents: Sequence[str]) -> str:
        return server.rendered([Message(role=m.role, content=text) for m, text in zip(messages, contents, strict=True)])

    *written, rest = template_texts(render, len(messages))
    ids: list[int] = []
    for message, before in zip(messages, written, strict=True):
        ids += server.tokens(before, special=True) + server.tokens(message.content.strip(), special=False)
    return ids + server.tokens(rest, special=True)


def _holds_control(server: LlamaCpp, text: str) -> bool:
    return server.tokens(text, special=True) != server.tokens(text, special=False)
