"""``.safetensors``: 8 bytes of length, a JSON header of names, shapes and offsets, then the data.

Format: https://github.com/huggingface/safetensors#format. Read here and not by its library, which
has no bfloat16 for NumPy, and whose header may take 100 MB.
"""

import json
import math
from typing import Any

import numpy as np

from ssd_tfrecord.model.weights.published.bounded_file import BoundedFile, shown

# bfloat16 as the 16 bits that they are.
_DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2"}
_OTHERS = {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F8_E4M3", "F8_E5M2"}
# About 100 bytes an array; the largest published detectors have some thousand arrays.
_MAX_HEADER = 2**20
_MAX_DIMENSIONS = 8


def matches(file: BoundedFile) -> bool:
    """Whether a file begins as a .safetensors does: a length that fits, and a brace."""
    head = file.head(9)
    return len(head) == 9 and head[8:] == b"{" and 2 <= _length(head) <= file.size - 8


def read(file: BoundedFile) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads the arrays of floats, and the texts of ``__metadata__``.

    Raises:
        InputError: the header is no such header, or an array lies outside of the file.
    """
    length = _length(file.head(8))
    if length > _MAX_HEADER:
        raise file.refused(f"its header has {length} bytes, more than {_MAX_HEADER}")
    try:
        header = json.loads(
            file.bytes_at(8, length, "its header").decode(), object_pairs_hook=_unique
        )
    # Not UTF-8, not JSON, a name twice; brackets without end.
    except (ValueError, RecursionError):
        raise file.refused("its header is not the JSON of a .safetensors") from None
    metadata = header.pop("__metadata__", {})
    arrays = {}
    for name, entry in header.items():
        array = _array(file, 8 + length, name, entry)
        if array is not None:
            arrays[name] = array
    texts = metadata.items() if isinstance(metadata, dict) else ()
    return arrays, {key: text for key, text in texts if isinstance(text, str)}


def _length(head: bytes) -> int:
    return int.from_bytes(head[:8], "little")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        raise ValueError("a name twice")
    return entries


def _array(file: BoundedFile, start: int, name: str, entry: Any) -> np.ndarray | None:
    what = f"array {shown(name)}"
    entry = entry if isinstance(entry, dict) else {}
    dtype, shape, offsets = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    if isinstance(dtype, str) and dtype in _OTHERS:
        return None
    known = isinstance(dtype, str) and dtype in _DTYPES
    if not (known and _are_sizes(shape, _MAX_DIMENSIONS) and _are_sizes(offsets, 2)):
        raise file.refused(f"{what}: no dtype, shape and data_offsets as in a .safetensors")
    count = math.prod(shape)
    if len(offsets) != 2 or offsets[1] - offsets[0] != count * np.dtype(_DTYPES[dtype]).itemsize:
        raise file.refused(f"{what}: shape {shown(shape)} does not fit its data_offsets")
    if not count:
        return None
    return file.array_at(start + offsets[0], _DTYPES[dtype], count, what).reshape(shape)


def _are_sizes(values: Any, most: int) -> bool:
    if not isinstance(values, list) or len(values) > most:
        return False
    return all(type(value) is int and value >= 0 for value in values)
