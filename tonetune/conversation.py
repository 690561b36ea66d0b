"""A conversation with a model, whose key-value cache holds what was said before."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import takewhile
from typing import TYPE_CHECKING

from tonetune.core.errors import UserError
from tonetune.core.rows import Message
from tonetune.core.startup import silence_libraries
from tonetune.core.text import first_sentences

silence_libraries()


# torch, and what needs it, is imported where it is used, so that scripts.chat shows its --help at once.
if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from tonetune.generation.decoder_layer import DecodingLayers
    from tonetune.generation.sampling import Sampling


class Conversation:
    """Questions and answers, with a key-value cache of the turns so far: only new tokens run through the model."""

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        system_prompt: str,
        sampling: "Sampling",
        seed: int,
    ):
        import torch

        self.tokenizer = tokenizer
        self.system = Message(role="system", content=system_prompt)
        self.turns: list[Message] = []
        self.sampling = sampling
        self.generator = torch.Generator().manual_seed(seed)
        self.cached: list[int] = []
        """The token ids whose keys and values are in the cache."""
        self.use(model)

    def use(self, model: "PreTrainedModel") -> None:
        """Go on with `model`, or with this one after its weights have changed: what is cached was another's."""
        from tonetune.generation.kv_cache import preallocated_cache

        self.model = model
        self.context_window: int = model.config.get_text_config().max_position_embeddings
        self.cache = preallocated_cache(model.config)
        self.cached.clear()
        self.layers: DecodingLayers | None = None
        """What decodes faster than the model's own layers; packed after the first token, which need not wait for it."""

    def ask(self, question: str) -> Generator[str, None, None]:
        """Yield the answer piece by piece; if the caller stops early, the history keeps what was yielded."""
        user_turn = typed_turn(question)
        pieces = as_text(self.tokenizer, self._tokens(self._prompt(user_turn)))
        yield from remembered(pieces, self.turns, user_turn, self.sampling.max_sentences)

    def _prompt(self, user_turn: Message) -> list[int]:
        """The token ids of the chat up to the answer; the oldest turns are dropped when the context window is full.

        A `UserError` if the question alone does not fit.
        """
        turns, max_new_tokens = list(self.turns), self.sampling.max_new_tokens
        ids = typed_prompt_ids(self.tokenizer, [self.system, *turns, user_turn])
        if len(ids) + max_new_tokens > self.context_window:
            # What follows a dropped turn has to run through the model again: drop many turns at once, and seldom.
            while turns and len(ids) + max_new_tokens > self.context_window // 2:
                del turns[:2]
                ids = typed_prompt_ids(self.tokenizer, [self.system, *turns, user_turn])
            if len(ids) + max_new_tokens > self.context_window:
                raise UserError(
                    f"the question makes {len(ids)} tokens, and with an answer of up to {max_new_tokens} "
                    f"(--max-new-tokens) that is more than the model's window of {self.context_window}"
                )
            self.turns = turns
        return ids

    def _tokens(self, prompt: list[int]) -> Iterator[int]:
        """Yield the answer's token ids one by one; of `prompt` only what follows its cached prefix runs."""
        from tonetune.generation.decoder_layer import DecodingLayers, supports_decoding_layer
        from tonetune.generation.prefix_attention import supports_prefix_sharing
        from tonetune.model.chat_template import stop_ids

        ids, stops = prompt[self._crop_cache(prompt) :], stop_ids(self.tokenizer, self.model)
        for _ in range(self.sampling.max_new_tokens):
            with self.layers.enabled() if self.layers else nullcontext():
                token = self._next_token(ids)
            if token in stops:
                return
            yield token
            ids = [token]
            if self.layers is None and supports_prefix_sharing(self.model) and supports_decoding_layer(self.model):
                self.layers = DecodingLayers(self.model)

    def _crop_cache(self, prompt: list[int]) -> int:
        """Crop the cache to its common prefix with `prompt`; return the prefix's length in tokens."""
        from tonetune.generation.kv_cache import preallocated_cache

        # The prompt's last token always runs: its logits are those of the answer's first token.
        pairs = zip(self.cached, prompt[:-1], strict=False)
        prefix_length = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        if prefix_length < len(self.cached):
            try:
                self.cache.crop(prefix_length - len(self.cached))
            except RuntimeError:  # a sliding window no longer holds what a shorter prefix needs
                self.cache, prefix_length = preallocated_cache(self.model.config), 0
            del self.cached[prefix_length:]
        return prefix_length

    def _next_token(self, ids: list[int]) -> int:
        """Run `ids` through the model and sample the next token."""
        import torch

        from tonetune.generation.sampling import sample
        from tonetune.model.head import logits

        with torch.inference_mode():
            inputs = torch.tensor([ids], device=self.model.device)
            output = self.model.model(input_ids=inputs, past_key_values=self.cache, use_cache=True)
            self.cached += ids
            following = logits(self.model, output.last_hidden_state[:, -1])
            return int(sample(following, self.sampling, [self.generator]))


def typed_turn(question: str) -> Message:
    """The user's turn of a chat, of what was typed."""
    # A shell passes bytes that are not UTF-8 on as lone surrogates, which no tokenizer takes.
    return Message(role="user", content=question.encode(errors="replace").decode())


def remembered(
    pieces: Iterable[str], turns: list[Message], user_turn: Message, max_sentences: int | None
) -> Generator[str, None, None]:
    """Yield the pieces of an answer up to `max_sentences` sentences, and nothing after them.

    At the end, also where the caller stops early, `user_turn` and what was yielded are appended to `turns`; no answer, no turns.
    """
    answer = ""
    try:
        for piece in pieces:
            kept = first_sentences(answer + piece, max_sentences)[len(answer) :]
            answer += kept
            yield kept
            if kept != piece:
                break
    finally:
        if answer:
            turns += [user_turn, Message(role="assistant", content=answer)]


def typed_prompt_ids(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message]) -> list[int]:
    """`chat_template.prompt_ids` of messages that people typed: what looks like a control token in them is text.

    Otherwise "<|im_end|>" in a question would end the turn and what follows it could speak as anybody.
    """
    from tonetune.model.chat_template import prompt_ids

    control = {token: added.content for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    if not any(text in message.content for text in control.values() for message in messages):
        return prompt_ids(tokenizer, messages)
    rendered, typed = _rendered(tokenizer, messages)
    encoded = tokenizer(rendered, add_special_tokens=False, return_offsets_mapping=True)
    ids: list[int] = []
    for token, (start, end) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
        if token in control and any(first <= start and end <= last for first, last in typed):
            ids += tokenizer.encode(rendered[start:end], add_special_tokens=False, split_special_tokens=True)
        else:
            ids.append(token)
    return ids


def _rendered(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message]) -> tuple[str, list[tuple[int, int]]]:
    """The chat as the template writes it, and start and end of what each message typed in it."""

    def render(contents: Sequence[str]) -> str:
        chat = [{"role": m.role, "content": content} for m, content in zip(messages, contents, strict=True)]
        return str(tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False))

    *written, rest = template_texts(render, len(messages))
    whole = render([message.content for message in messages])
    for strip in (str, str.strip):  # some templates cut white space off
        made, places = "", []
        for before, message in zip(written, messages, strict=True):
            text = strip(message.content)
            places.append((len(made) + len(before), len(made) + len(before) + len(text)))
            made += before + text
        if made + rest == whole:
            return whole, places
    raise UserError("the chat template changes what is typed, so typed control tokens cannot be told from its own")


def template_texts(render: Callable[[Sequence[str]], str], messages: int) -> list[str]:
    """What a chat template itself writes: before each of so many messages, and after the last.

    `render` turns the messages' contents into the chat; it is given marks, which no template writes, to find them again.
    """
    marks = [f"[[{index}/{messages}]]" for index in range(messages)]
    rest, written = render(marks), []
    for mark in marks:
        before, _, rest = rest.partition(mark)
        written.append(before)
    return [*written, rest]


def as_text(tokenizer: "PreTrainedTokenizerBase", tokens: Iterable[int]) -> Iterator[str]:
    """Decode a stream of tokens: yield what each adds to the text, whole characters only, no white space at the end."""
    return trimmed(_decoded(tokenizer, tokens))


def _decoded(tokenizer: "PreTrainedTokenizerBase", tokens: Iterable[int]) -> Iterator[str]:
    from tokenizers.decoders import DecodeStream

    stream = DecodeStream(skip_special_tokens=True)
    pending: list[int] = []  # the first bytes of a character
    for token in tokens:
        pending.append(token)
        if new := stream.step(tokenizer.backend_tokenizer, token):
            pending.clear()
        yield new or ""
    yield str(tokenizer.decode(pending, skip_special_tokens=True))


def trimmed(pieces: Iterable[str]) -> Iterator[str]:
    """The pieces of a text without the white space around it: what could be its end waits for what follows."""
    begun, held = False, ""
    for new in pieces:
        text = held + new
        text = text if begun else text.lstrip()
        piece = text.rstrip()
        held = text[len(piece) :]
        begun = begun or bool(piece)
        yield piece
