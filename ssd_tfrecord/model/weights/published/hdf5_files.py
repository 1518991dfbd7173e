"""``.h5`` of Keras: HDF5 as Keras writes it, one contiguous piece of numbers a weight.

h5py gives names, types and places; the numbers are read from the file as those of every other
format are, so that no link, filter or virtual dataset is followed.
"""

import math
import time
from collections.abc import Iterator

import h5py
import numpy as np

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.model.weights.published.bounded_file import BoundedFile, shown

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MAX_DEPTH = 32
_MAX_OBJECTS = 50_000
_MAX_NAME = 512
_MAX_DIMENSIONS = 8
# A whole model's description takes 0.1 s; types nested in types, which Keras does not write, take
# the library 2 s for each dataset of them.
_MAX_CPU_SECONDS = 60
_OPTIMIZER = "optimizer_weights"
_FLOATS = {
    **{h5py.h5t.IEEE_F16LE: "<f2", h5py.h5t.IEEE_F32LE: "<f4", h5py.h5t.IEEE_F64LE: "<f8"},
    **{h5py.h5t.IEEE_F16BE: ">f2", h5py.h5t.IEEE_F32BE: ">f4", h5py.h5t.IEEE_F64BE: ">f8"},
}


def matches(file: BoundedFile) -> bool:
    """Whether a file begins with HDF5's signature."""
    return file.head(8) == _SIGNATURE


def read(file: BoundedFile) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads the weights of floats.

    Returns:
        {"conv1_1/kernel:0": array}: the path in the file, without ``model_weights`` of a whole
        model and without the layer's name where Keras 2 says it twice; and no texts.

    Raises:
        InputError: it is damaged, a link leads elsewhere, or its numbers are not stored as Keras
            does.
    """
    arrays: dict[str, np.ndarray] = {}
    try:
        with h5py.File(file.path, "r", locking=False) as content:
            for path, dataset in _datasets(file, content):
                name = _name(path)
                if name in arrays:
                    raise file.refused(f"has {shown(name)} twice")
                array = _array(file, dataset, f"array {shown(path)}")
                if array is not None:
                    arrays[name] = array
    except InputError:
        raise
    # What h5py raises of a damaged file: names that are not UTF-8 are a ValueError.
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, AttributeError):
        raise file.refused("is damaged, or HDF5 that Keras does not write") from None
    return arrays, {}


def _datasets(file: BoundedFile, content: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    open_groups: list[tuple[str, h5py.Group]] = [("", content)]
    num_objects, start = 0, time.thread_time()
    while open_groups:
        prefix, group = open_groups.pop()
        for key in group:
            path = prefix + key
            num_objects += 1
            _check_bounds(file, path, num_objects, time.thread_time() - start)
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise file.refused(f"{shown(path)} is a link; Keras writes none")
            if path == _OPTIMIZER:
                continue
            value = group[key]
            if isinstance(value, h5py.Group):
                open_groups.append((f"{path}/", value))
            elif isinstance(value, h5py.Dataset):
                yield path, value


def _check_bounds(file: BoundedFile, path: str, num_objects: int, seconds: float) -> None:
    if path.count("/") > _MAX_DEPTH:
        raise file.refused(f"groups nested more than {_MAX_DEPTH} deep")
    if num_objects > _MAX_OBJECTS or len(path) > _MAX_NAME:
        raise file.refused(
            f"has more than {_MAX_OBJECTS} objects, or names of {_MAX_NAME} characters"
        )
    if seconds > _MAX_CPU_SECONDS:
        raise file.refused(f"its description takes more than {_MAX_CPU_SECONDS} s to read")


def _name(path: str) -> str:
    words = path.removeprefix("model_weights/").split("/")
    return "/".join(words[1:] if words[:1] == words[1:2] else words)


def _array(file: BoundedFile, dataset: h5py.Dataset, what: str) -> np.ndarray | None:
    # Not dataset.dtype, which takes quadratic time for types nested in types.
    kind, shape = dataset.id.get_type(), dataset.shape
    # Steps and settings: no weights.
    if not isinstance(kind, h5py.h5t.TypeFloatID) or shape is None or 0 in shape:
        return None
    dtype = next((dtype for known, dtype in _FLOATS.items() if kind.equal(known)), None)
    if dtype is None or len(shape) > _MAX_DIMENSIONS:
        raise file.refused(
            f"{what}: not of float16, float32 or float64, or more than {_MAX_DIMENSIONS} dimensions"
        )
    count = math.prod(map(int, shape))
    offset = dataset.id.get_offset()
    # None if it is in chunks (of any compression), virtual, outside of the file, or never written.
    if offset is None or dataset.id.get_storage_size() != count * np.dtype(dtype).itemsize:
        raise file.refused(f"{what}: not in one uncompressed piece, as Keras writes it")
    return file.array_at(offset, dtype, count, what).reshape(shape)
