"""A GGUF file for llama.cpp, Ollama and LM Studio from a folder of merged weights of a Llama or Qwen2."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors import safe_open
from tqdm import tqdm
from transformers import AutoConfig, AutoTokenizer

from tonetune.core.errors import UserError
from tonetune.export.gguf_tokenizer import add_tokenizer
from tonetune.export.llama_cpp_quants import quantize
from tonetune.export.provenance import Provenance

ARCHITECTURES = {"llama": gguf.MODEL_ARCH.LLAMA, "qwen2": gguf.MODEL_ARCH.QWEN2}
TYPES = {
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
    "q4_1": (gguf.GGMLQuantizationType.Q4_1, gguf.LlamaFileType.MOSTLY_Q4_1),
    "q4_k": (gguf.GGMLQuantizationType.Q4_K, gguf.LlamaFileType.MOSTLY_Q4_K_S),
}
FEW_BITS = ("Q4_1", "Q4_K")


def write_gguf(merged: Path, file: Path, kind: str, source: Provenance) -> None:
    """Write the weights in the folder `merged` as `kind` (a key of TYPES); vectors stay in float32.

    A `UserError` if the architecture or the tokenizer has no form here: it names llama.cpp's own converter.
    """
    config = AutoConfig.from_pretrained(merged)
    tokenizer = AutoTokenizer.from_pretrained(merged)
    problem = unsupported(config)
    if problem is None:
        writer = gguf.GGUFWriter(file, gguf.MODEL_ARCH_NAMES[ARCHITECTURES[config.model_type]])
        add_header(writer, config, source, TYPES[kind][1])
        try:
            add_tokenizer(writer, tokenizer, config.vocab_size)
        except UserError as error:
            problem = str(error)
    if problem is not None:
        raise UserError(
            f"base_model: {source.base.base_model!r}: {problem}; `export merged` and then llama.cpp's "
            f"`python convert_hf_to_gguf.py <the merged folder> --outtype {kind}`"
        )
    for name, values in named_tensors(merged, config):
        dtype = stored_as(name, values, TYPES[kind][0])
        written = quantize(values, dtype) if dtype.name == "Q4_K" else gguf.quants.quantize(values, dtype)
        writer.add_tensor(name, written, raw_dtype=dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def stored_as(name: str, values: np.ndarray, kind: gguf.GGMLQuantizationType) -> gguf.GGMLQuantizationType:
    """How one tensor is stored in a file of this kind: the embeddings and the head never in less than 8 bits.

    Rows that are no multiple of q4_k's 256 are q5_0, as with llama.cpp's own converter; else f16 where a kind doesn't fit.
    """
    if values.ndim == 1:
        return gguf.GGMLQuantizationType.F32
    if kind.name in FEW_BITS and name in ("token_embd.weight", "output.weight"):
        kind = gguf.GGMLQuantizationType.Q8_0

    def fits(kind: gguf.GGMLQuantizationType) -> bool:
        return values.shape[-1] % gguf.GGML_QUANT_SIZES[kind][0] == 0

    if kind.name == "Q4_K" and not fits(kind):
        kind = gguf.GGMLQuantizationType.Q5_0
    return kind if fits(kind) else gguf.GGMLQuantizationType.F16


def unsupported(config: Any) -> str | None:
    """Why this architecture cannot be written, or None."""
    if config.model_type not in ARCHITECTURES:
        return f"architecture {config.model_type!r} is not written here, only {' and '.join(ARCHITECTURES)}"
    rope = config.rope_parameters or {}
    if rope.get("rope_type", "default") != "default":
        return f"rope_type {rope['rope_type']!r} is not written here"
    if getattr(config, "use_sliding_window", False):
        return "its sliding window is not written here"
    return None


def add_header(writer: gguf.GGUFWriter, config: Any, source: Provenance, file_type: gguf.LlamaFileType) -> None:
    """The model's shape, and what it is."""
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(source.name)
    writer.add_description(source.disclosure)
    if source.base.licence:
        writer.add_license(source.base.licence)
    if source.base.languages:
        writer.add_languages(list(source.base.languages))
    writer.add_string("tonetune.base_model", source.base.base_model)
    writer.add_string("tonetune.quantised", source.base.quantised or "no")
    writer.add_string("tonetune.data", source.data or "unknown")
    writer.add_string("tonetune.commit", source.commit or "unknown")
    writer.add_string("tonetune.system_prompt", source.system_prompt)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(head)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def named_tensors(merged: Path, config: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Each tensor under llama.cpp's name, in float32, the heads' rows in llama.cpp's order."""
    names = gguf.get_tensor_name_map(ARCHITECTURES[config.model_type], config.num_hidden_layers)
    for path in tqdm(sorted(merged.glob("*.safetensors")), desc="writing GGUF", unit="file", leave=False):
        with safe_open(path, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118  (it is no mapping)
                if name == "lm_head.weight" and config.tie_word_embeddings:
                    continue
                new = names.get_name(name, try_suffixes=(".weight", ".bias"))
                if new is None:
                    raise UserError(f"{path}: {name} has no place in a GGUF file of this architecture")
                values = weights.get_tensor(name)
                if config.model_type == "llama" and (".q_proj." in name or ".k_proj." in name):
                    heads = config.num_attention_heads if ".q_proj." in name else config.num_key_value_heads
                    values = interleaved(values, heads)
                yield new, values.float().numpy()


def interleaved(values: torch.Tensor, heads: int) -> torch.Tensor:
    """The rows of each head in the order in which llama.cpp rotates a Llama's queries and keys: pairs side by side."""
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)
