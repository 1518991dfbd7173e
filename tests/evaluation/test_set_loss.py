"""The loss of a whole set, on the tiny record set."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.evaluation import set_loss
from ssd_tfrecord.geometry.anchors import anchor_boxes
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model.targets import assign_targets
from ssd_tfrecord.options import AnchorOptions, LossOptions
from ssd_tfrecord.records.manifest import Manifest

ANCHORS = anchor_boxes(AnchorOptions(), BACKBONES["vgg16"].inputs[300])


@pytest.fixture(scope="module")
def manifest(tiny_records):
    return Manifest.load(tiny_records)


def silent_model():
    """A network whose offsets and logits are all 0: every class has probability 1 / 4."""
    image = keras.Input((300, 300, 3))
    level = keras.layers.GlobalAveragePooling2D()(image)[:, :1, tf.newaxis] * 0.0
    rows = tf.ones([1, len(ANCHORS), 1])
    return keras.Model(
        image, {"offsets": level * rows * tf.ones(4), "logits": level * rows * tf.ones(4)}
    )


def test_loss_set_holds_each_object_once(manifest):
    batches = list(set_loss.loss_dataset(manifest, 300, 4).as_numpy_iterator())
    assert [len(batch.images) for batch in batches] == [4, 4]
    assert sum(np.count_nonzero(batch.labels) for batch in batches) == manifest.num_objects
    shown = np.concatenate([batch.indices for batch in batches])[: manifest.num_records]
    assert sorted(shown) == list(range(manifest.num_records))


@pytest.mark.parametrize("batch_size", [4, pytest.param(6, marks=pytest.mark.soak)])
def test_loss_is_that_of_the_whole_set_for_any_batch_size(manifest, batch_size):
    measured = set_loss.SetLoss(
        silent_model(),
        ANCHORS,
        manifest,
        LossOptions(),
        tf.distribute.get_strategy(),
        batch_size=batch_size,
    )
    whole = next(iter(set_loss.loss_dataset(manifest, 300, 6)))
    targets, (_, positives, _) = assign_targets(whole.boxes, whole.labels, tf.constant(ANCHORS))
    # Each positive and its three negatives cost log 4; the rest is smooth L1 of the targets.
    assert measured.measure() == pytest.approx(_expected(targets, float(positives)), rel=1e-5)


def _expected(targets, positives):
    labels, boxes = targets["labels"].numpy(), targets["boxes"].numpy()
    size = ANCHORS[:, 2:] - ANCHORS[:, :2]
    center = (ANCHORS[:, 2:] + ANCHORS[:, :2]) / 2
    total = 0.0
    for image, anchor in zip(*np.nonzero(labels)):
        box = boxes[image, anchor]
        offset = ((box[2:] + box[:2]) / 2 - center[anchor]) / size[anchor] / 0.1
        scale = np.log((box[2:] - box[:2]) / size[anchor]) / 0.2
        distance = np.abs(np.concatenate([offset, scale]))
        total += np.where(distance < 1, distance**2 / 2, distance - 0.5).sum()
    return 4 * np.log(4) + total / positives
