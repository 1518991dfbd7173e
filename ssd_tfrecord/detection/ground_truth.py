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


def from_objects(objects, height: int, width: int, class_names):
    """The ground truth of an image from the objects of an annotation file.

    Args:
        objects: ``SourceObject``s, boxes in pixels of the image; those with a flaw are left out.
        height, width: of the image, in pixels.
        class_names: of the labels 1, 2, ….

    Returns:
        GroundTruth, and the class names its labels count: ``class_names``, then those that only
        the objects have.
    """
    objects = [item for item in objects if not item.flaw]
    names = tuple(dict.fromkeys([*class_names, *(item.name for item in objects)]))
    boxes = np.array([item.box for item in objects], np.float64).reshape(-1, 4)
    truth = GroundTruth(
        source_id="",
        height=height,
        width=width,
        boxes=np.clip(boxes / [height, width, height, width], 0.0, 1.0).astype(np.float32),
        labels=np.array([names.index(item.name) + 1 for item in objects], np.int32),
        difficult=np.array([item.difficult for item in objects], bool),
        crowd=np.zeros(len(objects), bool),
        area=np.zeros(len(objects), np.float32),
    )
    return truth, names
