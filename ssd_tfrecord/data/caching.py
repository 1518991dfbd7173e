"""Records or decoded pictures kept at hand: each gives what ``reading.RecordReader`` gives."""

import contextlib
import dataclasses
import hashlib
import os
import shutil
import sys

import numpy as np
import tensorflow as tf
import tqdm

from ssd_tfrecord.data import footprint, rendering
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import ReadOptions
from ssd_tfrecord.records import schema

_FOUND, _RECORDS, _PIXELS = "found.npy", "records.tfrecord", "pixels.bin"


def opened(manifests, options: ReadOptions):
    """The source of ``pipeline.batches`` for several sets, behind its cache if any.

    A cache is filled here, under a progress bar; one in ``cache_dir`` is found again by the
    checksums of its shards.
    """
    reader = RecordReader(manifests, options.on_bad_record)
    if options.cache == "none":
        return reader
    fill = {"records": _records_cache, "decoded": _decoded_cache}[options.cache]
    if not options.cache_dir:
        return fill(reader, "")
    try:
        return fill(reader, os.path.join(options.cache_dir, _key(manifests, options)))
    except OSError as error:
        raise InputError(
            f"--cache_dir={options.cache_dir}: {error.strerror or error}: must be a folder that "
            "can be written to"
        ) from None


def _key(manifests, options):
    shards = [shard.sha256 for manifest in manifests for shard in manifest.shards]
    text = " ".join([options.cache, options.on_bad_record, *shards])
    return f"{options.cache}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


class RecordCache:
    """Serialized records in memory."""

    def __init__(self, manifests, found, records):
        self.manifests = manifests
        self._found = tf.constant(found, tf.int64)
        self._records = tf.constant(records)

    def __len__(self):
        return self._records.shape[0]

    def read(self, index):
        """As ``RecordReader.read``."""
        return tf.gather(self._found, index), tf.gather(self._records, index)

    window = RecordReader.window


class PixelCache(RecordCache):
    """Decoded pictures, row after row in one tensor, and their records without the JPEG."""

    def __init__(self, manifests, found, records, pixels):
        super().__init__(manifests, found, records)
        self._begins = tf.constant(_begins(found, records), tf.int64)
        # Without a copy: the pixels may be most of the memory, or a file.
        self._pixels = tf.experimental.dlpack.from_dlpack(pixels.__dlpack__())

    def window(self, sample):
        """The pixels of ``sample["window"]`` of record ``sample["indices"]``: uint8 [h, w, 3]."""
        y, x, height, width = tf.unstack(sample["window"])
        row = 3 * sample["size"][1]
        begin = tf.gather(self._begins, sample["indices"]) + tf.cast(y * row, tf.int64)
        rows = tf.slice(
            self._pixels, begin[tf.newaxis], tf.cast(height * row, tf.int64)[tf.newaxis]
        )
        return tf.reshape(rows, [height, sample["size"][1], 3])[:, x : x + width]


def _records_cache(reader, folder):
    if not folder:
        found, records = zip(*_shown(_in_order(reader), len(reader), "records"))
        return RecordCache(reader.manifests, found, records)
    if not os.path.isdir(folder):
        with _written_aside(folder) as aside:
            for number, manifest in enumerate(reader.manifests):
                os.makedirs(os.path.join(aside, str(number)))
                for path in _shown(manifest.shard_paths, len(manifest.shard_paths), "shards"):
                    shutil.copy(path, os.path.join(aside, str(number)))
    manifests = [
        dataclasses.replace(manifest, directory=os.path.join(folder, str(number)))
        for number, manifest in enumerate(reader.manifests)
    ]
    return RecordReader(manifests, reader.on_bad_record)


def _decoded_cache(reader, folder):
    num_bytes = footprint.cache_bytes(reader.manifests, "decoded")
    if not folder:
        pixels = _aligned(num_bytes)
        return PixelCache(reader.manifests, *_decode(reader, pixels), pixels)
    if not os.path.isdir(folder):
        with _written_aside(folder) as aside:
            pixels = np.memmap(os.path.join(aside, _PIXELS), np.uint8, "w+", shape=num_bytes)
            found, records = _decode(reader, pixels)
            pixels.flush()
            np.save(os.path.join(aside, _FOUND), found)
            with tf.io.TFRecordWriter(os.path.join(aside, _RECORDS)) as writer:
                for record in records:
                    writer.write(record)
    # Copy on write: dlpack takes no read-only memory.
    pixels = np.memmap(os.path.join(folder, _PIXELS), np.uint8, "c")
    records = tf.data.TFRecordDataset(os.path.join(folder, _RECORDS)).as_numpy_iterator()
    found = np.load(os.path.join(folder, _FOUND)).tolist()
    return PixelCache(reader.manifests, found, list(records), pixels)


def _aligned(num_bytes):
    """uint8 [num_bytes] at a multiple of 64, as TensorFlow's kernels take for granted."""
    memory = np.empty(num_bytes + 64, np.uint8)
    begin = -memory.ctypes.data % 64
    return memory[begin : begin + num_bytes]


def _in_order(reader):
    """(index read, serialized example) of every record of ``reader``."""
    records = tf.data.Dataset.range(len(reader)).map(reader.read, tf.data.AUTOTUNE)
    return ((int(index), record.numpy()) for index, record in records)


def _decode(reader, pixels):
    """Fills ``pixels``; the index of each record, and each record without its JPEG."""

    def decode(index):
        found, serialized = reader.read(index)
        record = schema.parse_example(serialized)
        levels = rendering.decode_whole(record["encoded"])
        # Fails where the picture is not of the size that its record says.
        return found, serialized, tf.reshape(levels, [record["height"] * record["width"] * 3])

    decoded = tf.data.Dataset.range(len(reader)).map(decode, tf.data.AUTOTUNE)
    found, records, end = [], [], 0
    for index, serialized, levels in _shown(decoded, len(reader), "pictures"):
        if index == len(found):  # else it stands in for a damaged one, and has pixels of its own
            pixels[end : end + len(levels)] = levels
            end += len(levels)
        found.append(int(index))
        records.append(schema.without_image(serialized.numpy()))
    return found, records


def _begins(found, records):
    """Where the pixels of each record begin, int64 [N]; its substitute's for a damaged one."""
    sizes = schema.parse_batch(tf.constant(records)).size.numpy().astype(np.int64)
    lengths = np.where(np.array(found) == np.arange(len(found)), 3 * sizes.prod(axis=1), 0)
    return np.cumsum(lengths) - lengths


def _shown(items, count, unit):
    return tqdm.tqdm(items, "Cache", count, unit=f" {unit}", file=sys.stderr)


@contextlib.contextmanager
def _written_aside(folder):
    """A new folder that gets the name ``folder`` once the block has ended without an error."""
    aside = f"{folder}.{os.getpid()}.partial"
    try:
        os.makedirs(aside)
        yield aside
        os.replace(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
