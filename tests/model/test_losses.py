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


def twin_focal(logits, labels, alpha, gamma):
    """Focal class sum, anchor by anchor, in float64."""
    total = 0.0
    for row, label in zip(np.float64(logits).reshape(-1, logits.shape[-1]), labels.ravel()):
        others = np.delete(row, label) - row[label]
        # -log p = log(1 + sum of e^others), and 1 - p = sum / (1 + sum), without loss of digits.
        entropy = np.logaddexp.reduce([0.0, *others])
        log_wrong = np.logaddexp.reduce(others) - entropy
        total += (alpha if label else 1 - alpha) * np.exp(gamma * log_wrong) * entropy
    return total


def focal_of(logits, labels, **settings):
    """The class sum of ``multibox_sums`` and its gradient with respect to ``logits``."""
    logits = tf.constant(logits, tf.float32)
    outputs = {"offsets": tf.zeros([*labels.shape, 4]), "logits": logits}
    targets = {"boxes": tf.zeros([*labels.shape, 4]), "labels": tf.constant(labels, tf.int32)}
    anchors = tf.constant([[0.1, 0.1, 0.5, 0.5]] * labels.shape[1])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total = losses.multibox_sums(
            outputs, targets, anchors, LossOptions(focal=True, **settings)
        )[0]
    return total, tape.gradient(total, logits)


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


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_focal_loss_equals_the_twin(alpha, gamma):
    _, logits, _, labels, _ = random_case(np.random.default_rng(7))
    got, _ = focal_of(3 * logits, labels, focal_alpha=alpha, focal_gamma=gamma)
    assert float(got) == pytest.approx(twin_focal(3 * logits, labels, alpha, gamma), rel=1e-5)


@pytest.mark.parametrize(
    ("p", "times", "tolerance"),
    [
        # Lin et al., section 3.2, with gamma 2: 100 times lower loss at 0.9, 1000 times at 0.968
        # (by their formula 977), at most 4 times lower at 0.5 and below.
        pytest.param(0.9, 100, 0.1, id="0.9"),
        pytest.param(0.968, 1000, 25, id="0.968"),
        pytest.param(0.5, 4, 1e-3, id="0.5"),
    ],
)
def test_easy_anchors_count_as_little_as_published(p, times, tolerance):
    entropy = -np.log(p)
    got = float(losses.focal(tf.constant(entropy, tf.float32), 2.0))
    assert entropy / got == pytest.approx(times, abs=tolerance)


def test_the_focal_loss_of_a_nearly_certain_anchor_keeps_its_digits():
    got = float(losses.focal(tf.constant(1e-4), 1.0))
    assert got == pytest.approx(-1e-4 * np.expm1(-1e-4), rel=1e-6)


@pytest.mark.parametrize(
    ("alpha", "factor", "published"),
    [
        pytest.param(0.5, 2.0, 0.691, id="not balanced"),
        pytest.param(0.25, 1.0, 0.51, id="balanced"),
    ],
)
def test_with_one_class_it_is_kerass_focal_loss_of_a_sigmoid(alpha, factor, published):
    """The example in the documentation of tf.keras.losses.BinaryFocalCrossentropy."""
    logits = np.array([[[0.0, z] for z in (-18.6, 0.51, 2.94, -12.8)]])
    got, _ = focal_of(logits, np.array([[0, 1, 0, 0]]), focal_alpha=alpha)
    assert factor * float(got) / 4 == pytest.approx(published, abs=5e-4)


def test_focal_loss_at_gamma_zero_is_the_weighted_cross_entropy_of_all_anchors():
    _, logits, _, labels, _ = random_case(np.random.default_rng(8))
    got, gradient = focal_of(logits, labels, focal_alpha=0.7, focal_gamma=0.0)
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    truth = np.eye(6)[labels]
    weight = np.where(labels > 0, 0.7, 0.3)
    # An image without objects counts, too: image 0 has none.
    assert float(got) == pytest.approx(-(weight * np.log((p * truth).sum(-1))).sum(), rel=1e-5)
    np.testing.assert_allclose(gradient, weight[..., None] * (p - truth), atol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_focal_gradient_is_that_of_finite_differences(gamma):
    rng = np.random.default_rng(9)
    logits, labels = 3 * rng.normal(size=(1, 6, 4)), np.array([[0, 0, 0, 1, 2, 3]])
    gradient = focal_of(logits, labels, focal_gamma=gamma)[1].numpy()
    for place in np.ndindex(*logits.shape):
        step = np.zeros_like(logits)
        step[place] = 1e-5
        rise = twin_focal(logits + step, labels, 0.25, gamma) - twin_focal(
            logits - step, labels, 0.25, gamma
        )
        assert gradient[place] == pytest.approx(rise / 2e-5, rel=1e-3, abs=2e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("size", [20.0, 90.0, 1e4, 1e30])
def test_focal_loss_of_extreme_logits(size, gamma):
    # Right and wrong by far, of the background and of an object.
    logits = np.array([[[size, 0, 0], [-size, 0, 0], [0, 0, size], [0, size, -size]]])
    labels = np.array([[0, 0, 2, 2]])
    got, gradient = focal_of(logits, labels, focal_gamma=gamma)
    # Wrong: the whole cross-entropy, size and log(2) more, or 2 x size; right: nothing.
    expected = 0.75 * (size + np.log(2)) + 0.25 * 2 * size
    assert float(got) == pytest.approx(expected, rel=1e-6)
    weights = np.array([[0.0] * 3, [-0.75, 0.375, 0.375], [0.0] * 3, [0.0, 0.25, -0.25]])
    np.testing.assert_allclose(gradient[0], weights, atol=1e-4)


def test_focal_loss_is_the_same_under_xla():
    _, logits, _, labels, _ = random_case(np.random.default_rng(10))
    # Some whose cross-entropy is 0.
    logits[1, :5] = 100 * np.eye(6)[labels[1, :5]]
    compiled = tf.function(lambda: focal_of(logits, labels, focal_gamma=0.5), jit_compile=True)
    for one, two in zip(focal_of(logits, labels, focal_gamma=0.5), compiled()):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_the_prior_of_objects_is_that_of_the_focal_loss():
    assert losses.object_prior(LossOptions()) == 0.0
    # Lin et al., section 4.1.
    assert losses.object_prior(LossOptions(focal=True)) == 0.01
