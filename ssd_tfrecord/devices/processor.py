"""The processor: its name, and the vector units that its speed and rounding depend on.

Free of TensorFlow.
"""

import os
import pathlib
import platform
from collections.abc import Collection

# As Linux names them, of x86 and of ARM: those for which TensorFlow or oneDNN has kernels.
_UNITS = (
    *("avx", "avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16", "asimd", "sve", "sve2", "bf16"),
)
_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}
_FILE = "/proc/cpuinfo"


def name(path: str | os.PathLike[str] = _FILE) -> str:
    """The name of the processor if Linux tells it, else the architecture.

    Args:
        path: of Linux's file about the processor.
    """
    # Not platform.processor(), which is empty or the architecture on Linux. ARM has no such line.
    return _first(path, "model name") or platform.machine()


def vector_units(path: str | os.PathLike[str] = _FILE) -> tuple[str, ...]:
    """The vector units in Linux's words, such as ("avx", "avx2", "fma"); empty if it tells none.

    Args:
        path: of Linux's file about the processor.
    """
    # Of ARM, the line is called otherwise.
    words = (_first(path, "flags") or _first(path, "Features")).split()
    return tuple(unit for unit in _UNITS if unit in words)


def multiplies_bfloat16(units: Collection[str]) -> bool:
    """Whether ``units`` multiply bfloat16; without, TensorFlow converts it to float32 and back."""
    return not _BFLOAT16.isdisjoint(units)


def _first(path: str | os.PathLike[str], key: str) -> str:
    """What the file says of the first core under ``key``; "" if it says nothing."""
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    pairs = (line.partition(":") for line in lines)
    return next((text.strip() for word, _, text in pairs if word.strip() == key), "")
