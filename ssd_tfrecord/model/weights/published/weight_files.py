"""Files of published weights, told apart by their bytes and read as arrays without running any.

Free of TensorFlow and torch.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from ssd_tfrecord.model.weights.published import (
    caffe_files,
    hdf5_files,
    safetensors_files,
    torch_files,
)
from ssd_tfrecord.model.weights.published.bounded_file import BoundedFile

_Read = Callable[[BoundedFile], tuple[dict[str, np.ndarray], dict[str, str]]]
# In this order: what has a signature first, what has none (protobuf) last.
_KINDS: dict[str, tuple[Callable[[BoundedFile], bool], _Read]] = {
    "torch": (torch_files.matches_zip, torch_files.read_zip),
    "torch_legacy": (torch_files.matches_legacy, torch_files.read_legacy),
    "keras_h5": (hdf5_files.matches, hdf5_files.read),
    "safetensors": (safetensors_files.matches, safetensors_files.read),
    "caffe": (caffe_files.matches, caffe_files.read),
}

# What a file that is none of the kinds turns out to be, by what it begins with.
_OTHERS = {
    b"version https://git-lfs": "a pointer of Git LFS and not the file (git lfs pull fetches it)",
    b"<!doctype": "a web page and not the file; the download went wrong",
    b"<html": "a web page and not the file; the download went wrong",
    b"sys_info\0": "a tar archive, as torch wrote until 2017; save it again with a later torch",
    b"pk\3\4": "a zip archive without the data.pkl of torch.save",
    b"\x80": "a pickle that torch.save did not write; pickles can run code and are not read",
}


class Arrays(Mapping[str, np.ndarray]):
    """{name: array of float32 or float64}, kept as they are in the file until they are asked for.

    Half the bytes of a file of float16 or bfloat16 would otherwise be there three times.
    """

    def __init__(self, stored: Mapping[str, np.ndarray]) -> None:
        self._stored = dict(stored)

    def __getitem__(self, name: str) -> np.ndarray:
        array = self._stored[name]
        # NumPy has no bfloat16: they are the upper halves of float32.
        if array.dtype.kind == "u":
            return np.asarray(array.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return array.astype(np.float64 if array.dtype.itemsize == 8 else np.float32, copy=False)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


@dataclasses.dataclass(frozen=True)
class WeightFile:
    """What a file of weights holds.

    Attributes:
        kind: torch, torch_legacy, safetensors, caffe or keras_h5.
        arrays: {name: array of float32 or float64}, not to be written to; those of integers are
            left out.
        metadata: texts that the file holds beside its arrays (safetensors).
    """

    kind: str
    arrays: Mapping[str, np.ndarray]
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """The kind of a file by its first and last bytes, whatever its name; None if it is none.

    Raises:
        InputError: there is no such file, or it is a damaged zip archive.
    """
    with BoundedFile(path) as file:
        return _kind(file)


def read(path: str | os.PathLike[str]) -> WeightFile:
    """Reads all arrays of floats of a file; nothing in it is imported, called or executed.

    Raises:
        InputError: there is no such file, it is none of the known kinds, it holds something else
            than arrays, or it claims more than it has.
    """
    with BoundedFile(path) as file:
        kind = _kind(file)
        if kind is None:
            raise file.refused(_what_else(file.head(512)))
        stored, metadata = _KINDS[kind][1](file)
        if not stored:
            raise file.refused("holds no arrays of floats")
        return WeightFile(kind, Arrays(stored), metadata)


def _kind(file: BoundedFile) -> str | None:
    return next((kind for kind, (matches, _) in _KINDS.items() if matches(file)), None)


def _what_else(head: bytes) -> str:
    """What a file is that is none of the kinds, from its first bytes."""
    if not head:
        return "empty"
    head = head.lstrip().lower()
    what = (what for start, what in _OTHERS.items() if head.startswith(start))
    return next(what, "none of the kinds that are read, by its first bytes")
