"""Talk to the tuned model: `python -m scripts.chat "question"`, or without a question a conversation."""

from collections.abc import Generator, Iterable, Iterator
from itertools import takewhile
from typing import TYPE_CHECKING

from tonetune.core.errors import UserError
from tonetune.core.rows import Message
from tonetune.core.startup import silence_libraries

silence_libraries()


# torch and what needs it is imported where it is used: --help and a mistyped option answer at once.
if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from tonetune.generation.sampling import Sampling


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

        from tonetune.generation.kv_cache import preallocated_cache

        self.model = model
        self.tokenizer = tokenizer
        self.system = Message(role="system", content=system_prompt)
        self.turns: list[Message] = []
        self.sampling = sampling
        self.window: int = model.config.get_text_config().max_position_embeddings
        self.generator = torch.Generator().manual_seed(seed)
        self.cache = preallocated_cache(model.config)
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
        from tonetune.model.chat_template import prompt_ids

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
        from tonetune.model.chat_template import stop_ids

        ids, stops = prompt[self._rewind(prompt) :], stop_ids(self.tokenizer, self.model)
        for _ in range(self.sampling.max_new_tokens):
            token = self._next(ids)
            if token in stops:
                return
            yield token
            ids = [token]

    def _rewind(self, prompt: list[int]) -> int:
        """Take out of the cache what `prompt` does not begin with; how many of its tokens are left there."""
        from tonetune.generation.kv_cache import preallocated_cache

        # The last token always runs: its output predicts the answer's first.
        pairs = zip(self.cached, prompt[:-1], strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        if shared < len(self.cached):
            try:
                self.cache.crop(shared - len(self.cached))
            except RuntimeError:  # layers with a sliding window have forgotten what came before
                self.cache, shared = preallocated_cache(self.model.config), 0
            del self.cached[shared:]
        return shared

    def _next(self, ids: list[int]) -> int:
        """Run `ids` through the model and draw the token that follows."""
        import torch

        from tonetune.generation.sampling import sample

        with torch.inference_mode():
            inputs = torch.tensor([ids], device=self.model.device)
            output = self.model.model(input_ids=inputs, past_key_values=self.cache, use_cache=True)
            self.cached += ids
            logits = self.model.lm_head(output.last_hidden_state[:, -1])
            return int(sample(logits, self.sampling, [self.generator]))


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
