"""Examples as training rows: `input_ids`, and `labels` that supervise the answer and its end-of-turn token."""

from transformers import PreTrainedTokenizerBase

from tonetune.core.errors import UserError
from tonetune.core.rows import Example
from tonetune.model.chat_template import answer_ids, prompt_ids

IGNORED = -100


def supervised(tokenizer: PreTrainedTokenizerBase, example: Example, max_length: int) -> dict[str, list[int]]:
    """`input_ids` of prompt and answer, and `labels` of the same length with -100 on the prompt."""
    prompt = prompt_ids(tokenizer, example.prompt)
    answer = answer_ids(tokenizer, example.answer)
    _fits(example, len(prompt) + len(answer), max_length)
    return {"input_ids": prompt + answer, "labels": [IGNORED] * len(prompt) + answer}


def plain_text(tokenizer: PreTrainedTokenizerBase, example: Example, max_length: int) -> dict[str, list[int]]:
    """The answer as a text of its own, without question or chat; all of it is supervised."""
    text = answer_ids(tokenizer, example.answer)
    _fits(example, len(text), max_length)
    return {"input_ids": text, "labels": text}


def _fits(example: Example, length: int, max_length: int) -> None:
    if length > max_length:
        raise UserError(
            f"train.max_length: {max_length} is less than the {length} tokens of question "
            f"{example.question_id} ({example.question[:40]!r}); raise it"
        )
