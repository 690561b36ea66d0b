"""Bases of many makes: random and tiny, with the architecture, the particulars and the chat template of the real ones.

The templates of the makers are those that TRL ships as published. Those of SmolLM3, Granite and Mistral it does not have:
they are written here to the form that their model cards document, and are marked so.
"""

from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedTokenizerFast

from tests.support.tiny_model import tiny_config


def published(name: str) -> str:
    """A maker's template, byte for byte."""
    return (files("trl") / "chat_templates" / f"{name}.jinja").read_text()


# Documented form: the model card's text of a chat, its thinking switch and its empty thought.
SMOLLM3 = """\
{%- if enable_thinking is not defined -%}{%- set enable_thinking = true -%}{%- endif -%}
{{- '<|im_start|>system\\n## Metadata\\n\\nReasoning Mode: ' + ('/think' if enable_thinking else '/no_think') + '\\n\\n' -}}
{%- if messages[0].role == 'system' -%}{{- '## Custom Instructions\\n\\n' + messages[0].content + '\\n\\n' -}}{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- for message in messages -%}
{%- if message.role == 'user' -%}{{- '<|im_start|>user\\n' + message.content + '<|im_end|>\\n' -}}
{%- elif message.role == 'assistant' -%}
{{- '<|im_start|>assistant\\n' + ('' if enable_thinking else '<think>\\n\\n</think>\\n') + message.content + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' + ('' if enable_thinking else '<think>\\n\\n</think>\\n') -}}
{%- endif -%}"""
# Documented form: roles between tokens of their own, a turn ended by the end of text.
GRANITE = """\
{%- for message in messages %}
{{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + message['content'] + '<|end_of_text|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_of_role|>assistant<|end_of_role|>' }}{%- endif %}"""
# Documented form: no system role, and turns that must alternate.
MISTRAL = """\
{{ bos_token }}{% for message in messages %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
{% endif %}
{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}
{%- else %}{{ message['content'] + eos_token }}{% endif %}
{% endfor %}"""


@dataclass(frozen=True)
class Family:
    """A make of model: its architecture, its template, and the tokens that mark text and turns."""

    model_type: str
    template: str
    end: str
    """The token that ends a turn."""
    marks: tuple[str, ...] = ()
    """Further tokens of its own."""
    bos: str | None = None
    eos: str | None = None
    """None = `end`."""
    config: dict[str, Any] = field(default_factory=dict)
    generation: dict[str, Any] = field(default_factory=dict)
    """What its published generation config sets; `eos` stands for tokens by name."""


CHATML = ("<|im_start|>", "<|endoftext|>")
FAMILIES = {
    "Llama 3": Family(
        "llama",
        published("llama3"),
        "<|eot_id|>",
        ("<|start_header_id|>", "<|end_header_id|>", "<|end_of_text|>"),
        bos="<|begin_of_text|>",
        config={"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
        generation={"eos": ["<|end_of_text|>", "<|eot_id|>"], "do_sample": True, "temperature": 0.6, "top_p": 0.9},
    ),
    "Qwen2.5": Family(
        "qwen2",
        published("qwen2_5"),
        "<|im_end|>",
        CHATML,
        config={"tie_word_embeddings": True},
        generation={"eos": ["<|im_end|>", "<|endoftext|>"], "do_sample": True, "top_k": 20, "repetition_penalty": 1.1},
    ),
    "Qwen3": Family(
        "qwen3",
        published("qwen3"),
        "<|im_end|>",
        (*CHATML, "<think>", "</think>"),
        config={"head_dim": 16, "tie_word_embeddings": True},
        generation={"eos": ["<|im_end|>", "<|endoftext|>"], "do_sample": True, "temperature": 0.6},
    ),
    "SmolLM3": Family(
        "smollm3",
        SMOLLM3,
        "<|im_end|>",
        (*CHATML, "<think>", "</think>"),
        config={"no_rope_layers": [1, 0], "tie_word_embeddings": True},
    ),
    "Gemma 2": Family(
        "gemma2",
        published("gemma"),
        "<end_of_turn>",
        ("<start_of_turn>",),
        bos="<bos>",
        eos="<eos>",
        config={
            "head_dim": 16,
            "query_pre_attn_scalar": 16,
            "sliding_window": 24,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
            "hidden_activation": "gelu_pytorch_tanh",
        },
        generation={"eos": ["<eos>", "<end_of_turn>"]},
    ),
    "Gemma 3": Family(
        "gemma3_text",
        published("gemma3"),
        "<end_of_turn>",
        ("<start_of_turn>",),
        bos="<bos>",
        eos="<eos>",
        config={
            "head_dim": 16,
            "query_pre_attn_scalar": 16,
            "sliding_window": 24,
            "layer_types": ["sliding_attention", "full_attention"],
        },
        generation={"eos": ["<eos>", "<end_of_turn>"], "do_sample": True, "top_k": 64, "top_p": 0.95},
    ),
    "Granite": Family(
        "granite",
        GRANITE,
        "<|end_of_text|>",
        ("<|start_of_role|>", "<|end_of_role|>"),
        config={
            "embedding_multiplier": 12.0,
            "logits_scaling": 8.0,
            "residual_multiplier": 0.22,
            "attention_multiplier": 0.0625,
            "tie_word_embeddings": True,
        },
    ),
    "Phi-3": Family(
        "phi3",
        published("phi3"),
        "<|end|>",
        ("<|user|>", "<|assistant|>", "<|system|>"),
        bos="<s>",
        eos="<|endoftext|>",
        config={"sliding_window": 24},
        generation={"eos": ["<|endoftext|>", "<|assistant|>", "<|end|>"]},
    ),
    "Mistral": Family("mistral", MISTRAL, "</s>", bos="<s>", config={"sliding_window": 24}),
}


def make_tokenizer(family: Family) -> PreTrainedTokenizerFast:
    """A token for each byte, and those that the family's chats are marked with."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    byte_level = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_level.decoder = decoders.ByteLevel()
    named = [family.bos, family.eos or family.end, family.end, *family.marks]
    # As published, what marks a thought is a token, but no special one: it is decoded with the rest.
    for name in dict.fromkeys(name for name in named if name):
        byte_level.add_tokens([AddedToken(name, special="think" not in name, normalized=False)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_level, bos_token=family.bos, eos_token=family.eos or family.end
    )
    tokenizer.chat_template = family.template
    return tokenizer


def make_family(family: Family, folder: Path, **changes: Any) -> Path:
    """Write a random two-layer model of the family with its tokenizer; `changes` are of its config."""
    tokenizer = make_tokenizer(family)
    token = tokenizer.convert_tokens_to_ids
    settings = {
        "vocab_size": len(tokenizer),
        "intermediate_size": 96,
        "max_position_embeddings": 1024,
        "initializer_range": 0.2,
        "bos_token_id": None if family.bos is None else token(family.bos),
        "eos_token_id": token(family.eos or family.end),
        "pad_token_id": token(family.eos or family.end),
    }
    torch.manual_seed(0)
    config = tiny_config(family.model_type, **settings | family.config | changes)
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    published_generation = {key: value for key, value in family.generation.items() if key != "eos"}
    ends = [token(name) for name in family.generation.get("eos", [family.eos or family.end])]
    GenerationConfig(eos_token_id=ends, **published_generation).save_pretrained(folder)
    return folder
