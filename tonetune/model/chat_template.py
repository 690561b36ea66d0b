"""Chats as token ids, always through the tokenizer's own template."""

from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tonetune.core.rows import Message


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """The token ids of a chat with the generation prompt, up to where the assistant's answer begins."""
    chat = [message.model_dump() for message in messages]
    return list(tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=False))


def end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that ends an answer in the chat template; the end of text where the template has none.

    They differ in many chat models: Gemma ends a turn with `<end_of_turn>`, a text with `<eos>`.
    """
    chat = [Message(role="user", content="?"), Message(role="assistant", content=".")]
    ids = tokenizer.apply_chat_template([message.model_dump() for message in chat], tokenize=True, return_dict=False)
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    ends = [token for token in ids[len(prompt_ids(tokenizer, chat[:1])) :] if token in special]
    return ends[0] if ends else tokenizer.eos_token_id


def stop_ids(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> frozenset[int]:
    """The token ids at which generation stops: end of turn, end of text, and those of the model's generation config."""
    eos = model.generation_config.eos_token_id if model.generation_config is not None else None
    ends = {end_of_turn(tokenizer), tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])}
    return frozenset(ends - {None})


def answer_ids(tokenizer: PreTrainedTokenizerBase, answer: str) -> list[int]:
    """The token ids of an answer with its end-of-turn token: the tokens that training supervises.

    The answer is tokenized apart from the prompt, as generation produces it: no token spans the two.
    """
    return [*tokenizer.encode(answer, add_special_tokens=False), end_of_turn(tokenizer)]
