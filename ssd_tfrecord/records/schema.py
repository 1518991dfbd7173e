"""One record: a tf.train.Example with the TF Object Detection API's feature keys.

The only file that spells out a key. Tools that read that schema can read these records, and
``parse_example`` can read records made by other tools.
"""

import hashlib
import os
from typing import NamedTuple

import tensorflow as tf

from ssd_tfrecord.records import wire
from ssd_tfrecord.records.annotation import ImageAnnotation

ENCODED = "image/encoded"
FORMAT = "image/format"
ORIGINAL_FORMAT = "image/original_format"  # ours: of the file, before it became a JPEG
FILENAME = "image/filename"
SOURCE_ID = "image/source_id"
SHA256 = "image/key/sha256"
HEIGHT = "image/height"
WIDTH = "image/width"
# In the order of a box's numbers.
BOX_EDGES = tuple(f"image/object/bbox/{edge}" for edge in ("ymin", "xmin", "ymax", "xmax"))
LABEL = "image/object/class/label"
TEXT = "image/object/class/text"
DIFFICULT = "image/object/difficult"
TRUNCATED = "image/object/truncated"
OCCLUDED = "image/object/occluded"  # ours
CROWD = "image/object/is_crowd"
AREA = "image/object/area"
VIEW = "image/object/view"
ANNOTATION_ID = "image/object/annotation_id"  # ours: COCO's

_UNEQUAL = "a record must have as many labels as boxes"


def to_example(annotation: ImageAnnotation, encoded: bytes) -> bytes:
    """Serializes a record; equal input gives equal bytes.

    Args:
        annotation: the record without its pixels.
        encoded: the image as a JPEG.
    """
    objects = annotation.objects
    features = {
        ENCODED: wire.byte_strings([encoded]),
        FORMAT: wire.words((b"jpeg",)),
        ORIGINAL_FORMAT: wire.words((annotation.original_format.encode(),)),
        # File names on disk need not be UTF-8; this returns their bytes.
        FILENAME: wire.byte_strings([os.fsencode(annotation.filename)]),
        SOURCE_ID: wire.byte_strings([os.fsencode(annotation.source_id)]),
        SHA256: wire.byte_strings([hashlib.sha256(encoded).hexdigest().encode()]),
        HEIGHT: wire.ints((annotation.height,)),
        WIDTH: wire.ints((annotation.width,)),
        LABEL: wire.ints(tuple([item.label for item in objects])),
        TEXT: wire.words(tuple([item.name.encode() for item in objects])),
        DIFFICULT: wire.ints(tuple([item.difficult for item in objects])),
        TRUNCATED: wire.ints(tuple([item.truncated for item in objects])),
        OCCLUDED: wire.ints(tuple([item.occluded for item in objects])),
        CROWD: wire.ints(tuple([item.crowd for item in objects])),
        AREA: wire.floats([item.area for item in objects]),
        VIEW: wire.words(tuple([item.pose.encode() for item in objects])),
        ANNOTATION_ID: wire.ints(tuple([item.annotation_id for item in objects])),
    }
    for edge, key in enumerate(BOX_EDGES):
        features[key] = wire.floats([item.box[edge] for item in objects])
    return wire.example(features)


def record_at(path: tf.Tensor, begin: tf.Tensor, buffer_size: int | tf.Tensor) -> tf.data.Dataset:
    """A dataset of the one record whose frame begins at byte ``begin`` of a TFRecord file.

    Args:
        path: string scalar.
        begin: int64 scalar.
        buffer_size: number of bytes to read at once; 0: only as many as are needed.

    Returns:
        a dataset of one string scalar, the serialized record.

    Raises:
        tf.errors.DataLossError: while reading, if a checksum is wrong.
    """
    # TFRecordDataset(path), but from the middle of a file, which no public function can do.
    variant = tf.raw_ops.TFRecordDatasetV2(
        filenames=path[tf.newaxis],
        compression_type="",
        buffer_size=buffer_size,
        byte_offsets=begin[tf.newaxis],
    )
    return tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string)).take(1)


def parse_example(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parses one record, in a graph or eagerly.

    Args:
        serialized: string scalar.

    Returns:
        ``encoded`` and ``source_id`` string scalars, ``height`` and ``width`` int32 scalars,
        ``boxes`` float32 [N, 4] as [ymin, xmin, ymax, xmax], clipped to [0, 1], ``labels`` int32
        [N] from 1, ``difficult`` and ``crowd`` bool [N], ``area`` float32 [N] in pixels². If a
        record lacks difficult, crowd or area, they are zeros.

    Raises:
        tf.errors.InvalidArgumentError: the record has another schema.
    """
    parsed = tf.io.parse_single_example(serialized, _FEATURES)
    boxes = _clipped(tf.stack([parsed[key] for key in BOX_EDGES], axis=-1))
    labels = tf.cast(parsed[LABEL], tf.int32)
    num_objects = tf.shape(boxes)[0]
    with tf.control_dependencies(
        [tf.debugging.assert_equal(tf.size(labels), num_objects, _UNEQUAL)]
    ):
        labels = tf.identity(labels)
    return {
        "encoded": parsed[ENCODED],
        "source_id": parsed[SOURCE_ID],
        "height": tf.cast(parsed[HEIGHT], tf.int32),
        "width": tf.cast(parsed[WIDTH], tf.int32),
        "boxes": boxes,
        "labels": labels,
        "difficult": _or_zeros(parsed[DIFFICULT], num_objects) > 0,
        "crowd": _or_zeros(parsed[CROWD], num_objects) > 0,
        "area": _or_zeros(parsed[AREA], num_objects),
    }


class Parsed(NamedTuple):
    """What training needs of B records; N is the number of objects of the record with the most.

    ``encoded`` string [B]; ``size`` int32 [B, 2], height and width in pixels; ``boxes`` float32
    [B, N, 4] as [ymin, xmin, ymax, xmax], clipped to [0, 1], zeros for padding; ``labels`` int32
    [B, N] from 1, 0 for padding; ``crowd`` bool [B, N].
    """

    encoded: tf.Tensor
    size: tf.Tensor
    boxes: tf.Tensor
    labels: tf.Tensor
    crowd: tf.Tensor


def parse_batch(serialized: tf.Tensor) -> Parsed:
    """Parses B records at once.

    Args:
        serialized: string [B].

    Raises:
        tf.errors.InvalidArgumentError: a record has another schema.
    """
    parsed = tf.io.parse_example(serialized, _BATCH_FEATURES)
    edges = [parsed[key] for key in BOX_EDGES]
    labels = parsed[LABEL]
    # Labels and edges must be padded in the same places: a record with more labels than boxes, or
    # fewer, would otherwise be read without an error.
    is_object = [edge != _NO_EDGE for edge in edges]
    checks = [tf.debugging.assert_equal(tf.shape(labels), tf.shape(edge)) for edge in edges]
    with tf.control_dependencies(checks):
        checks = [tf.debugging.assert_equal(labels > 0, has, _UNEQUAL) for has in is_object]
    with tf.control_dependencies(checks):
        labels = tf.cast(labels, tf.int32)
    # Each list is padded to its own longest, and records of other tools may have no crowds.
    crowd = parsed[CROWD][:, : tf.shape(labels)[1]]
    crowd = tf.pad(crowd, [[0, 0], [0, tf.shape(labels)[1] - tf.shape(crowd)[1]]])
    return Parsed(
        encoded=parsed[ENCODED],
        size=tf.cast(tf.stack([parsed[HEIGHT], parsed[WIDTH]], axis=1), tf.int32),
        boxes=_clipped(tf.stack(edges, axis=2)),
        labels=labels,
        crowd=crowd > 0,
    )


def without_image(serialized: bytes) -> bytes:
    """Returns the record with an empty string for its JPEG."""
    example = tf.train.Example.FromString(serialized)
    example.features.feature[ENCODED].bytes_list.value[:] = [b""]
    return example.SerializeToString(deterministic=True)


def _clipped(boxes: tf.Tensor) -> tf.Tensor:
    # Records of other tools may reach beyond the image (inspection/record_check.py). In our own
    # nothing changes: numbers in [0, 1] keep their bits.
    return tf.clip_by_value(boxes, 0.0, 1.0)


def _or_zeros(values: tf.Tensor, num_objects: tf.Tensor) -> tf.Tensor:
    return tf.pad(values, [[0, num_objects - tf.size(values)]])


def _list_of(dtype: tf.DType) -> tf.io.FixedLenSequenceFeature:
    # A missing key is read as an empty list: other tools leave out what they do not know.
    return tf.io.FixedLenSequenceFeature([], dtype, allow_missing=True)


_FEATURES = {
    ENCODED: tf.io.FixedLenFeature([], tf.string),
    SOURCE_ID: tf.io.FixedLenFeature([], tf.string, ""),
    HEIGHT: tf.io.FixedLenFeature([], tf.int64),
    WIDTH: tf.io.FixedLenFeature([], tf.int64),
    LABEL: _list_of(tf.int64),
    DIFFICULT: _list_of(tf.int64),
    CROWD: _list_of(tf.int64),
    AREA: _list_of(tf.float32),
    **{key: _list_of(tf.float32) for key in BOX_EDGES},
}


# What pads the edges: no box has it, as edges are fractions of the image, or not far outside it.
_NO_EDGE = -1.0


def _padded(dtype: tf.DType, padding: float) -> tf.io.FixedLenSequenceFeature:
    return tf.io.FixedLenSequenceFeature([], dtype, allow_missing=True, default_value=padding)


_BATCH_FEATURES = {
    ENCODED: tf.io.FixedLenFeature([], tf.string),
    HEIGHT: tf.io.FixedLenFeature([], tf.int64),
    WIDTH: tf.io.FixedLenFeature([], tf.int64),
    LABEL: _padded(tf.int64, 0),
    CROWD: _padded(tf.int64, 0),
    **{key: _padded(tf.float32, _NO_EDGE) for key in BOX_EDGES},
}
