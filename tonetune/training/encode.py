"""Examples as training rows: `input_ids`, and `labels` that supervise the answer and its end-of-turn token."""

from transformers import PreTrainedTokenizerBase

from tonetune.core.errors import UserError
from tonetune.core.rows import Example
from tonetune.model.chat_template import answer_ids, prompt_ids

IGNORE_INDEX = -100  # the label of tokens that are not supervised, in PyTorch and transformers


def supervised(tokenizer: PreTrainedTokenizerBase, example: Example, max_length: int) -> dict[str, list[int]]:
    """`input_ids` of prompt and answer, and `labels` of the same length with -100 on the prompt.

    A `UserError` if they are more than `max_length` tokens.
    """
    prompt = prompt_ids(tokenizer, example.prompt)
    answer = answer_ids(tokenizer, example.answer)
    _check_length(example, len(prompt) + len(answer), max_length)
    return {"input_ids": prompt + answer, "labels": [IGNORE_INDEX] * len(prompt) + answer}


def preference(
    tokenizer: PreTrainedTokenizerBase, example: Example, worse: str, max_length: int
) -> dict[str, list[int]]:
    """The ids of the prompt, of the persona's answer (chosen) and of a `worse` one (rejected); a `UserError` if too long."""
    prompt = prompt_ids(tokenizer, example.prompt)
    chosen, rejected = answer_ids(tokenizer, example.answer), answer_ids(tokenizer, worse)
    _check_length(example, len(prompt) + max(len(chosen), len(rejected)), max_length)
    return {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected}


def plain_text(tokenizer: PreTrainedTokenizerBase, example: Example, max_length: int) -> dict[str, list[int]]:
    """The answer alone, without prompt or chat template, all of it supervised; a `UserError` if it is too long."""
    text = answer_ids(tokenizer, example.answer)
    _check_length(example, len(text), max_length)
    return {"input_ids": text, "labels": text}


def _check_length(example: Example, length: int, max_length: int) -> None:
    if length > max_length:
        raise UserError(
            f"train.max_length: {max_length} is less than the {length} tokens of question "
            f"{example.question_id} ({example.question[:40]!r}); raise it"
        )
