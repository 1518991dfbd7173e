"""The nodes against ``geometry.suppression.select``, in onnxruntime."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from ssd_tfrecord.exporting.onnx.suppression_nodes import GraphWriter, add_suppression, iou_bound
from ssd_tfrecord.geometry import suppression
from ssd_tfrecord.options import DetectionOptions

OUTPUTS = ["boxes_out", "scores_out", "classes_out", "counts_out"]


def run(boxes, scores, options):
    """The outputs for boxes [B, A, 4] as [ymin, xmin, ymax, xmax]."""
    writer = GraphWriter("test")
    add_suppression(writer, "boxes", "scores", OUTPUTS, scores.shape[1:], options)
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        writer.nodes,
        "test",
        [
            helper.make_tensor_value_info("boxes", kind, ["batch", *boxes.shape[1:]]),
            helper.make_tensor_value_info("scores", kind, ["batch", *scores.shape[1:]]),
        ],
        [helper.make_tensor_value_info(name, kind, None) for name in OUTPUTS],
        writer.constants,
    )
    proto = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    return session.run(None, {"boxes": boxes[..., [1, 0, 3, 2]], "scores": scores})


def assert_equal(boxes, scores, options):
    """To the bit: the same boxes, scores and labels in the same order."""
    expected = {
        name: value.numpy() for name, value in suppression.select(boxes, scores, options).items()
    }
    boxes_out, scores_out, classes_out, counts_out = run(boxes, scores, options)
    np.testing.assert_array_equal(scores_out, expected["scores"])
    np.testing.assert_array_equal(classes_out, expected["labels"])
    np.testing.assert_array_equal(boxes_out, expected["boxes"].clip(0, 1))
    np.testing.assert_array_equal(counts_out, (expected["labels"] > 0).sum(axis=1))
    return expected


def random_boxes(random, batch, count):
    centers = random.uniform(0, 1, (batch, count, 2))
    halves = random.uniform(0.02, 0.3, (batch, count, 2))
    return np.concatenate([centers - halves, centers + halves], -1).astype(np.float32)


@pytest.mark.parametrize(
    ("options", "decimals"),
    [
        pytest.param(DetectionOptions(max_detections=40), 6, id="scores that differ"),
        pytest.param(DetectionOptions(max_detections=40), 1, id="many equal scores"),
        pytest.param(
            DetectionOptions(nms_candidates=20, max_detections=15), 1, id="few candidates, ties cut"
        ),
        pytest.param(
            DetectionOptions(score_threshold=0.5, max_detections=500), 2, id="padding at the end"
        ),
        pytest.param(
            DetectionOptions(nms_iou=0.0, score_threshold=0.0, max_detections=90),
            2,
            id="no overlap",
        ),
        pytest.param(DetectionOptions(nms_iou=1.0, max_detections=90), 2, id="any overlap"),
    ],
)
def test_equal_to_select(options, decimals):
    random = np.random.default_rng(3)
    boxes = random_boxes(random, 3, 120)
    scores = random.uniform(0, 1, (3, 120, 4)).round(decimals).astype(np.float32)
    # One image without a detection, and one class without any.
    scores[1] = 0
    scores[:, :, 2] = 0
    found = assert_equal(boxes, scores, options)
    assert (found["labels"] > 0).sum() > 20


@pytest.mark.parametrize("threshold", [0.25, 0.45, 0.5])
def test_equal_where_iou_lies_at_the_threshold(threshold):
    # Two boxes, 16384 wide, that overlap by a whole number around the one of that IoU.
    overlap = round(2 * 16384 * threshold / (1 + threshold))
    starts = [16384 - overlap + shift for shift in range(-4, 5)]
    boxes = [[[0, 0, 1, 16384], [0, start, 1, start + 16384]] for start in starts]
    scores = np.full([len(starts), 2, 1], [[0.9], [0.8]], np.float32)
    options = DetectionOptions(nms_iou=threshold, max_detections=2)
    found = assert_equal(np.array(boxes, np.float32), scores, options)
    assert set((found["labels"] > 0).sum(axis=1).tolist()) == {1, 2}


@pytest.mark.parametrize("nms_iou", [0.0, 0.25, 0.45, 0.5, 0.5 + 1 / 16384, 0.7, 0.999])
def test_bound_separates_what_select_separates(nms_iou):
    bound = np.float32(iou_bound(nms_iou))
    values = [bound]
    for _ in range(3):
        values = [np.nextafter(values[0], np.float32(0)), *values]
        values = [*values, np.nextafter(values[-1], np.float32(2))]
    for value in values:
        ours = np.round(value * np.float32(16384)) > np.float32(nms_iou * 16384)
        assert (value > bound) == ours


def test_no_more_boxes_than_anchors_can_give():
    boxes = np.array([[[0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 1.2, 0.9]]], np.float32)
    scores = np.array([[[0.5], [0.9]]], np.float32)
    found = run(boxes, scores, DetectionOptions(max_detections=4))
    # Clipped last, and the rest padded.
    rows = [[0.5, 0.5, 1.0, 0.9], [0.1, 0.1, 0.4, 0.4], [0] * 4, [0] * 4]
    np.testing.assert_array_equal(found[0][0], np.array(rows, np.float32))
    np.testing.assert_array_equal(found[1][0], np.array([0.9, 0.5, 0, 0], np.float32))
    np.testing.assert_array_equal(found[2][0], [1, 1, 0, 0])
    np.testing.assert_array_equal(found[3], [2])


@pytest.mark.soak
def test_equal_to_select_in_long():
    random = np.random.default_rng(5)
    for _ in range(40):
        boxes = random_boxes(random, 2, 2000)
        scores = random.uniform(0, 1, (2, 2000, 20)) ** random.integers(1, 9)
        scores = scores.round(random.integers(1, 7)).astype(np.float32)
        assert_equal(boxes, scores, DetectionOptions())
