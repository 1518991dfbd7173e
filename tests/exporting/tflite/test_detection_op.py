import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.exporting.tflite import detection_op
from ssd_tfrecord.exporting.tflite.silence import silenced
from ssd_tfrecord.geometry import suppression
from ssd_tfrecord.options import DetectionOptions

ANCHORS = 60


def anchors(random):
    centers, sizes = random.uniform(0.2, 0.8, (ANCHORS, 2)), random.uniform(0.1, 0.4, (ANCHORS, 2))
    return np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1).astype(np.float32)


def converted(boxes, options, num_classes):
    def function(offsets, logits):
        return detection_op.detections(offsets, logits, boxes, options)

    signature = [
        tf.TensorSpec([1, ANCHORS, 4], name="offsets"),
        tf.TensorSpec([1, ANCHORS, num_classes + 1], name="logits"),
    ]
    traced = tf.function(function, input_signature=signature, autograph=False)
    with silenced():
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [traced.get_concrete_function()], tf.Module()
        )
        converter.allow_custom_ops = True
        return converter.convert()


def run(content, offsets, logits, num_threads=1):
    with silenced():
        interpreter = tf.lite.Interpreter(model_content=content, num_threads=num_threads)
        found = interpreter.get_signature_runner()(offsets=offsets, logits=logits)
    count = int(found.pop("count")[0])
    assert not found["scores"][0, count:].any()
    assert not found["classes"][0, count:].any()
    return {name: values[0, :count] for name, values in found.items()}


def assert_equal(found, offsets, logits, boxes, options):
    expected = suppression.detect(offsets, logits, tf.constant(boxes), options)
    labels = expected["labels"][0].numpy()
    count = np.count_nonzero(labels)
    assert len(found["scores"]) == count > 3
    np.testing.assert_array_equal(found["classes"] + 1, labels[:count])
    np.testing.assert_allclose(found["scores"], expected["scores"][0, :count], rtol=1e-6)
    # Clipped to the image too.
    np.testing.assert_allclose(found["boxes"], expected["boxes"][0, :count], atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(DetectionOptions(max_detections=8, nms_candidates=10), id="limits that cut"),
        pytest.param(
            DetectionOptions(max_detections=200, score_threshold=0.2, nms_iou=0.3),
            id="more places than detections",
        ),
    ],
)
def test_is_the_detectors_suppression(options):
    random = np.random.default_rng(0)
    boxes = anchors(random)
    content = converted(boxes, options, 5)
    for _ in range(3):
        offsets = random.normal(0, 1, (1, ANCHORS, 4)).astype(np.float32)
        # No two scores are equal: softmax of equal logits differs in its last bit by position.
        logits = random.normal(0, 1, (1, ANCHORS, 6)).astype(np.float32)
        # The operation by itself loses a class on as many threads as its number.
        for num_threads in (1, 2, 4):
            found = run(content, offsets, logits, num_threads)
            assert_equal(found, offsets, logits, boxes, options)


def test_offsets_without_bounds_give_boxes():
    random = np.random.default_rng(1)
    boxes, options = anchors(random), DetectionOptions(max_detections=10)
    offsets = random.choice([-1e6, 0, 1e6], (1, ANCHORS, 4)).astype(np.float32)
    logits = random.normal(0, 1, (1, ANCHORS, 3)).astype(np.float32)
    found = run(converted(boxes, options, 2), offsets, logits)["boxes"]
    assert np.isfinite(found).all()
    # What runtimes before TensorFlow 2.6 ask for.
    assert (found[:, :2] < found[:, 2:]).all()


def test_nothing_above_the_threshold_is_no_detection():
    boxes = anchors(np.random.default_rng(2))
    logits = np.zeros((1, ANCHORS, 3), np.float32)
    logits[..., 0] = 20
    options = DetectionOptions(max_detections=10)
    found = run(converted(boxes, options, 2), np.zeros((1, ANCHORS, 4), np.float32), logits)
    assert found["boxes"].shape == (0, 4)


def test_scales_are_those_of_the_boxes():
    attributes = detection_op.attributes(7, 3)
    assert [attributes[f"{axis}_scale"] for axis in "yxhw"] == [10, 10, 5, 5]
    assert attributes["max_detections"] == attributes["detections_per_class"] == 7
    assert attributes["num_classes"] == 3
