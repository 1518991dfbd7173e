"""Caches of records or decoded images: each is a ``reading.RecordSource``."""

import dataclasses
import hashlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import tensorflow as tf
import tqdm

from ssd_tfrecord.data import footprint, rendering
from ssd_tfrecord.data.cache_folder import DamagedCacheError, loaded_or_filled
from ssd_tfrecord.data.passes import Wait
from ssd_tfrecord.data.reading import RecordReader, RecordSource, jpeg_cuts, jpeg_window
from ssd_tfrecord.errors import DamagedRecordError, InputError
from ssd_tfrecord.options import ReadOptions
from ssd_tfrecord.records import schema
from ssd_tfrecord.records.manifest import Manifest

_Item = TypeVar("_Item")

_FOUND, _RECORDS, _PIXELS = "found.npy", "records.tfrecord", "pixels.bin"


def opened(
    manifests: Sequence[Manifest], options: ReadOptions, wait: Wait | None = None
) -> RecordSource:
    """The source that ``pipeline.batches`` reads several sets from, through the cache if any.

    A new cache is filled here, with a progress bar; an existing one in ``cache_dir`` is recognised
    by the checksums of its shards and used again, whichever job has filled it, or fills it now.

    Args:
        manifests: the sets; record indices run on from one to the next.
        options: of reading; ``cache``, ``cache_dir`` and ``on_bad_record`` are used.
        wait: tells how long a record is waited for while the cache is filled. The copying of whole
            shards, which may take minutes, does not count.

    Raises:
        InputError: ``cache_dir`` cannot be written to, or a shard is gone.
        tf.errors.DataLossError: a record that is read to fill the cache fails its checksum, and
            ``on_bad_record`` is ``stop``.
    """
    reader = RecordReader(manifests, options.on_bad_record)
    if options.cache == "none":
        return reader
    fill = {"records": _records_cache, "decoded": _decoded_cache}[options.cache]
    if not options.cache_dir:
        return fill(reader, "", wait or Wait())
    try:
        folder = os.path.join(options.cache_dir, _key(manifests, options))
        return fill(reader, folder, wait or Wait())
    # Whatever the file system refuses, a full disk included.
    except OSError as error:
        if error.filename in reader.paths:
            raise DamagedRecordError(
                f"{error.filename}: {error.strerror}; copy the shard again, or convert again"
            ) from None
        raise InputError(
            f"--cache_dir={options.cache_dir}: must be a writable folder: {error.strerror or error}"
        ) from None


def _key(manifests: Sequence[Manifest], options: ReadOptions) -> str:
    # Checksums rather than paths: a copy of a set shares its cache, a changed set does not.
    shards = [shard.sha256 for manifest in manifests for shard in manifest.shards]
    text = " ".join([options.cache, options.on_bad_record, *shards])
    return f"{options.cache}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


class RecordCache:
    """Serialized records in memory."""

    def __init__(
        self, manifests: Sequence[Manifest], found: Sequence[int], records: Sequence[bytes]
    ) -> None:
        self.manifests = manifests
        self._found = tf.constant(found, tf.int64)
        self._records = tf.constant(records)

    def __len__(self) -> int:
        return self._records.shape[0]

    def read(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As ``RecordReader.read``."""
        return tf.gather(self._found, index), tf.gather(self._records, index)

    def read_batch(self, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As ``RecordReader.read_batch``."""
        return self.read(indices)

    def cuts(self, plan: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """As ``RecordReader.cuts``."""
        return jpeg_cuts(plan)

    def window(self, cut: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """As ``RecordReader.window``."""
        return jpeg_window(cut)


class PixelCache(RecordCache):
    """Decoded images, row after row in one tensor, and their records without the JPEG."""

    def __init__(
        self,
        manifests: Sequence[Manifest],
        found: Sequence[int],
        records: Sequence[bytes],
        pixels: np.ndarray,
    ) -> None:
        super().__init__(manifests, found, records)
        # int64: the pixels of a set soon exceed 2^31 bytes.
        self._begins = tf.constant(_begins(found, records), tf.int64)
        # Not copied: the pixels may fill most of the memory, or be a mapped file.
        self._pixels = tf.experimental.dlpack.from_dlpack(pixels.__dlpack__())

    def cuts(self, plan: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """``begin`` and ``length`` int64 [B, 1] of the window's rows in the memory of all pixels.

        ``rows`` int32 [B, 3], their shape; ``inner`` int32 [B, 2, 3], the window in them.
        """
        y, x, height, width = tf.unstack(plan["window"], axis=1)
        # The window's rows are cut out at full width, because only then are they contiguous.
        full = plan["size"][:, 1]
        begins = tf.gather(self._begins, plan["indices"]) + tf.cast(y * 3 * full, tf.int64)
        none, three = tf.zeros_like(x), tf.fill(tf.shape(x), 3)
        corner, shape = tf.stack([none, x, none], axis=1), tf.stack([height, width, three], axis=1)
        return {
            "begin": begins[:, tf.newaxis],
            "length": tf.cast(height * 3 * full, tf.int64)[:, tf.newaxis],
            "rows": tf.stack([height, full, three], axis=1),
            "inner": tf.stack([corner, shape], axis=1),
        }

    def window(self, cut: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The pixels of a sample's window: uint8 [height, width, 3]; ``cut`` is one of ``cuts``."""
        rows = tf.slice(self._pixels, cut["begin"], cut["length"])
        return tf.slice(tf.reshape(rows, cut["rows"]), cut["inner"][0], cut["inner"][1])


def _records_cache(reader: RecordReader, folder: str, wait: Wait) -> RecordSource:
    if not folder:
        read = wait.items(_in_order(reader))
        found, records = zip(*_shown(read, len(reader), "records"))
        return RecordCache(reader.manifests, found, records)

    # On disk this cache is a copy of the shards, which the usual reader reads. Their folders are
    # numbered: shards of two sets may have the same file names.
    def load(folder: str) -> RecordReader:
        manifests = [
            dataclasses.replace(manifest, directory=os.path.join(folder, str(number)))
            for number, manifest in enumerate(reader.manifests)
        ]
        for manifest in manifests:
            for path, shard in zip(manifest.shard_paths, manifest.shards):
                _check_size(path, shard.bytes)
        return RecordReader(manifests, reader.on_bad_record)

    def fill(folder: str) -> None:
        for number, manifest in enumerate(reader.manifests):
            os.makedirs(os.path.join(folder, str(number)))
            for path in _shown(manifest.shard_paths, len(manifest.shard_paths), "shards"):
                shutil.copy(path, os.path.join(folder, str(number)))

    return loaded_or_filled(folder, load, fill)


def _decoded_cache(reader: RecordReader, folder: str, wait: Wait) -> RecordSource:
    num_bytes = footprint.cache_bytes(reader.manifests, "decoded")
    if not folder:
        memory = _aligned(num_bytes)
        return PixelCache(reader.manifests, *_decode(reader, memory, wait), memory)

    def load(folder: str) -> PixelCache:
        _check_size(os.path.join(folder, _PIXELS), num_bytes)
        # Copy on write, although nothing writes: dlpack refuses read-only memory.
        pixels = np.memmap(os.path.join(folder, _PIXELS), np.uint8, "c")
        found = _load_found(os.path.join(folder, _FOUND), len(reader))
        records = _load_records(os.path.join(folder, _RECORDS), len(reader))
        return PixelCache(reader.manifests, found, records, pixels)

    def fill(folder: str) -> None:
        with open(os.path.join(folder, _PIXELS), "wb") as file:
            # Without room on the disk, writing to mapped memory would kill the process.
            os.posix_fallocate(file.fileno(), 0, num_bytes)
        filled = np.memmap(os.path.join(folder, _PIXELS), np.uint8, "r+")
        indices, serialized = _decode(reader, filled, wait)
        filled.flush()
        np.save(os.path.join(folder, _FOUND), np.array(indices, np.int64))
        with tf.io.TFRecordWriter(os.path.join(folder, _RECORDS)) as writer:
            for record in serialized:
                writer.write(record)

    return loaded_or_filled(folder, load, fill)


def _check_size(path: str, num_bytes: int) -> None:
    size = os.path.getsize(path) if os.path.isfile(path) else 0
    if size != num_bytes:
        raise DamagedCacheError(f"{path} has {size:,} bytes, must have {num_bytes:,}")


def _load_found(path: str, num_records: int) -> list[int]:
    try:
        # Mapped: nothing is allocated for what the file only claims to hold.
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DamagedCacheError(f"{path} cannot be read ({error})") from None
    if found.dtype != np.int64 or found.shape != (num_records,):
        raise DamagedCacheError(f"{path} must hold {num_records} whole numbers")
    if num_records and not 0 <= found.min() <= found.max() < num_records:
        raise DamagedCacheError(f"{path}: numbers must be from 0 to {num_records - 1}")
    return found.tolist()


def _load_records(path: str, num_records: int) -> list[bytes]:
    try:
        records = list(tf.data.TFRecordDataset(path).as_numpy_iterator())
    except (tf.errors.DataLossError, tf.errors.NotFoundError):
        records = []
    if len(records) != num_records:
        raise DamagedCacheError(f"{path} is damaged")
    return records


def _aligned(num_bytes: int) -> np.ndarray:
    """uint8 [num_bytes] that begins at a multiple of 64, as TensorFlow's kernels expect."""
    memory = np.empty(num_bytes + 64, np.uint8)
    begin = -memory.ctypes.data % 64
    return memory[begin : begin + num_bytes]


def _in_order(reader: RecordReader) -> Iterator[tuple[int, bytes]]:
    """(index read, serialized example) of every record of ``reader``."""
    records = tf.data.Dataset.range(len(reader)).map(reader.read, tf.data.AUTOTUNE)
    return ((int(index), record.numpy()) for index, record in records)


def _decode(reader: RecordReader, pixels: np.ndarray, wait: Wait) -> tuple[list[int], list[bytes]]:
    """Fills ``pixels``; returns the index of each record, and each record without its JPEG."""

    def decode(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        found, serialized = reader.read(index)
        record = schema.parse_example(serialized)
        size = tf.stack([record["height"], record["width"]])
        return found, serialized, tf.reshape(rendering.decode_whole(record["encoded"], size), [-1])

    decoded = tf.data.Dataset.range(len(reader)).map(decode, tf.data.AUTOTUNE)
    found: list[int] = []
    records: list[bytes] = []
    end = 0
    for index, serialized, levels in _shown(wait.items(decoded), len(reader), "images"):
        # Otherwise it replaces a damaged record, and its pixels are stored at its own place.
        if index == len(found):
            pixels[end : end + len(levels)] = levels
            end += len(levels)
        found.append(int(index))
        # The pixels replace the JPEG, which would be most of the record.
        records.append(schema.without_image(serialized.numpy()))
    return found, records


def _begins(found: Sequence[int], records: Sequence[bytes]) -> np.ndarray:
    """Byte at which the pixels of each record begin, int64 [N].

    A damaged record has none. It is never looked up: samples carry the index of its substitute.
    """
    sizes = schema.parse_batch(tf.constant(records)).size.numpy().astype(np.int64)
    lengths = np.where(np.array(found) == np.arange(len(found)), 3 * sizes.prod(axis=1), 0)
    return np.cumsum(lengths) - lengths


def _shown(items: Iterable[_Item], count: int, unit: str) -> Iterable[_Item]:
    return tqdm.tqdm(items, "Cache", count, unit=f" {unit}", file=sys.stderr)
