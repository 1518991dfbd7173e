"""The multibox loss against a slow NumPy twin, and by hand."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.model import losses
from ssd_tfrecord.options import LossOptions


def twin_sums(offsets, logits, boxes, labels, anchors, ratio=3.0):
    """Class and smooth-L1 sums and positives, image by image, anchor by anchor."""
    class_sum = box_sum = positives = 0.0
    for image in range(len(labels)):
        shifted = logits[image] - logits[image].max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        chosen = [a for a in range(len(anchors)) if labels[image, a] > 0]
        rest = [a for a in range(len(anchors)) if labels[image, a] == 0]
        rest.sort(key=lambda a: (log_p[a, 0], a))  # stable: the lower anchor first
        for a in chosen:
            class_sum -= log_p[a, labels[image, a]]
            ay, ax = (anchors[a, :2] + anchors[a, 2:]) / 2
            ah, aw = anchors[a, 2:] - anchors[a, :2]
            by, bx = (boxes[image, a, :2] + boxes[image, a, 2:]) / 2
            bh, bw = boxes[image, a, 2:] - boxes[image, a, :2]
            target = [
                (by - ay) / ah / 0.1,
                (bx - ax) / aw / 0.1,
                np.log(bh / ah) / 0.2,
                np.log(bw / aw) / 0.2,
            ]
            for d in np.abs(offsets[image, a] - target):
                box_sum += 0.5 * d * d if d < 1 else d - 0.5
        class_sum -= sum(log_p[a, 0] for a in rest[: int(len(chosen) * ratio)])
        positives += len(chosen)
    return class_sum, box_sum, positives


def random_case(rng, images=4, anchors=60, classes=5, quantised=False):
    low = rng.random((anchors, 2)) * 0.5
    anchor = np.concatenate([low, low + 0.1 + rng.random((anchors, 2)) * 0.4], 1)
    labels = rng.integers(1, classes + 1, (images, anchors)) * (rng.random((images, anchors)) < 0.1)
    labels[0] = 0
    box = np.roll(anchor, 3, axis=0)[None].repeat(images, 0) * (labels > 0)[..., None]
    logits = rng.normal(size=(images, anchors, classes + 1))
    if quantised:
        logits = np.round(logits)  # many equal losses
    offsets = rng.normal(size=(images, anchors, 4))
    return offsets, logits, box, labels, anchor


def sums(offsets, logits, boxes, labels, anchors):
    outputs = {
        "offsets": tf.constant(offsets, tf.float32),
        "logits": tf.constant(logits, tf.float32),
    }
    targets = {"boxes": tf.constant(boxes, tf.float32), "labels": tf.constant(labels, tf.int32)}
    return losses.multibox_sums(outputs, targets, tf.constant(anchors, tf.float32), LossOptions())


@pytest.mark.parametrize("quantised", [False, True], ids=["free", "ties"])
def test_equals_the_twin(quantised):
    rng = np.random.default_rng(5)
    for _ in range(10):
        case = random_case(rng, quantised=quantised)
        np.testing.assert_allclose(sums(*case), twin_sums(*case), rtol=1e-5)


def test_tied_negatives_are_mined_from_the_lower_anchor():
    loss = tf.constant([[9.0, 1.0, 2.0, 1.0, 1.0, 1.0], [5.0, 5.0, 5.0, 5.0, 5.0, 5.0]])
    positive = tf.constant([[True] + [False] * 5, [False] * 6])
    got = losses.hard_negatives(loss, positive, 3.0).numpy()
    np.testing.assert_array_equal(got[0], [False, True, True, True, False, False])
    assert not got[1].any()  # no positives, no negatives


def test_more_negatives_asked_for_than_there_are():
    positive = tf.constant([[True, True, False]])
    got = losses.hard_negatives(tf.constant([[0.0, 0.0, 0.0]]), positive, 3.0)
    np.testing.assert_array_equal(got, [[False, False, True]])


@pytest.mark.parametrize("kind", sorted(losses.BOX_LOSSES))
def test_no_positives_give_zero_loss_and_zero_gradient(kind):
    offsets = tf.Variable(tf.random.normal([2, 8, 4]))
    logits = tf.Variable(tf.random.normal([2, 8, 3]))
    targets = {"boxes": tf.zeros([2, 8, 4]), "labels": tf.zeros([2, 8], tf.int32)}
    anchors = tf.constant([[0.1, 0.1, 0.5, 0.5]] * 8)
    with tf.GradientTape() as tape:
        outputs = {"offsets": offsets.value(), "logits": logits.value()}
        values = losses.multibox_sums(outputs, targets, anchors, LossOptions(box_loss=kind))
        total = values[0] + values[1]
    assert [float(v) for v in values] == [0.0, 0.0, 0.0]
    for gradient in tape.gradient(total, [offsets, logits]):
        np.testing.assert_array_equal(gradient, np.zeros(gradient.shape))


# Predicted [0, 0, .2, .2] for [.1, .1, .3, .3]: overlap .01, union .07, hull .3 x .3.
# CIoU's box is [.1, .1, .3, .2]: overlap .01, union .05, arctan(1/2) against arctan(1).
DIOU = 1 - 1 / 7 + 0.02 / 0.18
V = 4 / np.pi**2 * (np.arctan(0.5) - np.arctan(1.0)) ** 2


@pytest.mark.parametrize(
    ("kind", "box", "want"),
    [
        ("giou", [0.1, 0.1, 0.3, 0.3], 1 - 1 / 7 + 0.02 / 0.09),
        ("diou", [0.1, 0.1, 0.3, 0.3], DIOU),
        ("ciou", [0.1, 0.1, 0.3, 0.3], DIOU),
        (
            "ciou",
            [0.1, 0.1, 0.3, 0.2],
            1 - 0.2 + (0.1**2 + 0.05**2) / (0.3**2 + 0.2**2) + V * V / (1 - 0.2 + V),
        ),
        ("smooth_l1", [0.1, 0.1, 0.3, 0.3], 2 * (0.1 / 0.2 / 0.1 - 0.5)),
    ],
)
def test_box_losses_by_hand(kind, box, want):
    anchor = tf.constant([[0.0, 0.0, 0.2, 0.2]])
    got = losses.BOX_LOSSES[kind](tf.zeros([1, 1, 4]), tf.constant([[box]]), anchor)
    np.testing.assert_allclose(got, [[want]], rtol=1e-5)


def test_assignment_gathers_box_and_label_and_leaves_background_empty():
    boxes = tf.constant([[[0.1, 0.1, 0.2, 0.2], [0.3, 0.3, 0.4, 0.4]]])
    got = losses.assign(tf.constant([[1, -1, 0]]), boxes, tf.constant([[7, 9]]))
    np.testing.assert_array_equal(got["labels"], [[9, 0, 7]])
    np.testing.assert_allclose(got["boxes"][0, :, 0], [0.3, 0.0, 0.1])
