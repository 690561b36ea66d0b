"""The base as a tuning trains on it: QLoRA over 4-bit weights, 8-bit LoRA over 8-bit ones, the others over its own."""

from bitsandbytes.nn import Linear4bit
from transformers import PreTrainedModel

from tonetune.core.params import Compute
from tonetune.model.base import load_base

QUANTIZATION = {"qlora": "nf4", "lora_8bit": "int8"}
"""train.tuning: how its base is quantised; a tuning that is not here trains over the base's own weights."""


def load_quantised(
    base_model: str, compute: Compute, tuning: str, dequantize: bool = True, attention: str | None = None
) -> PreTrainedModel:
    """The base as `tuning` trains on it: with quantised weights, or, with `dequantize`, with those dequantised."""
    quantization = QUANTIZATION.get(tuning, "none")
    model = load_base(base_model, compute, quantization, attention)
    if dequantize and quantization != "none":
        model = model.dequantize()
        model.is_loaded_in_4bit = model.is_loaded_in_8bit = False
    for layer in model.modules():
        if isinstance(layer, Linear4bit):
            # On a CPU with bfloat16 instructions an evaluation would repack the weights for inference, which passes no
            # gradients: training after it would learn from a part of the model only.
            layer.support_avx512bf16_for_cpu = False
    return model
