"""One record of a set by its index, as a graph operation; and the report of a damaged one."""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from ssd_tfrecord.data import rendering
from ssd_tfrecord.errors import DamagedRecordError
from ssd_tfrecord.records import schema
from ssd_tfrecord.records.manifest import FRAME_BYTES, Manifest

# With --on_bad_record=skip: records that are tried, one after another, from the one asked for on.
_SUBSTITUTES = 8


class RecordSource(Protocol):
    """What single records are read from: the shards, or a cache of them.

    Indices run from 0 to ``len`` - 1, on from one of ``manifests`` to the next.
    """

    manifests: Sequence[Manifest]

    def __len__(self) -> int:
        """Number of records in all sets."""
        ...

    def read(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(index, serialized example) of a record, int64 and string scalars, in a graph.

        The returned index differs from the argument where a damaged record was skipped.
        """
        ...

    def read_batch(self, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As ``read``, of several records: int64 [B] and string [B]."""
        ...

    def cuts(self, plan: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What ``window`` needs to know of each of B samples, [B, ...].

        All at once, because an operation on B samples costs hardly more than on one.

        Args:
            plan: ``indices`` int64 [B], ``encoded`` string [B], ``size`` int32 [B, 2], ``window``
                int32 [B, 4], and perhaps ``reduction`` int32 [B], as in ``framing.Frame``.
        """
        ...

    def window(self, cut: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The pixels of one sample's window: uint8 [height, width, 3].

        A source that decodes JPEGs returns them at 1/``reduction`` of that size; ``PixelCache``
        ignores it. ``cut`` is one of the samples of ``cuts``.
        """
        ...


class RecordReader:
    """Reads single records of several sets, whose indices run on from one set to the next.

    The manifest's ``record_bytes`` say where each record begins. So every record is read by itself,
    and a damaged one does not hide those behind it.
    """

    def __init__(self, manifests: Sequence[Manifest], on_bad_record: str = "stop") -> None:
        self.manifests = manifests
        shards = [shard for manifest in manifests for shard in manifest.shards]
        self.paths = [path for manifest in manifests for path in manifest.shard_paths]
        self.lengths = np.concatenate([np.array(shard.record_bytes, np.int64) for shard in shards])
        self.files = np.repeat(np.arange(len(shards)), [shard.num_records for shard in shards])
        self.begins = np.concatenate([_begins(shard.record_bytes) for shard in shards])
        self.on_bad_record = on_bad_record

    def __len__(self) -> int:
        return len(self.lengths)

    def read(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(index, serialized example) of the record, int64 and string scalars.

        With ``skip``, a damaged record is replaced by the next intact one of the sets, and the
        index is that one's.

        Raises:
            tf.errors.DataLossError: when it runs, if the record fails its checksum (``stop``).
        """
        if self.on_bad_record == "stop":
            return index, self._record(index).get_single_element()
        candidates = (index + tf.range(_SUBSTITUTES, dtype=tf.int64)) % len(self)
        # Only a dataset can ignore an error inside a graph.
        records = tf.data.Dataset.from_tensor_slices(candidates).flat_map(
            lambda other: self._record(other).map(lambda record: (other, record)).ignore_errors()
        )
        return records.take(1).get_single_element()

    def read_batch(self, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As ``read``, of several records: int64 [B] and string [B].

        In one dataset, for the call that takes the record out of one costs as much as reading it.
        """
        if self.on_bad_record == "stop":
            places = tf.data.Dataset.from_tensor_slices(self._place(indices))
            return indices, _all_of(places.flat_map(_record_at), indices)
        read = tf.data.Dataset.from_tensor_slices(indices).map(self.read)
        return _all_of(read, indices)

    def cuts(self, plan: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What ``window`` needs of B samples."""
        return jpeg_cuts(plan)

    def window(self, cut: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The pixels of one sample's window: uint8 [height, width, 3], or reduced."""
        return jpeg_window(cut)

    def _record(self, index: tf.Tensor) -> tf.data.Dataset:
        return _record_at(*self._place(index))

    def _place(self, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Path, first byte and length of the records, of the shape of ``indices``."""
        files = tf.gather(tf.constant(self.files, tf.int32), indices)
        return (
            tf.gather(tf.constant(self.paths), files),
            tf.gather(tf.constant(self.begins), indices),
            tf.gather(tf.constant(self.lengths), indices),
        )

    def find_damaged(self) -> DamagedRecordError | None:
        """The error that reports the first unusable record by shard and place, or None.

        That is one with a wrong checksum; else one that is no record or whose image is no JPEG of
        the size that it states; else one whose image cannot be decoded.
        """
        # In the order of what they cost: decoding all images of a large set takes minutes.
        for use_fn in (tf.strings.length, _checked_image, _decoded_image):
            used = tf.data.Dataset.range(len(self)).map(
                lambda index, use_fn=use_fn: (
                    index,
                    use_fn(self._record(index).get_single_element()),
                ),
                tf.data.AUTOTUNE,
            )
            # Failures are left out, so the first gap in the indices is the first of them.
            intact = (int(index) for index, _ in used.ignore_errors())
            for index in range(len(self)):
                if next(intact, None) != index:
                    return self._damage(index, use_fn)
        return None

    def _damage(self, index: int, use_fn: Callable[[tf.Tensor], tf.Tensor]) -> DamagedRecordError:
        file = int(self.files[index])
        # ``files`` ascends, so this finds the first record of the shard.
        place = index - int(np.searchsorted(self.files, file))
        where = f"{self.paths[file]}: record {place} (from byte {self.begins[index]})"
        try:
            use_fn(self._record(tf.constant(index, tf.int64)).get_single_element())
        except tf.errors.InvalidArgumentError as error:
            return DamagedRecordError(
                f"{where} cannot be used: {_reason(error)}. Look at it with `ssd-tfrecord inspect "
                "--verify`, or convert again"
            )
        except tf.errors.OpError:
            pass
        return DamagedRecordError(
            f"{where} is damaged: its checksum does not match. Copy the shard again, convert "
            "again, or pass --on_bad_record=skip"
        )


def _checked_image(serialized: tf.Tensor) -> tf.Tensor:
    record = schema.parse_example(serialized)
    size = tf.stack([record["height"], record["width"]])
    return tf.strings.length(rendering.checked(record["encoded"], size))


def _decoded_image(serialized: tf.Tensor) -> tf.Tensor:
    record = schema.parse_example(serialized)
    size = tf.stack([record["height"], record["width"]])
    return tf.shape(rendering.decode_whole(record["encoded"], size))


def _reason(error: tf.errors.OpError) -> str:
    # TensorFlow says first where in the graph it was, in braces, and last the node or operation.
    text = error.message.split("\n\t [[")[0].split(" [Op:")[0].strip()
    text = re.sub(r"^(\{\{.*?\}\} ?)+", "", text).splitlines()[0]
    # It may quote the record, which can be long and binary.
    return "".join(letter if letter.isprintable() else "?" for letter in text[:200].rstrip("."))


def jpeg_cuts(plan: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """``RecordSource.cuts`` of a source of JPEGs."""
    sizes = rendering.limited(plan["size"])
    wide, inner = rendering.widened(plan["window"], sizes)
    cuts = {"encoded": plan["encoded"], "size": sizes, "wide": wide, "inner": inner}
    if "reduction" in plan:
        cuts |= {"window": plan["window"], "reduction": plan["reduction"]}
    return cuts


def jpeg_window(cut: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The pixels of a sample's window, decoded from its JPEG.

    Args:
        cut: one of the samples of ``jpeg_cuts``.

    Returns:
        uint8 [height, width, 3], or at 1/2, 1/4 or 1/8 of that size.
    """
    encoded = rendering.of_size(cut["encoded"], cut["size"])
    if "reduction" not in cut:
        return rendering.decode_inner(encoded, cut["wide"], cut["inner"])
    return tf.cond(
        cut["reduction"] == 1,
        lambda: rendering.decode_inner(encoded, cut["wide"], cut["inner"]),
        lambda: rendering.decode_reduced(encoded, cut["window"], cut["reduction"]),
    )


def _record_at(path: tf.Tensor, begin: tf.Tensor, length: tf.Tensor) -> tf.data.Dataset:
    # A buffer of just this record: the next one read is somewhere else.
    return schema.record_at(path, begin, buffer_size=length + FRAME_BYTES)


def _all_of(dataset: tf.data.Dataset, indices: tf.Tensor) -> Any:
    """The elements of ``dataset``, one for each of ``indices`` [B], as tensors [B, ...]."""
    together = dataset.batch(tf.size(indices, tf.int64), drop_remainder=True)
    elements = together.get_single_element()
    return tf.nest.map_structure(lambda item: tf.ensure_shape(item, indices.shape), elements)


def _begins(record_bytes: Sequence[int]) -> np.ndarray:
    """Byte of the shard at which each record's frame begins, int64."""
    ends = itertools.accumulate((length + FRAME_BYTES for length in record_bytes), initial=0)
    return np.array(list(ends)[:-1], np.int64)


def first_damaged(manifests: Sequence[Manifest]) -> DamagedRecordError | None:
    """``RecordReader.find_damaged`` of several sets."""
    return RecordReader(manifests).find_damaged()
