"""Chats as token ids, always through the tokenizer's own template.

Templates differ in what they think, refuse and end with. `adapt_template` writes what has to be the same for every model
into the template itself, so that it holds for whoever renders it: here, TRL, a server that is given the tokenizer.
"""

import json
from collections.abc import Mapping, Sequence

from jinja2 import TemplateError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tonetune.core.errors import UserError
from tonetune.core.rows import Message

# What is rendered to see how a template treats a system message, the start and the end of an answer.
SYSTEM, USER, ANSWER = (
    Message(role="system", content="Answer in verse."),
    Message(role="user", content="Is it so?"),
    Message(role="assistant", content="Quite so"),
)
# Jinja that puts the system text before the first question; the newline at the end is trimmed, as after every block.
FOLD_SYSTEM = (
    "{%- if messages|length > 1 and messages[0].role == 'system' and messages[1].role == 'user' %}"
    "{%- set messages = [{'role': 'user', 'content': messages[0].content + '\\n\\n' + messages[1].content}]"
    " + messages[2:] %}{%- endif %}\n"
)
THOUGHT, END_OF_THOUGHT = "<think>", "</think>"
CLOSE_THOUGHT = "{%- if add_generation_prompt %}{{ '" + END_OF_THOUGHT + "\\n\\n' }}{%- endif %}"

# The date of a template that asks for today's: a model is trained, measured and talked to on different days. It is the one
# that Llama's templates name where they cannot ask.
DATE = {
    "%d": "26", "%-d": "26", "%e": "26", "%j": "208", "%m": "07", "%-m": "7", "%b": "Jul", "%B": "July", "%y": "24",
    "%Y": "2024", "%a": "Fri", "%A": "Friday", "%H": "12", "%I": "12", "%M": "00", "%S": "00", "%p": "PM",
    "%F": "2024-07-26", "%T": "12:00:00",
}  # fmt: skip
FIXED_DATE = (
    "{%- macro strftime_now(form) %}{{- form"
    + "".join(f" | replace('{code}', '{value}')" for code, value in DATE.items())
    + " }}{%- endmacro %}\n"
)


def adapt_template(tokenizer: PreTrainedTokenizerBase, base_model: str, fixed: Mapping[str, object]) -> None:
    """Set the variables `fixed` in the tokenizer's chat template, and put right what it has no other way for, in place.

    A template without a system role (it refuses the message, or leaves it out) gets the system text at the start of the
    first question. One that opens a thought although `enable_thinking` is fixed as false gets it closed at once; one
    that begins its answers with a mark of its own, such as gpt-oss's channel, gets it at the end of the prompt. Today's
    date is always the same day.

    A `UserError` names what no adaptation mends: no template, one that renders no chat, an answer without an end.
    """
    if tokenizer.chat_template is None:
        raise UserError(f"base_model: {base_model!r} has no chat template; choose an instruction-tuned model")
    prelude = "".join(f"{{%- set {name} = {json.dumps(value)} %}}\n" for name, value in fixed.items())
    try:
        published = str(tokenizer.get_chat_template())
        prelude += FIXED_DATE if "strftime_now" in published else ""
        tokenizer.chat_template = prelude + published
        rendered(tokenizer, [USER], True)
    except (TemplateError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"base_model: {base_model!r}: its chat template renders no question ({reason})") from None
    if not _has_system_role(tokenizer):
        tokenizer.chat_template = FOLD_SYSTEM + tokenizer.chat_template
    prompt = rendered(tokenizer, [SYSTEM, USER], True)
    if fixed.get("enable_thinking") is False and prompt.rfind(THOUGHT) > prompt.rfind(END_OF_THOUGHT):
        tokenizer.chat_template += CLOSE_THOUGHT
    _check_end(tokenizer, base_model)
    begin = _before_answer(tokenizer)
    if begin.strip() and (fixed.get("enable_thinking") is False or THOUGHT not in begin):
        tokenizer.chat_template += f"{{%- if add_generation_prompt %}}{{{{ {json.dumps(begin)} }}}}{{%- endif %}}"


def rendered(tokenizer: PreTrainedTokenizerBase, chat: Sequence[Message], generation_prompt: bool = False) -> str:
    """The chat as text."""
    messages = [message.model_dump() for message in chat]
    return str(tokenizer.apply_chat_template(messages, add_generation_prompt=generation_prompt, tokenize=False))


def _has_system_role(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the template renders a system message."""
    try:
        return SYSTEM.content in rendered(tokenizer, [SYSTEM, USER], True)
    except (TemplateError, TypeError):
        return False


def _before_answer(tokenizer: PreTrainedTokenizerBase) -> str:
    """What the template writes between the generation prompt and an answer: a model would have to begin with it."""
    prompt, whole = rendered(tokenizer, [SYSTEM, USER], True), rendered(tokenizer, [SYSTEM, USER, ANSWER])
    begun = whole.rpartition(ANSWER.content)[0]
    return begun.removeprefix(prompt) if begun.startswith(prompt) else ""


def _after_answer(tokenizer: PreTrainedTokenizerBase) -> str:
    """What the template writes after an answer."""
    return rendered(tokenizer, [SYSTEM, USER, ANSWER]).rpartition(ANSWER.content)[2]


def _check_end(tokenizer: PreTrainedTokenizerBase, base_model: str) -> None:
    """A `UserError` if training could not teach a model to end its turn as the template does."""
    try:
        text = rendered(tokenizer, [SYSTEM, USER, ANSWER])
    except (TemplateError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"base_model: {base_model!r}: its chat template renders no answer ({reason})") from None
    if ANSWER.content not in text:
        raise UserError(f"base_model: {base_model!r}: its chat template leaves the answer out")
    after = _after_answer(tokenizer)
    if _marked_end(tokenizer, after) is None and after.strip():
        raise UserError(
            f"base_model: {base_model!r}: its chat template ends an answer with {after.strip()[:40]!r}, which is no token "
            "of its tokenizer, so no model learns to stop there; choose a model whose template and tokenizer belong together"
        )
    if end_of_turn(tokenizer) is None:
        raise UserError(f"base_model: {base_model!r}: neither its chat template nor its tokenizer ends an answer")


def _marked_end(tokenizer: PreTrainedTokenizerBase, after: str) -> int | None:
    """The token of its own that `after`, what follows an answer, begins with; white space may come before it."""
    for token in tokenizer.encode(after, add_special_tokens=False):
        if token in tokenizer.added_tokens_decoder:
            return token
        if str(tokenizer.decode([token])).strip():
            return None
    return None


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """The token ids of a chat with the generation prompt, up to where the assistant's answer begins."""
    chat = [message.model_dump() for message in messages]
    return list(tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=False))


def end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that ends an answer in the chat template; the end of text where the template has none.

    They differ in many chat models: Gemma ends a turn with `<end_of_turn>`, a text with `<eos>`.
    """
    marked = _marked_end(tokenizer, _after_answer(tokenizer))
    return tokenizer.eos_token_id if marked is None else marked


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
