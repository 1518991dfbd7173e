"""What a record set says is in its images, without their pixels."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.schema import parse_example


@dataclass(frozen=True)
class GroundTruth:
    """The N objects of one image.

    ``boxes`` float32 [N, 4] as [ymin, xmin, ymax, xmax] in [0, 1], ``labels`` int32 [N] from 1,
    ``difficult`` and ``crowd`` bool [N], ``area`` float32 [N] in pixels² (0: the box's).
    ``height`` and ``width`` in pixels.
    """

    source_id: str
    height: int
    width: int
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray
    area: np.ndarray


_FIELDS = tuple(field.name for field in dataclasses.fields(GroundTruth))


def read_ground_truths(manifest: Manifest) -> list[GroundTruth]:
    """The ground truth of every record of ``manifest``, in record order. No image is decoded."""
    records = tf.data.TFRecordDataset(list(manifest.shard_paths))
    records = records.map(_without_pixels, num_parallel_calls=tf.data.AUTOTUNE)
    return [_ground_truth(record) for record in records.as_numpy_iterator()]


def _without_pixels(serialized):
    record = parse_example(serialized)
    return {name: record[name] for name in _FIELDS}


def _ground_truth(record):
    size = {name: int(record[name]) for name in ("height", "width")}
    return GroundTruth(**{**record, **size, "source_id": record["source_id"].decode()})
