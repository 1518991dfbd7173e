"""What the search for suspects needs of every record: boxes, a digest and a perceptual hash."""

import functools
import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.inspection import frames, near_duplicates
from ssd_tfrecord.records import schema
from ssd_tfrecord.records.manifest import Manifest, Shard
from ssd_tfrecord.records.processes import workers


@dataclass(frozen=True)
class Facts:
    """N records, and their M objects without crowds, in their order.

    ``digests`` are the SHA-256 of the images' files. ``hashes`` uint64 [N] and ``thumbnails`` uint8
    [N, 256] are those of ``near_duplicates``, zeros where ``comparable`` bool [N] is False: for
    images of one colour, and those that cannot be decoded. ``sizes`` int32 [N, 2] is height and
    width in pixels.

    ``image`` int64 [M] is the record of each object, ``labels`` int32 [M] from 1, and ``boxes``
    float32 [M, 4] as [ymin, xmin, ymax, xmax] in [0, 1].
    """

    source_ids: tuple[str, ...]
    digests: tuple[bytes, ...]
    hashes: np.ndarray
    thumbnails: np.ndarray
    comparable: np.ndarray
    sizes: np.ndarray
    image: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray

    @property
    def sides(self) -> np.ndarray:
        """Height and width of ``boxes`` in pixels, float64 [M, 2]."""
        return (self.boxes[:, 2:] - self.boxes[:, :2]).astype(np.float64) * self.sizes[self.image]


@dataclass(frozen=True)
class SearchedSet:
    """A record set with its facts, and a name that no other set of the search has."""

    name: str
    manifest: Manifest
    facts: Facts

    def source_id(self, record: int) -> str:
        """The source_id of a record, counted from 0 over all shards; "" for -1."""
        return self.facts.source_ids[record] if record >= 0 else ""

    def file_of(self, record: int) -> tuple[str, int]:
        """The shard of a record, and its number there, counted from 0."""
        for shard in self.manifest.shards:
            if record < shard.num_records:
                return shard.file, record
            record -= shard.num_records
        raise ValueError(f"no record {record} more than the set has")


def gather(
    manifests: Sequence[Manifest],
    num_workers: int = 1,
    advance: Callable[[int], object] = lambda count: None,
) -> list[SearchedSet]:
    """Reads every record of some sets, and decodes its image at a reduced size.

    Args:
        manifests: of the sets, whose folders are all different.
        num_workers: number of processes, as --workers; each works on one shard at a time.
        advance: called with the number of records that have been read since the last time.

    Raises:
        InputError: a record cannot be parsed, or has a label or box that training could not take;
            or a worker died.
    """
    items = [
        (path, shard, one.num_classes)
        for one in manifests
        for path, shard in zip(one.shard_paths, one.shards)
    ]
    num_records = sum(manifest.num_records for manifest in manifests)
    number = workers.choose_number(num_workers, num_records, len(items))
    # All parts of a set come before those of the next.
    parts = iter(list(workers.run(_read_shard, items, number, advance)))
    # Where names are equal, folders are not.
    names = [manifest.name for manifest in manifests]
    if len({*names}) < len(names):
        names = [manifest.directory for manifest in manifests]
    return [
        SearchedSet(name, manifest, _join([*itertools.islice(parts, len(manifest.shards))]))
        for name, manifest in zip(names, manifests)
    ]


def _join(parts: Sequence[Facts]) -> Facts:
    starts = np.cumsum([0, *(len(part.source_ids) for part in parts)])
    arrays = ("hashes", "thumbnails", "comparable", "sizes", "labels", "boxes")
    return Facts(
        source_ids=tuple(name for part in parts for name in part.source_ids),
        digests=tuple(digest for part in parts for digest in part.digests),
        image=np.concatenate([part.image + start for part, start in zip(parts, starts)]),
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays},
    )


# Module-level, so that it can be sent to worker processes.
def _read_shard(item: tuple[str, Shard, int], advance: Callable[[], None]) -> Facts:
    path, shard, num_classes = item
    names, digests, labels, boxes = [], [], [_NO_LABELS], [_NO_BOXES]
    hashes = np.zeros(shard.num_records, np.uint64)
    thumbnails = np.zeros([shard.num_records, near_duplicates.THUMBNAIL_PIXELS], np.uint8)
    comparable = np.zeros(shard.num_records, bool)
    sizes = np.zeros([shard.num_records, 2], np.int32)
    with open(path, "rb") as file:
        for index, frame in enumerate(frames.listed(shard.record_bytes)):
            record = _parse(frames.read(file, frame), num_classes, f"{path}: record {index}")
            names.append(record["source_id"].decode(errors="backslashreplace"))
            digests.append(hashlib.sha256(record["encoded"]).digest())
            luma = near_duplicates.read_luma(record["encoded"])
            if luma is not None:
                comparable[index] = True
                hashes[index] = near_duplicates.perceptual_hash(luma)
                thumbnails[index] = near_duplicates.thumbnail(luma)
            sizes[index] = record["height"], record["width"]
            # A crowd's box is not that of an object.
            labels.append(record["labels"][~record["crowd"]])
            boxes.append(record["boxes"][~record["crowd"]])
            advance()
    return Facts(
        source_ids=tuple(names),
        digests=tuple(digests),
        hashes=hashes,
        thumbnails=thumbnails,
        comparable=comparable,
        sizes=sizes,
        image=np.repeat(np.arange(len(names)), [len(part) for part in labels[1:]]),
        labels=np.concatenate(labels),
        boxes=np.concatenate(boxes),
    )


# Before those of the records, so that a shard without any needs no branch.
_NO_LABELS, _NO_BOXES = np.zeros(0, np.int32), np.zeros([0, 4], np.float32)


def _parse(serialized: bytes, num_classes: int, where: str) -> dict[str, Any]:
    try:
        record = {name: value.numpy() for name, value in _parser()(serialized).items()}
    except tf.errors.InvalidArgumentError:
        raise InputError(f"{where}: cannot be parsed; run with --verify to see why") from None
    labels, boxes = record["labels"], record["boxes"]
    sound = (labels >= 1) & (labels <= num_classes) & np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
    if not sound.all():
        raise InputError(
            f"{where}: object {np.argmin(sound) + 1} has a faulty label or box; run with --verify "
            "to see which"
        )
    return record


# Cached: a new tf.function for each record would be traced each time.
@functools.cache
def _parser() -> Callable[[bytes], dict[str, Any]]:
    signature = [tf.TensorSpec([], tf.string)]
    return tf.function(schema.parse_example, input_signature=signature)
