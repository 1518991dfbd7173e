"""``.pth`` and ``.pt`` of torch.save: the zip layout since torch 1.6, and the one before.

Zip: ``<root>/data.pkl``, whose tensors refer to ``<root>/data/<key>``, raw and uncompressed, and
``<root>/byteorder``. Before: five pickles (a magic number, the protocol 1001, facts of the system,
the object, the keys of its storages), then of each storage its count in 8 bytes and its data, which
are little-endian on every machine. Read from torch/serialization.py of torch 2.13.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ssd_tfrecord.model.weights.published.bounded_file import BoundedFile, shown
from ssd_tfrecord.model.weights.published.pickle_reader import MAX_BYTES, Unpickled, unpickle
from ssd_tfrecord.model.weights.published.torch_tensors import Storage, Tensor
from ssd_tfrecord.model.weights.published.zip_directory import Entry, directory_of

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_MAX_DEPTH = 16
_MAX_NAMES = 50_000
_MAX_NAME = 512
_ORDERS = {b"little": "<", b"big": ">"}


def matches_zip(file: BoundedFile) -> bool:
    """Whether a file is a zip archive with a pickle where torch puts it."""
    return file.head(4) == b"PK\3\4" and _pickle_of(directory_of(file)) is not None


def matches_legacy(file: BoundedFile) -> bool:
    """Whether a file begins with the pickle of torch's magic number."""
    head = file.head(32)
    # With protocol 4 in a frame, so not at a fixed place.
    return head[:1] == b"\x80" and b"\x8a\x0a" + _LEGACY_MAGIC.to_bytes(10, "little") + b"." in head


def read_zip(file: BoundedFile) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads the tensors of floats of the zip layout: {names joined by dots: array}.

    Raises:
        InputError: it holds or asks for anything but tensors, or is damaged.
    """
    directory = directory_of(file)
    pickle = _pickle_of(directory)
    if pickle is None:
        raise file.refused("has no data.pkl")
    root = pickle.name.removesuffix("data.pkl")
    if pickle.size > MAX_BYTES:
        raise file.refused(f"{shown(pickle.name)} has {pickle.size} bytes, more than {MAX_BYTES}")
    data = file.bytes_at(pickle.place(file), pickle.size, shown(pickle.name))
    _check_sum(file, pickle, data)
    order = _byte_order(file, directory.get(f"{root}byteorder"))

    def read_storage(storage: Storage) -> np.ndarray:
        what = f"storage {shown(storage.key)}"
        entry = directory.get(f"{root}data/{storage.key}")
        if entry is None:
            raise file.refused(f"{what} is not in the file")
        needed = storage.count * storage.width
        if entry.size != needed:
            raise file.refused(f"{what} has {entry.size} bytes; its tensors need {needed}")
        array = file.array_at(entry.place(file), f"{order}{storage.dtype}", storage.count, what)
        _check_sum(file, entry, array.view(np.uint8).data)
        return array

    return _arrays(file, unpickle(data, 0, file.refused).value, read_storage), {}


def read_legacy(file: BoundedFile) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads the tensors of floats of the layout before torch 1.6: {names joined by dots: array}.

    Raises:
        InputError: it holds or asks for anything but tensors, or is damaged.
    """
    content, keys = _legacy_pickles(file)
    places = _legacy_places(file, content.storages, keys)

    def read_storage(storage: Storage) -> np.ndarray:
        what = f"storage {shown(storage.key)}"
        if storage.key not in places:
            raise file.refused(f"{what} is not in the file")
        return file.array_at(places[storage.key], f"<{storage.dtype}", storage.count, what)

    return _arrays(file, content.value, read_storage), {}


def _legacy_pickles(file: BoundedFile) -> tuple[Unpickled, Unpickled]:
    """The object and the keys of its storages."""
    head = file.head(MAX_BYTES)
    magic = unpickle(head, 0, file.refused)
    protocol = unpickle(head, magic.end, file.refused)
    if protocol.value != _LEGACY_PROTOCOL:
        raise file.refused(f"protocol {shown(protocol.value)}; must be {_LEGACY_PROTOCOL}")
    system = unpickle(head, protocol.end, file.refused)
    content = unpickle(head, system.end, file.refused)
    return content, unpickle(head, content.end, file.refused)


def _legacy_places(
    file: BoundedFile, storages: dict[str, Storage], keys: Unpickled
) -> dict[str, int]:
    """{key: offset of the numbers of a storage}."""
    places: dict[str, int] = {}
    offset = keys.end
    for key in keys.value if isinstance(keys.value, list) else ():
        # A text as in the tensors' references, so that anything else is not among them.
        storage = storages.get(key) if isinstance(key, str) else None
        what = f"storage {shown(key)}"
        if storage is None or key in places:
            raise file.refused(f"{what} belongs to no tensor")
        count = int.from_bytes(file.bytes_at(offset, 8, what), "little")
        if count != storage.count:
            raise file.refused(f"{what} has {count} values; its tensors need {storage.count}")
        places[key] = offset + 8
        offset += 8 + count * storage.width
    return places


def _pickle_of(directory: dict[str, Entry]) -> Entry | None:
    """``<root>/data.pkl``; None if there is none, or several."""
    pickles = [
        entry
        for name, entry in directory.items()
        if name.endswith("/data.pkl") and name.count("/") == 1
    ]
    return pickles[0] if len(pickles) == 1 else None


def _byte_order(file: BoundedFile, entry: Entry | None) -> str:
    # Written since torch 2.1; before, big-endian machines wrote their own order without a word.
    if entry is None:
        return "<"
    text = file.bytes_at(entry.place(file), min(entry.size, 16), "its byte order")
    if text not in _ORDERS:
        raise file.refused(f"byte order {shown(text)}; must be little or big")
    return _ORDERS[text]


def _check_sum(file: BoundedFile, entry: Entry, data: bytes | memoryview) -> None:
    # 0: written under torch.serialization.set_crc32_options(False).
    if entry.crc not in (0, zlib.crc32(data)):
        raise file.refused(f"{shown(entry.name)} is damaged: its checksum is wrong")


def _arrays(
    file: BoundedFile, content: Any, read_storage: Callable[[Storage], np.ndarray]
) -> dict[str, np.ndarray]:
    """{name: view of the storages}; each storage is read once, and only those of floats."""
    storages: dict[tuple[str, str | None], np.ndarray] = {}
    arrays: dict[str, np.ndarray] = {}
    num_bytes = 0
    for name, tensor in _named_tensors(file, content):
        storage = tensor.storage
        if storage.dtype is None or 0 in tensor.shape:
            continue
        if name in arrays or len(arrays) == _MAX_NAMES:
            raise file.refused(f"has {shown(name)} twice, or more than {_MAX_NAMES} tensors")
        if (storage.key, storage.dtype) not in storages:
            storages[storage.key, storage.dtype] = read_storage(storage)
        strides = [stride * storage.width for stride in tensor.strides]
        start = storages[storage.key, storage.dtype][tensor.start :]
        arrays[name] = as_strided(start, tensor.shape, strides, writeable=False)
        num_bytes += arrays[name].nbytes
        # Views cost nothing here, but whoever copies each of them pays. Twice: weights may be tied.
        if num_bytes > 2 * file.size:
            raise file.refused("its tensors together are more than twice the file")
    return arrays


def _named_tensors(file: BoundedFile, content: Any) -> Iterator[tuple[str, Tensor]]:
    """All tensors in dictionaries of dictionaries: ``{"model": {"vgg.0.weight": …}}``."""
    open_dictionaries = [("", 0, content)]
    num_entries = 0
    while open_dictionaries:
        prefix, depth, dictionary = open_dictionaries.pop()
        if not isinstance(dictionary, dict):
            raise file.refused("holds no dictionary of tensors")
        num_entries += len(dictionary)
        if depth > _MAX_DEPTH or num_entries > 4 * _MAX_NAMES:
            raise file.refused(
                f"dictionaries nested more than {_MAX_DEPTH} deep, or more than "
                f"{4 * _MAX_NAMES} entries"
            )
        for key, value in dictionary.items():
            if len(prefix) + len(key) > _MAX_NAME:
                raise file.refused(f"a name of more than {_MAX_NAME} characters")
            if isinstance(value, Tensor):
                yield prefix + key, value
            elif isinstance(value, dict):
                open_dictionaries.append((f"{prefix}{key}.", depth + 1, value))
