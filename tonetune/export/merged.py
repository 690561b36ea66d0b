"""Merged weights as a folder that transformers, `transformers serve` and vLLM load: tuned weights, tokenizer, template, sampling."""

from pathlib import Path

from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from tonetune.core.params import Params
from tonetune.core.startup import progress_bars_off
from tonetune.model.chat_template import stop_ids


def write_merged(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, params: Params, folder: Path) -> None:
    """Write the tuned `model`, as `load_tuned` gives it, in the dtype that it is in."""
    model.generation_config = generation_config(model, tokenizer, params)
    model.config.name_or_path = ""
    with progress_bars_off():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def generation_config(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, params: Params) -> GenerationConfig:
    """The sampling of params.yaml and every token that ends an answer: other tools stop at no token that it leaves out."""
    settings = params.evaluate
    sampling = {"do_sample": True, "temperature": settings.temperature, "top_p": settings.top_p, "top_k": 0}
    return GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=sorted(stop_ids(tokenizer, model)),
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=settings.max_new_tokens,
        **(sampling if settings.temperature > 0 else {"do_sample": False}),
    )
