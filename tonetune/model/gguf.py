"""GGUF files: dequantised once per machine into a folder that transformers loads."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tonetune.core.errors import UserError
from tonetune.core.files import cache_dir, is_whole, locked, replacing_folder, seal
from tonetune.core.startup import progress_bars_off
from tonetune.model.fingerprint import fingerprint


def dequantised(path: Path) -> Path:
    """The GGUF file's weights as bfloat16 safetensors with the tokenizer, made once per machine and content."""
    folder = cache_dir("base") / f"{path.stem}-{fingerprint(path)}"
    if is_whole(folder):
        return folder
    with locked(folder.with_suffix(".lock")):
        if not is_whole(folder):
            if folder.exists():
                print(f"{folder}: damaged or cut short; made again", flush=True)
            print(f"dequantising {path.name} (once per machine)", flush=True)
            _dequantise(path, folder)
    return folder


@contextmanager
def _cached_reader() -> Iterator[None]:
    """Within it the gguf library caches its reader of a file and its map of tensor names.

    transformers asks for them again for the tokenizer, the config and each tensor; cached, loading takes half the time.
    """
    import gguf

    with ExitStack() as stack:
        for name in ("GGUFReader", "get_tensor_name_map"):
            original = getattr(gguf, name)
            stack.callback(setattr, gguf, name, original)
            setattr(gguf, name, cache(original))
        yield


def _dequantise(path: Path, folder: Path) -> None:
    try:
        with progress_bars_off(), _cached_reader():
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
    with replacing_folder(folder) as unfinished:
        with progress_bars_off():
            model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        seal(unfinished)
