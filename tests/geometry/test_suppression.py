"""Post-processing against a slow twin, exactly: scores and boxes are multiples of 1/64."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.geometry import suppression
from ssd_tfrecord.options import DetectionOptions


def _iou(a, b):
    height = min(a[2], b[2]) - max(a[0], b[0])
    width = min(a[3], b[3]) - max(a[1], b[1])
    overlap = max(height, 0.0) * max(width, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap
    return overlap / union if union > 0 else 0.0


def _twin_class(boxes, scores, options):
    """Anchors kept of one class of one image, best first."""
    order = sorted(range(len(scores)), key=lambda anchor: (-scores[anchor], anchor))
    kept = []
    for anchor in [a for a in order if scores[a] > options.score_threshold][
        : options.nms_candidates
    ]:
        ious = [np.round(_iou(boxes[other], boxes[anchor]) * 2**14) for other in kept]
        if max(ious, default=0) <= options.nms_iou * 2**14:
            kept.append(anchor)
    return kept


def _twin(boxes, scores, options):
    """Reference for one image: rows of (box, score, label)."""
    found = [
        (-scores[anchor, label - 1], label, rank, anchor)
        for label in range(1, scores.shape[1] + 1)
        for rank, anchor in enumerate(_twin_class(boxes, scores[:, label - 1], options))
    ]
    rows = np.zeros([options.max_detections, 6], np.float32)
    for row, (score, label, _, anchor) in zip(rows, sorted(found)):
        row[:] = [*boxes[anchor], -score, label]
    return rows


def _rows(result):
    labels = result["labels"].numpy()[..., np.newaxis].astype(np.float32)
    return np.concatenate([result["boxes"], result["scores"][..., np.newaxis], labels], axis=-1)


def _random_case(seed, *, batch, anchors, classes):
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 48, [batch, anchors, 2])
    boxes = np.concatenate([low, low + rng.integers(0, 16, [batch, anchors, 2])], axis=-1) / 64
    scores = rng.integers(0, 12, [batch, anchors, classes]) / 64
    return boxes.astype(np.float32), scores.astype(np.float32)


CASES = {
    "published thresholds": DetectionOptions(),
    "IoU exactly on the threshold stays": DetectionOptions(nms_iou=0.5),
    "few candidates, few detections": DetectionOptions(nms_candidates=7, max_detections=5),
    "every overlap goes": DetectionOptions(nms_iou=0.0, max_detections=20),
    "nothing goes": DetectionOptions(nms_iou=1.0, max_detections=30),
    "a score on the threshold is none": DetectionOptions(score_threshold=0.125),
    "no score is high enough": DetectionOptions(score_threshold=1.0),
}


@pytest.mark.parametrize("options", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
def test_equals_the_greedy_twin_ties_included(options, compiled):
    select = tf.function(
        lambda boxes, scores: suppression.select(boxes, scores, options), jit_compile=compiled
    )
    for seed in range(5):
        boxes, scores = _random_case(seed, batch=2, anchors=60, classes=3)
        expected = np.stack([_twin(*image, options) for image in zip(boxes, scores)])
        np.testing.assert_array_equal(_rows(select(boxes, scores)), expected)


def test_the_better_of_two_close_boxes_stays_and_its_neighbour_of_another_class_too():
    boxes = np.float32([[[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.75], [0.5, 0.5, 1, 1]]])
    scores = np.float32([[[0.5, 0.25], [0.75, 0.25], [0.125, 0.0]]])
    result = suppression.select(boxes, scores, DetectionOptions(max_detections=5))
    np.testing.assert_array_equal(
        _rows(result)[0],
        # IoU of the first two is 2/3: class 1 keeps the second, class 2 the lower anchor.
        [
            [0, 0, 0.5, 0.75, 0.75, 1],
            [0, 0, 0.5, 0.5, 0.25, 2],
            [0.5, 0.5, 1, 1, 0.125, 1],
            [0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0],
        ],
    )


def test_a_suppressed_box_suppresses_nothing():
    # Each overlaps the next with IoU 3/5; the first and the third with 1/3.
    boxes = np.float32([[[0, 0, 1, 0.5], [0, 0.125, 1, 0.625], [0, 0.25, 1, 0.75]]])
    scores = np.float32([[[0.75], [0.5], [0.25]]])
    result = suppression.select(boxes, scores, DetectionOptions(max_detections=3))
    np.testing.assert_array_equal(result["scores"], [[0.75, 0.25, 0.0]])


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
def test_detect_decodes_clips_and_takes_softmax_without_background(compiled):
    anchors = np.float32([[0.0, 0.0, 0.5, 0.5], [0.25, 0.25, 0.75, 0.75]])
    # Centre of the first moves up by a tenth of half the image; the second doubles its width.
    offsets = np.float32([[[-1, 0, 0, 0], [0, 0, 0, np.log(2) / 0.2]]])
    logits = np.log(np.float32([[[0.25, 0.5, 0.25], [0.125, 0.0625, 0.8125]]]))
    options = DetectionOptions(score_threshold=0.1, max_detections=4)
    detect = tf.function(
        lambda *inputs: suppression.detect(*inputs, anchors, options), jit_compile=compiled
    )
    result = detect(offsets, logits)
    np.testing.assert_array_equal(result["labels"], [[2, 1, 2, 0]])
    np.testing.assert_allclose(result["scores"], [[0.8125, 0.5, 0.25, 0]], rtol=1e-6)
    first, second = [0, 0, 0.45, 0.5], [0.25, 0, 0.75, 1]
    np.testing.assert_allclose(
        result["boxes"], [[second, first, first, [0] * 4]], atol=1e-6, rtol=1e-6
    )


def test_boxes_are_compared_before_they_are_clipped():
    anchors = np.float32([[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5]])
    # The second is [0, -0.5, 0.5, 0.5]. IoU is 1/2 as decoded, 1 once clipped.
    offsets = np.float32([[[0, 0, 0, 0], [0, -5, 0, np.log(2) / 0.2]]])
    logits = np.log(np.float32([[[0.25, 0.75], [0.5, 0.5]]]))
    options = DetectionOptions(nms_iou=0.75, max_detections=3)
    result = suppression.detect(offsets, logits, anchors, options)
    np.testing.assert_allclose(result["scores"], [[0.75, 0.5, 0]], rtol=1e-6)
    inside = [0, 0, 0.5, 0.5]
    np.testing.assert_allclose(result["boxes"], [[inside, inside, [0] * 4]], atol=1e-6)


def test_select_is_compiled_wherever_it_is_called():
    boxes, scores = tf.zeros([1, 5, 4]), tf.zeros([1, 5, 2])
    graph = tf.function(lambda: suppression.select(boxes, scores, DetectionOptions()))
    functions = graph.get_concrete_function().graph.as_graph_def().library.function
    (inner,) = (item for item in functions if "select" in item.signature.name)
    assert inner.attr["_XlaMustCompile"].b


def test_graph_and_xla_agree_on_random_outputs():
    rng = np.random.default_rng(3)
    anchors, _ = _random_case(0, batch=1, anchors=500, classes=1)
    offsets = rng.normal(size=[2, 500, 4]).astype(np.float32)
    logits = rng.normal(scale=3, size=[2, 500, 6]).astype(np.float32)

    def run(offsets, logits):
        return suppression.detect(offsets, logits, anchors[0], DetectionOptions())

    graph = tf.function(run)(offsets, logits)
    compiled = tf.function(run, jit_compile=True)(offsets, logits)
    np.testing.assert_array_equal(graph["labels"], compiled["labels"])
    assert np.count_nonzero(graph["labels"]) == 400
    np.testing.assert_allclose(graph["boxes"], compiled["boxes"], atol=1e-6)
    np.testing.assert_allclose(graph["scores"], compiled["scores"], rtol=1e-5)


def _candidates(kind):
    """Boxes [B, C, K, 4] and which count, [B, C, K]; K is no multiple of a block."""
    rng = np.random.default_rng(5)
    low = rng.integers(0, 40, [2, 3, 150, 2])
    boxes = np.concatenate([low, low + rng.integers(0, 40, low.shape)], axis=-1) / 64
    counts = rng.integers(70, 151, [2, 3, 1])
    if kind == "each overlaps the next":
        # IoU of neighbours is 3/5, of the others at most 1/3: every second one stays.
        left = np.arange(150)[:, np.newaxis] / 8
        chain = np.concatenate([0 * left, left, 0 * left + 1, left + 0.5], axis=1)
        boxes, counts = np.broadcast_to(chain, boxes.shape), np.full([2, 3, 1], 150)
    elif kind == "none":
        counts = np.zeros([2, 3, 1])
    elif kind == "no class":
        boxes, counts = boxes[:, :0], counts[:, :0]
    elif kind == "less than a block":
        boxes = boxes[:, :, :9]
    valid = np.arange(boxes.shape[2]) < counts
    return tf.constant(boxes, tf.float32), tf.constant(valid)


@pytest.mark.parametrize("nms_iou", [0.0, 0.45, 0.5, 1.0])
@pytest.mark.parametrize(
    "kind", ["random", "each overlaps the next", "none", "no class", "less than a block"]
)
def test_blocks_keep_what_the_loop_keeps(kind, nms_iou):
    boxes, valid = _candidates(kind)
    expected = suppression._greedy(boxes, valid, nms_iou)
    if kind == "random" and nms_iou < 0.6:
        assert 0 < np.count_nonzero(expected) < np.count_nonzero(valid)
    if kind == "each overlaps the next" and nms_iou == 0.45:
        assert np.count_nonzero(expected) == 2 * 3 * 75
    functions = [suppression._greedy_in_blocks]
    if nms_iou == 0.45:  # compiling takes a second
        functions.append(tf.function(functions[0], jit_compile=True, autograph=False))
    for function in functions:
        np.testing.assert_array_equal(function(boxes, valid, nms_iou), expected)


def test_blocks_of_an_unknown_number_of_images():
    boxes, valid = _candidates("random")
    function = tf.function(
        lambda boxes, valid: suppression._greedy_in_blocks(boxes, valid, 0.45),
        input_signature=[tf.TensorSpec([None, *t.shape[1:]], t.dtype) for t in (boxes, valid)],
        jit_compile=True,
    )
    expected = suppression._greedy(boxes, valid, 0.45)
    np.testing.assert_array_equal(function(boxes, valid), expected)
    np.testing.assert_array_equal(function(boxes[:1], valid[:1]), expected[:1])


@pytest.mark.parametrize("gpus, expected", [([], "_greedy"), (["GPU:0"], "_greedy_in_blocks")])
def test_only_a_gpu_works_in_blocks(monkeypatch, gpus, expected):
    called = []
    for name in ("_greedy", "_greedy_in_blocks"):
        monkeypatch.setattr(
            suppression, name, lambda _, valid, __, name=name: called.append(name) or valid
        )
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: gpus)
    boxes, scores = _random_case(0, batch=1, anchors=5, classes=2)
    suppression.select.python_function(boxes, scores, DetectionOptions())
    assert called == [expected]
