"""The runner: every image exactly once, in order, on one replica and on two."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.evaluation import runner
from ssd_tfrecord.evaluation.ground_truth import read_ground_truths
from ssd_tfrecord.model.keras import keras
from ssd_tfrecord.options import DetectionOptions
from ssd_tfrecord.records.manifest import Manifest

# Upper left quarter, and the whole picture.
ANCHORS = np.float32([[0, 0, 0.5, 0.5], [0, 0, 1, 1]])


def _model():
    """Scores that follow from the mean colour, so that each image has its own."""
    image = keras.Input([32, 32, 3])
    mean = keras.layers.GlobalAveragePooling2D()(image)
    logits = keras.layers.Dense(8, use_bias=False, kernel_initializer=_kernel, name="logits")(mean)
    offsets = keras.layers.Dense(8, kernel_initializer="zeros", name="offsets")(mean)
    outputs = {
        "offsets": keras.layers.Reshape([2, 4])(offsets),
        "logits": keras.layers.Reshape([2, 4])(logits),
    }
    return keras.Model(image, outputs)


def _kernel(shape, dtype=None):
    return tf.constant(np.random.default_rng(0).normal(scale=0.1, size=shape), dtype)


def _detect(manifest, strategy, *, batch_size):
    with strategy.scope():
        model = _model()
    return runner.detect_records(
        model,
        ANCHORS,
        manifest,
        read_ground_truths(manifest),
        detection=DetectionOptions(max_detections=6),
        num_workers=0,
        batch_size=batch_size,
        input_size=32,
        strategy=strategy,
    )


def _mirrored():
    return tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )


@pytest.fixture(scope="module")
def manifest(tiny_records):
    return Manifest.load(tiny_records)


def test_ground_truth_of_records_is_that_of_the_xml(manifest):
    truths = {truth.source_id: truth for truth in read_ground_truths(manifest)}
    assert sorted(truths) == [f"VOC2007/00000{number}" for number in range(1, 7)]
    two = truths["VOC2007/000002"]
    assert (two.height, two.width) == (60, 80)
    np.testing.assert_array_equal(two.labels, [2, 1])
    np.testing.assert_array_equal(two.difficult, [False, True])
    np.testing.assert_allclose(
        two.boxes, [[5 / 60, 10 / 80, 45 / 60, 50 / 80], [20 / 60, 40 / 80, 1, 1]], rtol=1e-6
    )
    np.testing.assert_allclose(two.area, [1600, 1600])
    assert truths["VOC2007/000004"].boxes.shape == (0, 4)
    np.testing.assert_array_equal(truths["VOC2007/000001"].boxes, [[0, 0, 1, 1]])


def test_every_image_once_in_record_order(manifest):
    found = _detect(manifest, tf.distribute.get_strategy(), batch_size=4)
    truths = read_ground_truths(manifest)
    assert [image.source_id for image in found] == [truth.source_id for truth in truths]
    assert [image.width for image in found] == [truth.width for truth in truths]
    assert all(0 < len(image.labels) <= 6 and image.labels.min() > 0 for image in found)
    assert all((np.diff(image.scores) <= 0).all() for image in found)
    # Each image has scores of its own: rows were not swapped on the way.
    assert len({float(image.scores[0]) for image in found}) == 6


@pytest.mark.parametrize("batch_size", [1, 3, 4, 32])
def test_two_replicas_and_any_batch_size_give_the_same(manifest, batch_size):
    expected = _detect(manifest, tf.distribute.get_strategy(), batch_size=1)
    found = _detect(manifest, _mirrored(), batch_size=batch_size)
    for one, other in zip(expected, found, strict=True):
        assert one.source_id == other.source_id
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-6)


def test_an_image_left_out_or_seen_twice_is_an_error(manifest, monkeypatch):
    whole = runner.evaluation_dataset
    monkeypatch.setattr(runner, "evaluation_dataset", lambda *a, **k: whole(*a, **k).take(1))
    with pytest.raises(RuntimeError, match=r"tiny: 2 of 6 images came out"):
        _detect(manifest, tf.distribute.get_strategy(), batch_size=2)
    monkeypatch.setattr(runner, "evaluation_dataset", lambda *a, **k: whole(*a, **k).repeat(2))
    with pytest.raises(RuntimeError, match=r"tiny: record 0 came out twice"):
        _detect(manifest, tf.distribute.get_strategy(), batch_size=2)
