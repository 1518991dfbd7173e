"""What a pickle of torch may name: tensors, their storages, and what training leaves beside them.

A name is looked up in the table below and nowhere else, and a call of it runs the function beside
it here, on values that hold no code. Signatures: torch/_utils.py and torch/storage.py.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from ssd_tfrecord.model.weights.published.bounded_file import shown

_MAX_DIMENSIONS = 8

# Bytes of an element of each storage, and how NumPy reads those of floats; bfloat16 as its 16 bits.
_FLOATS = {"Float": "f4", "Double": "f8", "Half": "f2", "BFloat16": "u2"}
_WIDTHS = {
    **{"Float": 4, "Double": 8, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2},
    **{"Char": 1, "Byte": 1, "Bool": 1, "ComplexFloat": 8, "ComplexDouble": 16, "Untyped": 1},
}


class Refused(ValueError):  # noqa: N818 - said of the pickle
    """Why a pickle is not read, in a few words."""


class Opaque:
    """Stands for what is harmless and no tensor: nothing of it is kept."""


OPAQUE = Opaque()


@dataclasses.dataclass(frozen=True, slots=True)
class Name:
    """What a pickle would import: a text, never looked up."""

    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Storage:
    """Where the numbers of tensors lie.

    Attributes:
        key: of the storage in the file.
        dtype: as NumPy reads it, without byte order; None if they are no floats.
        width: bytes of an element.
        count: elements of the storage in the file.
        start: first element of the part that is meant (views of files before torch 0.4).
        length: elements of that part.
    """

    key: str
    dtype: str | None
    width: int
    count: int
    start: int
    length: int


@dataclasses.dataclass(frozen=True, slots=True)
class Tensor:
    """A view of a storage; shape and strides in elements, checked to lie inside of it."""

    storage: Storage
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def storage_of(
    kind: Name, key: str, location: str, count: int, view: tuple[Any, int, int] | None = None
) -> Storage:
    """The storage that a persistent id means.

    Args:
        kind: the storage type, such as torch.FloatStorage.
        key: of the storage in the file.
        location: the device that it was on.
        count: its elements.
        view: key, first element and elements of a part of it, before torch 0.4.

    Raises:
        Refused: the part is not inside of it.
        TypeError, KeyError, AttributeError: it is no such id.
    """
    name = kind.text.rpartition(".")[2].removesuffix("Storage")
    _, start, length = view or (None, 0, count)
    if not (isinstance(key, str) and _are_sizes((count, start, length), 3)):
        raise TypeError("no storage")
    if start + length > count:
        raise Refused(f"storage {shown(key)} is a view beyond its end")
    return Storage(key, _FLOATS.get(name), _WIDTHS[name], count, start, length)


def _tensor(storage: Storage, start: int, shape: Any, strides: Any, *_: Any) -> Tensor:
    if not (
        isinstance(storage, Storage)
        and _are_sizes((start,), 1)
        and _are_sizes(shape, _MAX_DIMENSIONS)
        and _are_sizes(strides, _MAX_DIMENSIONS)
        and len(shape) == len(strides)
    ):
        raise Refused("a tensor has no sizes or strides as torch writes them")
    last = start + sum((size - 1) * stride for size, stride in zip(shape, strides))
    num_elements = math.prod(shape)
    # More elements than the storage has: an expanded view, of any size in memory.
    if num_elements and (last >= storage.length or num_elements > storage.length):
        raise Refused(
            f"a tensor of shape {shown(shape)} does not fit its storage of {storage.length}"
        )
    return Tensor(storage, storage.start + start, shape, strides)


def _are_sizes(values: Any, most: int) -> bool:
    if type(values) is not tuple or len(values) > most:
        return False
    return all(type(value) is int and 0 <= value < 2**62 for value in values)


def _dictionary(pairs: Any = ()) -> dict[str, Any]:
    # Python 2 writes the pairs as lists in the arguments, Python 3 with SETITEMS.
    if not isinstance(pairs, list | tuple):
        raise TypeError("no pairs")
    return {key: value for key, value in pairs if type(key) is str}


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _opaque(*_: Any) -> Opaque:
    return OPAQUE


def _no_call(*_: Any) -> Any:
    raise Refused("its pickle calls what is no function")


# All names that a pickle may have, and what a call of each gives.
NAMES: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _dictionary,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    **{f"torch.{name}Storage": _no_call for name in _WIDTHS},
    **{f"torch.cuda.{name}Storage": _no_call for name in _WIDTHS},
    "torch.storage.UntypedStorage": _no_call,
    # What training leaves beside the weights: its arguments, schedules and scores.
    **dict.fromkeys(
        (
            *("argparse.Namespace", "collections.Counter", "collections.defaultdict"),
            *("torch.Size", "torch.device", "numpy.dtype", "_codecs.encode"),
            *("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"),
            *(f"torch.{name}" for name in ("float16", "bfloat16", "float32", "float64")),
        ),
        _opaque,
    ),
}
