"""What a record set holds for people: the ground truth of its images, and their pixels."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
from PIL import Image

from ssd_tfrecord.data.passes import untuned
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.data.rendering import decode_whole
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.schema import FILENAME, parse_example
from ssd_tfrecord.tracing import not_converted

_FIELDS = tuple(field.name for field in dataclasses.fields(GroundTruth))


@not_converted
def read_ground_truths(manifest: Manifest) -> list[GroundTruth]:
    """The ground truth of every record of ``manifest``, in record order; decodes no image."""
    records = tf.data.TFRecordDataset(list(manifest.shard_paths))
    # In parallel, but in order: map keeps it unless it is told otherwise.
    records = records.map(_without_pixels, num_parallel_calls=tf.data.AUTOTUNE)
    return [_ground_truth(record) for record in untuned(records).as_numpy_iterator()]


def _without_pixels(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    # Dropped inside of the graph, so that the JPEGs are not copied to Python.
    record = parse_example(serialized)
    return {name: record[name] for name in _FIELDS}


def ground_truth_of(record: Mapping[str, tf.Tensor]) -> GroundTruth:
    """The ground truth of one parsed record, whose tensors have values."""
    return _ground_truth({name: record[name].numpy() for name in _FIELDS})


def _ground_truth(record: Mapping[str, Any]) -> GroundTruth:
    size = {name: int(record[name]) for name in ("height", "width")}
    return GroundTruth(**{**record, **size, "source_id": record["source_id"].decode()})


def read_file_names(manifest: Manifest) -> list[str]:
    """The name of the file that each record was made from, "" where it is not known."""
    feature = {FILENAME: tf.io.FixedLenFeature([], tf.string, "")}
    records = tf.data.TFRecordDataset(list(manifest.shard_paths))
    records = records.map(lambda record: tf.io.parse_single_example(record, feature)[FILENAME])
    # Names on disk need not be UTF-8; bytes that are not are escaped.
    return [name.decode(errors="backslashreplace") for name in untuned(records).as_numpy_iterator()]


def read_images(manifest: Manifest, indices: Sequence[int]) -> Iterator[Image.Image]:
    """The stored images of some records, in RGB.

    Args:
        manifest: of the set.
        indices: of the records, from 0 over all shards.
    """
    # One by one, without a function of a dataset: that would be traced at each evaluation, and
    # leave its graph behind.
    reader = RecordReader((manifest,))
    for index in indices:
        record = parse_example(reader.read(tf.constant(index, tf.int64))[1])
        size = tf.stack([record["height"], record["width"]])
        yield Image.fromarray(decode_whole(record["encoded"], size).numpy())
