"""The base model that `base_model` names: found, dequantised once per machine, loaded, in 4 or 8 bits where that is asked for."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import torch
from threadpoolctl import threadpool_limits
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from tonetune.core.errors import UserError
from tonetune.core.params import Compute, Params
from tonetune.core.startup import progress_bars_off
from tonetune.model.chat_template import adapt_template
from tonetune.model.gguf import dequantised
from tonetune.model.head import check_parts
from tonetune.model.kernels.grouped_attention import ARCHITECTURES, GROUPED
from tonetune.model.locate import locate


def base_folder(base_model: str) -> Path:
    """A local folder (config, safetensors, tokenizer) for `base_model`; a GGUF file is dequantised into the cache."""
    path = locate(base_model, "base_model")
    return dequantised(path) if path.suffix == ".gguf" else path


def compute_dtype(name: str) -> torch.dtype:
    """The dtype `compute.dtype` names; `auto`: bfloat16 if the device has it, else float16 on a GPU, float32 on a CPU.

    What has no instructions for it emulates bfloat16: a CPU without AVX512-BF16 or AMX at an eighth of float32's speed, a
    GPU below compute capability 8 (T4, V100) at a fraction of float16's.
    """
    if name != "auto":
        return getattr(torch, name)
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def load_tokenizer(
    base_model: str, chat_template_kwargs: Mapping[str, object] = MappingProxyType({})
) -> PreTrainedTokenizerBase:
    """The base model's tokenizer, its chat template adapted; it pads on the left for generation.

    `chat_template_kwargs` are the variables of the template that params.yaml sets. A `UserError` if the template cannot
    be used.
    """
    folder = base_folder(base_model)
    with _failure_named(base_model):
        tokenizer = AutoTokenizer.from_pretrained(folder)
    adapt_template(tokenizer, base_model, chat_template_kwargs)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer


def load_base(
    base_model: str, compute: Compute, quantization: str = "none", attention: str | None = None
) -> PreTrainedModel:
    """The base model on the GPU if there is one, else on the CPU; its linear layers in `nf4` or `int8` if asked.

    `attention` is the kernel that `compute.attention: auto` stands for where the architecture can have it; None = the
    library's choice. A `UserError` names a model that transformers cannot load, or whose parts are not where they are
    looked for.
    """
    if compute.threads:
        torch.set_num_threads(compute.threads)
        threadpool_limits(compute.threads)  # of the libraries under numpy and scikit-learn
    dtype = compute_dtype(compute.dtype)
    config = None
    if quantization == "nf4":
        config = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        )
    elif quantization == "int8":
        config = BitsAndBytesConfig(load_in_8bit=True)
    device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"
    # cuDNN's attention compiles a plan for each new sequence length, which takes twice as long as a decoding step.
    torch.backends.cuda.enable_cudnn_sdp(False)
    folder = base_folder(base_model)
    with progress_bars_off(), _failure_named(base_model):
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            attn_implementation=_kernel(folder, compute.attention, attention),
            quantization_config=config,
            device_map={"": device},
        )
    check_parts(model, base_model)
    # The base's name goes into adapter_config.json, as the user wrote it and not as a folder of this machine.
    model.name_or_path = model.config.name_or_path = base_model
    ends = model.generation_config.eos_token_id
    # Of its generation settings only the tokens: how to sample is always said, and a checkpoint with a temperature that
    # do_sample does not go with could not be written.
    model.generation_config = GenerationConfig(
        bos_token_id=model.generation_config.bos_token_id,
        eos_token_id=ends,
        pad_token_id=ends[0] if isinstance(ends, list) else ends,
    )
    return model.eval()


def load_other(name: str, params: Params, knob: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model `name`, in base_model's forms, and its tokenizer; a `UserError` about `knob`, which names it, if that fails."""
    try:
        tokenizer = load_tokenizer(name, params.chat_template_kwargs)
        return load_base(name, params.compute), tokenizer
    except UserError as error:
        raise UserError(str(error).replace("base_model", knob, 1)) from None
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(f"{knob}: {name!r}: not loaded ({str(error).splitlines()[0][:200]})") from None


@contextmanager
def _failure_named(base_model: str) -> Iterator[None]:
    """Whatever transformers raises while it loads, as a `UserError` that names the model."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, AttributeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise UserError(f"base_model: {base_model!r}: not loaded ({reason})") from None


def _kernel(folder: Path, chosen: str, fast: str | None) -> str | None:
    """What to attend with: `chosen`; for `auto` the `fast` kernel where it is known to be right; None = as transformers chooses.

    `GROUPED` knows nothing of the caps and sinks that some architectures put on their attention.
    """
    if chosen != "auto":
        return chosen
    return None if fast == GROUPED and AutoConfig.from_pretrained(folder).model_type not in ARCHITECTURES else fast
