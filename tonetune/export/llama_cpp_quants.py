"""The formats that the `gguf` package reads and does not write, written by llama.cpp's own code, which xllamacpp brings."""

import ctypes
import importlib.util

import gguf
import numpy as np

from tonetune.core.errors import UserError


def quantize(values: np.ndarray, kind: gguf.GGMLQuantizationType) -> np.ndarray:
    """(rows, width) in float32 as (rows, bytes); a `UserError` where llama.cpp is not there.

    The width must be a multiple of the format's block.
    """
    rows, width = values.shape
    block, size = gguf.GGML_QUANT_SIZES[kind]
    source = np.ascontiguousarray(values, dtype=np.float32)
    made = np.zeros((rows, width // block * size), dtype=np.uint8)
    written = _function(kind)(kind, source.ctypes.data, made.ctypes.data, 0, rows, width, None)
    assert written == made.nbytes, f"{kind.name}: {written} bytes written of {made.nbytes}"
    return made


def _function(kind: gguf.GGMLQuantizationType) -> "ctypes._NamedFuncPointer":
    found = importlib.util.find_spec("xllamacpp") and importlib.util.find_spec("xllamacpp.xllamacpp")
    try:
        function = ctypes.CDLL(str(found.origin)).ggml_quantize_chunk if found else None
    except (OSError, AttributeError):
        function = None
    if function is None:
        raise UserError(f"--type {kind.name.lower()} needs llama.cpp: `.venv/bin/pip install '.[llamacpp]'` brings it")
    function.restype = ctypes.c_size_t
    pointer, count = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = [ctypes.c_int, pointer, pointer, count, count, count, pointer]
    return function
