"""The base model that `base_model` names: found, dequantised once per machine, loaded."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from tone.errors import UserError
from tone.files import cache_dir, is_whole, locked, seal
from tone.locate import locate
from tone.params import Compute
from tone.quiet import progress_bars_off


def base_folder(base_model: str) -> Path:
    """A local folder (config, safetensors, tokenizer) for `base_model`; a GGUF file is dequantised into the cache."""
    path = locate(base_model, "base_model")
    return dequantised(path) if path.suffix == ".gguf" else path


def dequantised(path: Path) -> Path:
    """The GGUF file's weights as bfloat16 safetensors with the tokenizer, made once per machine and file."""
    status = path.stat()
    key = hashlib.sha256(f"{path.name}/{status.st_size}/{_head_digest(path)}".encode()).hexdigest()[:16]
    folder = cache_dir("base") / f"{path.stem}-{key}"
    if is_whole(folder):
        return folder
    with locked(folder.with_suffix(".lock")):
        if not is_whole(folder):
            if folder.exists():
                print(f"{folder}: damaged or cut short; made again", flush=True)
            print(f"dequantising {path.name} (once per machine)", flush=True)
            _dequantise(path, folder)
    return folder


def _head_digest(path: Path) -> str:
    """A digest of the file's first and last MiB: cheap at every start, and another file's differs."""
    with open(path, "rb") as file:
        head = file.read(1 << 20)
        file.seek(max(0, path.stat().st_size - (1 << 20)))
        return hashlib.sha256(head + file.read()).hexdigest()


@contextmanager
def _read_once() -> Iterator[None]:
    """Within it the gguf library reads a file once and makes its map of names once: transformers, which asks for both again
    for the tokenizer, the config and each tensor, takes half the time.
    """
    import gguf

    with ExitStack() as undo:
        for name in ("GGUFReader", "get_tensor_name_map"):
            usual = getattr(gguf, name)
            undo.callback(setattr, gguf, name, usual)
            setattr(gguf, name, cache(usual))
        yield


def _dequantise(path: Path, folder: Path) -> None:
    try:
        with progress_bars_off(), _read_once():
            tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
            model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.bfloat16)
    except (ValueError, OSError, KeyError) as error:
        raise UserError(
            f"base_model: {path}: not a GGUF file that transformers reads ({str(error).splitlines()[0]})"
        ) from None
    # Without these two, save_pretrained would write the weights as still quantised.
    model.hf_quantizer = None  # type: ignore[assignment]
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    # bfloat16 loses less than the four bits the weights come from
    model.bfloat16()
    model.config.name_or_path = ""
    shutil.rmtree(folder, ignore_errors=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, suffix=".tmp"))
    try:
        with progress_bars_off():
            model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        seal(unfinished)
        os.replace(unfinished, folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def compute_dtype(name: str) -> torch.dtype:
    """The dtype of activations: `auto` is bfloat16 where the device multiplies it natively, else float32, on a GPU
    float16.

    A CPU without bfloat16 instructions (AVX512-BF16 or AMX) emulates them, at an eighth of float32's speed.
    """
    if name != "auto":
        return getattr(torch, name)
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def load_tokenizer(base_model: str) -> PreTrainedTokenizerBase:
    """The base model's tokenizer; it pads on the left for generation."""
    tokenizer = AutoTokenizer.from_pretrained(base_folder(base_model))
    if tokenizer.chat_template is None:
        raise UserError(f"base_model: {base_model!r} has no chat template; choose an instruction-tuned model")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer


def load_base(
    base_model: str, compute: Compute, quantization: str = "none", attention: str = "sdpa"
) -> PreTrainedModel:
    """The base model on the GPU if there is one, else on the CPU; its linear layers in `nf4` or `int8` if asked.

    `attention` is the kernel that `compute.attention: auto` stands for.
    """
    if compute.threads:
        torch.set_num_threads(compute.threads)
        threadpool_limits(compute.threads)  # of the libraries under numpy and scikit-learn
    dtype = compute_dtype(compute.dtype)
    kernel = attention if compute.attention == "auto" else compute.attention
    config = None
    if quantization == "nf4":
        config = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        )
    elif quantization == "int8":
        config = BitsAndBytesConfig(load_in_8bit=True)
    device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"
    # cuDNN's attention makes a plan for every length that it has not met, which takes twice as long as a decoding step.
    torch.backends.cuda.enable_cudnn_sdp(False)
    with progress_bars_off():
        model = AutoModelForCausalLM.from_pretrained(
            base_folder(base_model),
            dtype=dtype,
            attn_implementation=kernel,
            quantization_config=config,
            device_map={"": device},
        )
    # The base's name goes into adapter_config.json, as the user wrote it and not as a folder of this machine.
    model.name_or_path = model.config.name_or_path = base_model
    model.generation_config.pad_token_id = model.generation_config.eos_token_id
    return model.eval()
