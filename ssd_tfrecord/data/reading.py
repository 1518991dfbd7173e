"""One record of a set by its index, as a graph operation; and what to say of a damaged one."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from ssd_tfrecord.data import rendering
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records import schema
from ssd_tfrecord.records.manifest import FRAME_BYTES, Manifest

# With --on_bad_record=skip: records tried in a damaged one's place, one after another.
_SUBSTITUTES = 8


class RecordSource(Protocol):
    """What records are read from, one by one: the shards, or a cache of them.

    Its indices, from 0 to ``len``, run on from one of ``manifests`` to the next.
    """

    manifests: Sequence[Manifest]

    def __len__(self) -> int:
        """Records in all sets."""
        ...

    def read(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(index, serialized example) of a record, int64 and string scalars, in a graph.

        The index is another than was asked for where a damaged record was passed over.
        """
        ...

    def window(self, sample: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The pixels of ``sample["window"]`` of a sample of ``pipeline.pixel_plan``: uint8
        [height, width, 3], or fewer where ``sample["reduction"]`` says so.
        """
        ...


class RecordReader:
    """Reads single records of several sets, whose indices run on from one set to the next.

    Where a record begins is known from the manifest's ``record_bytes``, so any one is read by
    itself, and a damaged one does not hide those behind it.
    """

    def __init__(self, manifests, on_bad_record="stop"):
        self.manifests = manifests
        shards = [shard for manifest in manifests for shard in manifest.shards]
        self.paths = [path for manifest in manifests for path in manifest.shard_paths]
        self.lengths = np.concatenate([np.int64(shard.record_bytes) for shard in shards])
        self.files = np.repeat(np.arange(len(shards)), [shard.num_records for shard in shards])
        self.begins = np.concatenate([_begins(shard.record_bytes) for shard in shards])
        self.on_bad_record = on_bad_record

    def __len__(self):
        return len(self.lengths)

    def read(self, index):
        """(index, serialized example) of the record, scalars int64 and string.

        With ``skip``, the next whole record of the set where this one is damaged, and its index.

        Raises:
            tf.errors.DataLossError for a record that fails its checksum.
        """
        if self.on_bad_record == "stop":
            return index, self._record(index).get_single_element()
        candidates = (index + tf.range(_SUBSTITUTES, dtype=tf.int64)) % len(self)
        records = tf.data.Dataset.from_tensor_slices(candidates).flat_map(
            lambda other: self._record(other).map(lambda record: (other, record)).ignore_errors()
        )
        return records.take(1).get_single_element()

    def window(self, sample):
        """The pixels of ``sample["window"]``: uint8 [height, width, 3], or reduced."""
        encoded, window = sample["encoded"], sample["window"]
        if "reduction" not in sample:
            return rendering.decode_window(encoded, window, sample["size"])
        return tf.cond(
            sample["reduction"] == 1,
            lambda: rendering.decode_window(encoded, window, sample["size"]),
            lambda: rendering.decode_reduced(encoded, window, sample["reduction"]),
        )

    def _record(self, index):
        file = tf.gather(tf.constant(self.files, tf.int32), index)
        path = tf.gather(tf.constant(self.paths), file)
        begin = tf.gather(tf.constant(self.begins), index)
        length = tf.gather(tf.constant(self.lengths), index)
        return schema.record_at(path, begin, buffer_size=length + FRAME_BYTES)

    def find_damaged(self):
        """The error that names the first damaged record by shard and place, or None."""
        lengths = tf.data.Dataset.range(len(self)).map(
            lambda index: (index, tf.strings.length(self._record(index).get_single_element())),
            tf.data.AUTOTUNE,
        )
        whole = (int(index) for index, _ in lengths.ignore_errors())
        for index in range(len(self)):
            if next(whole, None) != index:
                return self._damage(index)
        return None

    def _damage(self, index):
        file = int(self.files[index])
        place = index - int(np.searchsorted(self.files, file))
        return InputError(
            f"{self.paths[file]}: record {place} (from byte {self.begins[index]}) is damaged: its "
            "checksum differs. Copy the shard or convert anew, or pass --on_bad_record=skip"
        )


def _begins(record_bytes):
    """Byte of the shard at which each record's frame begins, int64."""
    ends = itertools.accumulate((length + FRAME_BYTES for length in record_bytes), initial=0)
    return np.int64(list(ends)[:-1])


def first_damaged(manifests):
    """The error that names the first damaged record of several sets, or None."""
    return RecordReader(manifests).find_damaged()
