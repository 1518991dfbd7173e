"""Suppression without XLA against the product's, to the bit."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.exporting import suppression_graph
from ssd_tfrecord.geometry import suppression
from ssd_tfrecord.options import DetectionOptions

GRAPH = tf.function(suppression_graph.select, autograph=False, reduce_retracing=True)


def lattice(seed, *, batch=2, anchors=60, classes=3, steps=12):
    """Boxes and scores of few values: equal scores, equal boxes, sides of 0, simple IoUs."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 48, [batch, anchors, 2])
    boxes = np.concatenate([low, low + rng.integers(0, 16, [batch, anchors, 2])], axis=-1) / 64
    scores = rng.integers(0, steps, [batch, anchors, classes]) / 64
    return boxes.astype(np.float32), scores.astype(np.float32)


def crowded(seed, *, batch=3, anchors=700, classes=4):
    """Boxes in clusters, partly outside of the image, as a decoder gives them; softmax scores."""
    rng = np.random.default_rng(seed)
    low = rng.choice(rng.uniform(-0.1, 0.7, [9, 2]), [batch, anchors])
    low = low + rng.normal(0, 0.02, [batch, anchors, 2])
    size = np.exp(rng.normal(-1.5, 0.2, [batch, anchors, 2]))
    logits = rng.normal(0, 2, [batch, anchors, classes + 1]).astype(np.float32)
    scores = tf.nn.softmax(logits)[..., 1:].numpy()
    return np.concatenate([low, low + size], axis=-1).astype(np.float32), scores


def assert_equal(boxes, scores, options):
    expected = suppression.select(boxes, scores, options)
    found = GRAPH(boxes, scores, options)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
        assert found[name].dtype == value.dtype
    return {name: value.numpy() for name, value in found.items()}


OPTIONS = {
    "published thresholds": DetectionOptions(),
    "IoU exactly on the threshold stays": DetectionOptions(nms_iou=0.5),
    "few candidates, few detections": DetectionOptions(nms_candidates=7, max_detections=5),
    "every overlap goes": DetectionOptions(nms_iou=0.0, max_detections=20),
    "nothing goes": DetectionOptions(nms_iou=1.0, max_detections=30),
    "a score on the threshold is none": DetectionOptions(score_threshold=0.125),
    "every score above 0 counts": DetectionOptions(score_threshold=0.0, max_detections=300),
    "no score is high enough": DetectionOptions(score_threshold=1.0),
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_equals_the_compiled_one_ties_included(options):
    # All of one shape, because each shape is compiled.
    for seed in range(6):
        assert_equal(*lattice(seed), options)
    # Scores of two values, and classes and images without any.
    assert_equal(*lattice(6, steps=2), options)
    boxes, scores = lattice(7)
    scores[0, :, 1] = scores[1] = 0.0
    assert_equal(boxes, scores, options)


@pytest.mark.parametrize(
    "shape", [{"anchors": 1}, {"classes": 1}, {"batch": 1, "classes": 7}], ids=str
)
def test_equals_the_compiled_one_in_other_shapes(shape):
    assert_equal(*lattice(8, **shape), DetectionOptions(nms_iou=0.5))


def test_equals_the_compiled_one_on_what_a_decoder_gives():
    options = DetectionOptions(nms_candidates=150, max_detections=100)
    for seed in range(4):
        found = assert_equal(*crowded(seed), options)
        assert np.count_nonzero(found["labels"]) > 200


@pytest.mark.soak
def test_equals_the_compiled_one_at_length():
    rng = np.random.default_rng(0)
    for seed in range(100):
        options = DetectionOptions(
            nms_iou=rng.choice([0.25, 1 / 3, 0.45, 0.5, 0.6, rng.uniform()]),
            score_threshold=rng.choice([0.0, 0.01, 0.125, rng.uniform(0, 0.3)]),
            nms_candidates=int(rng.choice([1, 5, 50, 400])),
            max_detections=int(rng.choice([1, 10, 100, 400])),
        )
        make = lattice if seed % 2 else crowded
        assert_equal(*make(seed, batch=1 + seed % 3, classes=1 + seed % 7), options)


def test_a_detection_s_anchor_is_the_lowest_with_its_box_and_score():
    options = DetectionOptions(score_threshold=0.1, max_detections=50)
    for seed in range(5):
        boxes, scores = lattice(seed, steps=9)
        boxes[:, 30:] = boxes[:, :30]
        scores[:, 30:] = scores[:, :30]
        found = assert_equal(boxes, scores, options)
        for row in range(2):
            kept = found["labels"][row] > 0
            assert kept.any()
            labels, anchors = found["labels"][row][kept], found["anchors"][row][kept]
            np.testing.assert_array_equal(boxes[row][anchors], found["boxes"][row][kept])
            np.testing.assert_array_equal(
                scores[row][anchors, labels - 1], found["scores"][row][kept]
            )
            # Boxes without area overlap nothing, not even their copies.
            has_area = np.prod(boxes[row][anchors][:, 2:] - boxes[row][anchors][:, :2], 1) > 0
            assert (anchors[has_area] < 30).all()
            assert len(set(zip(labels, anchors))) == kept.sum()
            assert not found["anchors"][row][~kept].any()


@pytest.mark.parametrize(
    ("nms_iou", "iou", "stays"),
    [(0.45, 0.44997, True), (0.45, 0.44999, False), (0.5, 0.50002, True), (0.5, 0.50004, False)],
)
def test_iou_is_rounded_before_it_is_compared(nms_iou, iou, stays):
    boxes = np.float32([[[0, 0, 1, 1], [0, 0, 1, iou]]])
    scores = np.float32([[[0.75], [0.5]]])
    found = assert_equal(boxes, scores, DetectionOptions(nms_iou=nms_iou, max_detections=2))
    np.testing.assert_array_equal(found["labels"], [[1, int(stays)]])


def test_no_images_are_no_detections():
    found = GRAPH(
        np.zeros([0, 9, 4], np.float32),
        np.zeros([0, 9, 2], np.float32),
        OPTIONS["published thresholds"],
    )
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "boxes": (0, 200, 4),
        "scores": (0, 200),
        "labels": (0, 200),
        "anchors": (0, 200),
    }


@pytest.mark.parametrize(
    "nms_iou", [0.0, 1e-9, 0.1, 0.25, 1 / 3, 0.45, 0.5, 0.6, 0.99999, 1 - 1e-12, 1.0]
)
def test_the_kernel_s_threshold_divides_all_ious_as_the_integer_does(nms_iou):
    ious = [np.float32(nms_iou), np.float32(suppression_graph.kernel_threshold(nms_iou))]
    for middle in np.arange(-3, 4) / 2:
        ious.append(np.float32((np.floor(nms_iou * 2**14) + middle) / 2**14))
    for value in list(ious):
        for _ in range(3):
            ious += [np.nextafter(ious[-1], np.float32(2)), np.nextafter(value, np.float32(-1))]
    ious = np.clip(np.float32(ious), 0, 1)
    gone = tf.round(ious * 2.0**14) > nms_iou * 2.0**14
    np.testing.assert_array_equal(ious > suppression_graph.kernel_threshold(nms_iou), gone)
    simple = {np.float32(a / b) for b in range(1, 65) for a in range(b + 1)} - {np.float32(1.0)}
    assert min(abs(iou - suppression_graph.kernel_threshold(nms_iou)) for iou in simple) > 1e-7


def test_nothing_is_compiled():
    graph = GRAPH.get_concrete_function(
        tf.TensorSpec([None, 50, 4]), tf.TensorSpec([None, 50, 3]), DetectionOptions()
    ).graph
    functions = graph.as_graph_def().library.function
    assert functions
    assert not [f for f in functions if f.attr["_XlaMustCompile"].b]
