"""A byte-level BPE tokenizer as the fields of a GGUF file."""

import json
from typing import Any

import gguf
from transformers import PreTrainedTokenizerBase

from tonetune.core.errors import UserError
from tonetune.model.chat_template import end_of_turn

QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
SPLITS = {QWEN2: "qwen2", LLAMA3: "llama-bpe"}


def add_tokenizer(writer: gguf.GGUFWriter, tokenizer: PreTrainedTokenizerBase, vocabulary: int) -> None:
    """Write `vocabulary` tokens with their types, the merges, the special tokens and the chat template.

    A `UserError` if llama.cpp would cut text into other tokens than `tokenizer`.
    """
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    pre = pre_tokenizer(parts)
    tokens = {number: token for token, number in tokenizer.get_vocab().items()}
    added = tokenizer.added_tokens_decoder
    texts, types = [], []
    for number in range(vocabulary):
        if number not in tokens:  # embeddings are padded to a round number
            texts.append(f"[PAD{number}]")
            types.append(gguf.TokenType.UNUSED)
            continue
        texts.append(tokens[number])
        kind = gguf.TokenType.NORMAL
        if number in added:
            kind = gguf.TokenType.CONTROL if added[number].special else gguf.TokenType.USER_DEFINED
        types.append(kind)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in parts["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(texts)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_eot_token_id(end_of_turn(tokenizer))
    if tokenizer.pad_token_id is not None:
        writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id])
    writer.add_add_space_prefix(False)
    writer.add_chat_template(str(tokenizer.chat_template))


def pre_tokenizer(parts: dict[str, Any]) -> str:
    """llama.cpp's name for how the tokenizer cuts text before it merges bytes; a `UserError` where it has none here."""
    if parts["model"]["type"] != "BPE" or parts["model"].get("byte_fallback"):
        raise UserError("the tokenizer is not byte-level BPE")
    if parts.get("normalizer") not in (None, {"type": "NFC"}):
        raise UserError("the tokenizer changes text before it cuts it")
    found = parts["pre_tokenizer"] or {}
    steps = found.get("pretokenizers", [found])
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"] and steps[0]["use_regex"] and not steps[0]["add_prefix_space"]:
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and steps[0]["individual_digits"] and steps[1]["use_regex"]:
        return "smollm"
    if kinds == ["Split", "ByteLevel"] and not steps[1]["use_regex"]:
        pattern = steps[0]["pattern"].get("Regex")
        if pattern in SPLITS:
            return SPLITS[pattern]
    raise UserError(f"the tokenizer cuts text in a way that is not known here ({', '.join(map(str, kinds))})")
