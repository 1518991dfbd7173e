"""What travels over the link: messages of plain values and arrays, as bytes.

A frame is a prefix (magic, version, sort, lengths), a JSON header, and the arrays' bytes one after
another. Whoever sends is not trusted: every length is checked before anything is allocated, a type
is one of a list, and nothing is unpickled.
"""

import enum
import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MAGIC = b"SSDL"
VERSION = 1

MAX_ARRAY_BYTES = 2**31
MAX_HEADER_BYTES = 2**24
# Before it is known who speaks.
MAX_HELLO_BYTES = 2**20

# Magic, version, sort, bytes of the header, bytes of the arrays. The first two stay where they are
# in every version.
_PREFIX = struct.Struct("<4sBBIQ")

_MAX_DIMENSIONS = 32

# dtype.str of what may be sent: little endian on the wire.
_DTYPES = frozenset(
    "|b1 |i1 |u1 <i2 <i4 <i8 <u2 <u4 <u8 <f2 <f4 <f8 <c8 <c16".split()  # noqa: SIM905
)


class FrameError(ValueError):
    """Bytes that are no frame, or none that is allowed."""


class VersionError(FrameError):
    """A frame of another version of this protocol."""


class Sort(enum.IntEnum):
    """What a frame is for."""

    HEARTBEAT = 0
    HELLO = 1  # a follower says who it is
    WELCOME = 2  # the leader has no objection; it says who it is
    REFUSAL = 3  # it has one
    START = 4  # all workers are there
    TOLD = 5  # leader to follower
    ANSWER = 6  # follower to leader, to what it was told
    REPORT = 7  # follower to leader, unasked
    LOST = 8  # the leader says which worker is gone
    GOODBYE = 9  # nothing follows, and that is in order


@dataclass(frozen=True)
class Message:
    """What one worker says to another.

    Attributes:
        kind: what it is about; a word that both sides know.
        values: plain ones, as JSON has them: numbers (NaN and infinities too), strings, booleans,
            None, lists, and dicts whose keys are strings. Tuples arrive as lists.
        arrays: numbers or booleans of any shape; they arrive equal in dtype, shape and bits, and
            may be written to. 2 GiB together at most.
    """

    kind: str
    values: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Frame:
    """A message as it travels.

    Attributes:
        sort: what it is for.
        message: its content; empty for a heartbeat.
        number: of a message of the leader, counted from 1, or of the one that this answers.
    """

    sort: Sort
    message: Message = field(default_factory=lambda: Message(""))
    number: int = 0


def pack(frame: Frame) -> bytes:
    """The bytes of a frame.

    Raises:
        ValueError: a value is not as ``Message`` wants it, or it is all too large.
    """
    message = frame.message
    layouts, parts = _packed_arrays(message)
    header = {
        "kind": message.kind,
        "number": frame.number,
        "values": message.values,
        "arrays": layouts,
    }
    try:
        text = json.dumps(header, separators=(",", ":")).encode("ascii")
    except TypeError as error:
        raise ValueError(f"message '{message.kind}': {error}") from None
    if len(text) > MAX_HEADER_BYTES:
        raise ValueError(
            f"message '{message.kind}': its values have {len(text):,} bytes, more than "
            f"{MAX_HEADER_BYTES:,}; send them as arrays"
        )
    prefix = _PREFIX.pack(MAGIC, VERSION, frame.sort, len(text), sum(map(len, parts)))
    return b"".join([prefix, text, *parts])


def _packed_arrays(message: Message) -> tuple[list[list[Any]], list[bytes]]:
    """[[name, dtype, shape]] and the bytes of each array."""
    layouts, parts = [], []
    total = 0
    for name, value in message.arrays.items():
        array = np.asarray(value)
        array = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        if array.dtype.str not in _DTYPES:
            raise ValueError(
                f"message '{message.kind}': array '{name}' has dtype {array.dtype}; only numbers "
                "and booleans travel"
            )
        total += array.nbytes
        if total > MAX_ARRAY_BYTES:
            raise ValueError(
                f"message '{message.kind}': its arrays have more than {MAX_ARRAY_BYTES:,} bytes, "
                f"up to '{name}' {total:,}"
            )
        layouts.append([name, array.dtype.str, array.shape])
        parts.append(array.tobytes())
    return layouts, parts


def unpack(
    read_fn: Callable[[memoryview], None],
    *,
    max_header: int = MAX_HEADER_BYTES,
    max_arrays: int = MAX_ARRAY_BYTES,
) -> Frame:
    """Reads one frame.

    Args:
        read_fn: fills the buffer that it is given with what comes next.
        max_header: bytes of the JSON header that are read.
        max_arrays: bytes of all arrays that are read.

    Returns:
        The frame; its arrays have memory of their own.

    Raises:
        FrameError: what came is no frame, or a larger one.
        VersionError: it is of another version.
    """
    magic, version, sort, header_bytes, array_bytes = _PREFIX.unpack(
        _read(read_fn, _PREFIX.size).tobytes()
    )
    if magic != MAGIC:
        raise FrameError(f"begins with {magic!r}")
    if version != VERSION:
        raise VersionError(f"version {version} of the link, but this is {VERSION}")
    if header_bytes > max_header or array_bytes > max_arrays:
        raise FrameError(f"is too large: {header_bytes:,} + {array_bytes:,} bytes")
    if sort not in set(Sort):
        raise FrameError(f"is of an unknown sort, {sort}")
    header = _parsed(_read(read_fn, header_bytes).tobytes())
    layouts = [_layout(described) for described in header["arrays"]]
    if len({name for name, _, _ in layouts}) != len(layouts):
        raise FrameError("has two arrays of one name")
    if sum(_num_bytes(dtype, shape) for _, dtype, shape in layouts) != array_bytes:
        raise FrameError("announces other arrays than it has")
    arrays = {
        name: _read(read_fn, _num_bytes(dtype, shape)).view(dtype).reshape(shape)
        for name, dtype, shape in layouts
    }
    message = Message(header["kind"], header["values"], arrays)
    return Frame(Sort(sort), message, header["number"])


def _read(read_fn: Callable[[memoryview], None], num_bytes: int) -> np.ndarray:
    # Its pages are not the process's before they are written to, whatever a stranger announces.
    buffer = np.empty(num_bytes, np.uint8)
    if num_bytes:
        read_fn(buffer.data)
    return buffer


_HEADER = {"kind": str, "number": int, "values": dict, "arrays": list}


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise FrameError("has a header that is not JSON") from None
    if not isinstance(header, dict) or set(header) != set(_HEADER):
        raise FrameError("has a header of other keys")
    for key, kind in _HEADER.items():
        if type(header[key]) is not kind:
            raise FrameError(f"has a header whose '{key}' is no {kind.__name__}")
    return header


def _layout(described: object) -> tuple[str, np.dtype, tuple[int, ...]]:
    if not isinstance(described, list) or len(described) != 3:
        raise FrameError("has an array without name, dtype and shape")
    name, dtype, shape = described
    if not isinstance(name, str) or not isinstance(dtype, str) or dtype not in _DTYPES:
        raise FrameError(f"has an array of dtype {str(dtype)[:20]!r}")
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS:
        raise FrameError("has an array without a shape")
    # NumPy multiplies the dimensions of an empty array, too.
    possible = all(type(size) is int and size >= 0 for size in shape)
    if not possible or math.prod(max(1, size) for size in shape) > MAX_ARRAY_BYTES:
        raise FrameError("has an array of an impossible shape")
    return name, np.dtype(dtype), tuple(shape)


def _num_bytes(dtype: np.dtype, shape: tuple[int, ...]) -> int:
    return dtype.itemsize * math.prod(shape)
