"""What an image costs: by hand, and against AP computed anew without its errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scored_sets import arrays, found, sets, truth

from ssd_tfrecord.evaluation.analysis import worst_images as module
from ssd_tfrecord.evaluation.analysis.matches import match
from ssd_tfrecord.evaluation.analysis.worst_images import worst_images

SQUARE, OTHER, NOWHERE = [0, 0, 10, 10], [50, 50, 70, 70], [80, 0, 90, 10]


def _worst(scored, overlaps, num_images=50):
    matches = match(scored, overlaps)
    missed = ~scored.objects.ignored
    missed[matches.objects[matches.true]] = False
    return worst_images(scored, matches, matches.false, missed, num_images)


def test_by_hand():
    truths = [truth([SQUARE, OTHER]), truth([SQUARE], source_id="b"), truth([], source_id="c")]
    detections = [
        found([SQUARE], [0.8]),
        found([SQUARE, NOWHERE], [0.6, 0.1], source_id="b"),
        found([NOWHERE], [0.9], source_id="c"),
    ]
    worst = _worst(*arrays(truths, detections, 1))
    # False, true, true of three objects, and a false one that costs nothing.
    ap = 2 / 3 * 2 / 3
    # With the second object of the first image found before all: true, false, true, true.
    assert worst.images.tolist() == [0, 2]
    np.testing.assert_allclose(worst.ap_lost, [(1 + 2 * 3 / 4) / 3 - ap, 2 / 3 - ap])
    assert worst.missed.tolist() == [1, 0]
    assert worst.false.tolist() == [0, 1]


def test_nothing_costs_where_nothing_is_wrong_or_there():
    assert _worst(*arrays([], [], 1)).images.tolist() == []
    assert _worst(*arrays([truth([])], [found([SQUARE], [0.5])], 1)).images.tolist() == []
    assert _worst(*arrays([truth([SQUARE])], [found([SQUARE], [0.5])], 1)).images.tolist() == []
    worst = _worst(*arrays([truth([SQUARE])], [found([], [])], 1))
    assert (worst.images.tolist(), worst.ap_lost.tolist()) == ([0], [1.0])


def _mean_ap(scored, matches, mended=None):
    """Area AP, mean over classes, with the errors of image ``mended`` undone."""
    aps = []
    objects, rows = scored.objects, scored.found
    taken = set(matches.objects[matches.true].tolist())
    for label in range(1, scored.num_classes + 1):
        real = np.flatnonzero((objects.labels == label) & ~objects.ignored).tolist()
        if not real:
            continue
        marks = [True for item in real if item not in taken and objects.image[item] == mended]
        for row in sorted(np.flatnonzero(rows.labels == label), key=lambda row: -rows.scores[row]):
            if matches.true[row]:
                marks.append(True)
            elif matches.false[row] and rows.image[row] != mended:
                marks.append(False)
        true = np.cumsum(marks)
        precision = true / np.arange(1, len(marks) + 1)
        aps.append(sum(max(precision[i:]) for i in np.flatnonzero(marks)) / len(real))
    return np.mean(aps) if aps else np.nan


def _assert_equals_the_twin(scored, overlaps, num_images):
    matches = match(scored, overlaps)
    worst = _worst(scored, overlaps, num_images)
    whole = _mean_ap(scored, matches)
    lost = np.array([_mean_ap(scored, matches, i) - whole for i in range(scored.num_images)])
    lost = lost if matches.positives.any() else np.zeros(scored.num_images)
    wanted = np.sort(lost[lost > 1e-9])[::-1][:num_images]
    kept = worst.ap_lost > 1e-9
    np.testing.assert_allclose(worst.ap_lost[kept], wanted, atol=1e-12)
    np.testing.assert_allclose(worst.ap_lost, lost[worst.images], atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(sets(max_images=5), st.integers(1, 5), st.sampled_from([1, 2, 64]))
def test_equals_ap_computed_anew(drawn, num_images, batch):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BATCH", batch)
        _assert_equals_the_twin(*arrays(*drawn, 2), num_images)


def _crowded_set(seed, num_images):
    """Up to 30 objects and 60 detections an image, so that counts are rounded for the bounds."""
    rng = np.random.default_rng(seed)
    truths, detections = [], []
    for image in range(num_images):
        boxes = np.array([[x, y, x + 8, y + 8] for x in range(0, 60, 10) for y in range(0, 50, 10)])
        there = boxes[rng.random(30) < rng.random()]
        truths.append(truth(there, labels=rng.integers(1, 3, len(there)), source_id=str(image)))
        rows = boxes[rng.integers(0, 30, rng.integers(0, 60))]
        labels, scores = rng.integers(1, 3, len(rows)), rng.integers(1, 50, len(rows)) / 50
        detections.append(found(rows, scores, labels=labels, source_id=str(image)))
    return arrays(truths, detections, 2)


@pytest.mark.parametrize("seed", range(4))
def test_few_of_many_images_are_the_right_ones(seed, monkeypatch):
    scored, overlaps = _crowded_set(seed, 40)
    monkeypatch.setattr(module, "_BATCH", 4)
    computed = []
    costs = module._costs
    monkeypatch.setattr(module, "_costs", lambda e, i: computed.append(len(i)) or costs(e, i))
    _assert_equals_the_twin(scored, overlaps, 3)
    # Two classes; the bounds spare most images.
    assert sum(computed) / 2 <= 24


@pytest.mark.parametrize("seed", range(4))
def test_bounds_are_no_lower_than_costs_and_equal_where_counts_are_small(seed):
    for scored, overlaps in (_crowded_set(seed, 20), _crowded_set(seed, 3)):
        for errors in module._class_errors(scored, match(scored, overlaps)):
            costs = module._costs(errors, np.arange(scored.num_images))
            bounds = module._bounds(errors)
            assert (bounds >= costs - 1e-9).all()
            false = np.bincount(errors.images, minlength=scored.num_images)
            few = (false <= 8) & (errors.missing <= 8)
            np.testing.assert_allclose(bounds[few], costs[few], atol=1e-12)


def test_many_steps_are_computed_in_parts(monkeypatch):
    scored, overlaps = _crowded_set(9, 12)
    whole = _worst(scored, overlaps)
    monkeypatch.setattr(module, "_MAX_NUMBERS", 1)
    parts = _worst(scored, overlaps)
    np.testing.assert_array_equal(whole.images, parts.images)
    np.testing.assert_array_equal(whole.ap_lost, parts.ap_lost)
