"""Bootstrap intervals: samples against AP of the images repeated, and what is known in advance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scored_sets import arrays, found, sets, truth

from ssd_tfrecord.evaluation.analysis import intervals as module
from ssd_tfrecord.evaluation.analysis.intervals import differences, intervals
from ssd_tfrecord.evaluation.average_precision import average_precisions

SQUARE, OTHER, NOWHERE = [0, 0, 10, 10], [50, 50, 70, 70], [80, 0, 90, 10]
NAMES = ("voc07_map", "voc12_map", "voc12_map75")


def _mean(aps):
    aps = aps[~np.isnan(aps)]
    return aps.mean() if len(aps) else np.nan


def _repeated(truths, detections, weights):
    """The metrics of the set in which each image is so many times, matched anew."""
    order = [place for place, weight in enumerate(weights) for _ in range(weight)]
    scored, overlaps = arrays([truths[i] for i in order], [detections[i] for i in order], 2)
    voc07, voc12 = average_precisions(scored, overlaps)
    _, voc12_75 = average_precisions(scored, overlaps, min_iou=0.75)
    return [_mean(aps) for aps in (voc07, voc12, voc12_75)]


def _without_ties(detections):
    """Other scores in each image, since a repeated image mixes the equal ones with its copies'."""
    total = sum(len(image.scores) for image in detections)
    first = 0
    ranks = np.random.default_rng(total).permutation(total) + 1
    for image in detections:
        image.scores[:] = ranks[first : first + len(image.scores)] / (total + 1)
        first += len(image.scores)


@settings(max_examples=60, deadline=None)
@given(sets(max_images=4), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_weights_are_as_good_as_repeating_images(drawn, weights):
    truths, detections = drawn
    _without_ties(detections)
    weights = np.array(weights[: len(truths)], np.int64)
    steps = module._all_steps(*arrays(truths, detections, 2))
    np.testing.assert_allclose(
        module._mean_aps(steps, weights), _repeated(truths, detections, weights), atol=1e-12
    )


@pytest.mark.parametrize(
    ("hits", "objects", "points"), [(3, 5, 6), (35, 50, 7), (36, 50, 8), (5, 10, 6), (10, 10, 11)]
)
def test_recalls_of_three_and_seven_tenths_and_three_fifths_are_missed_as_in_voc_eval(
    hits, objects, points
):
    boxes = [[20 * row, 0, 20 * row + 10, 10] for row in range(objects)]
    scores = np.linspace(0.9, 0.1, hits)
    truths = [truth(boxes, size=1000)]
    scored, overlaps = arrays(truths, [found(boxes[:hits], scores, size=1000)], 1)
    for weight in (1, 2):
        aps = module._mean_aps(module._all_steps(scored, overlaps), np.int64([weight]))
        np.testing.assert_allclose(aps, [points / 11, hits / objects, hits / objects])


def test_a_class_without_an_object_in_a_sample_does_not_count():
    truths = [truth([SQUARE], labels=[1]), truth([SQUARE], labels=[2], source_id="b")]
    detections = [found([SQUARE], [0.5]), found([], [], source_id="b")]
    steps = module._all_steps(*arrays(truths, detections, 2))
    np.testing.assert_array_equal(module._mean_aps(steps, np.int64([1, 0])), [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(module._mean_aps(steps, np.int64([1, 1])), [0.5, 0.5, 0.5])


def _halves(num_images):
    """Every other image has its object found."""
    truths = [truth([SQUARE], source_id=str(i)) for i in range(num_images)]
    hits = [
        found([SQUARE] if i % 2 else [], [0.5] if i % 2 else [], source_id=str(i))
        for i in range(num_images)
    ]
    return arrays(truths, hits, 1)


def test_the_interval_of_a_proportion_is_that_of_the_binomial_distribution():
    found_intervals = intervals(*_halves(100), 1000)
    assert tuple(found_intervals) == NAMES
    # AP is the recall, the found share of 100 images: 0.5 +- 1.96 * 0.05.
    np.testing.assert_allclose(found_intervals["voc12_map"], [0.4, 0.6], atol=0.02)


def test_the_seed_decides():
    one, same, other = (intervals(*_halves(30), 50, seed) for seed in (1, 1, 2))
    assert one == same and one != other


def test_where_all_images_are_alike_there_is_no_interval():
    truths = [truth([SQUARE, OTHER], source_id=str(i)) for i in range(5)]
    detections = [found([SQUARE], [0.5], source_id=str(i)) for i in range(5)]
    for low, high in intervals(*arrays(truths, detections, 1), 20).values():
        assert low == high


@pytest.mark.parametrize(
    ("truths", "detections", "num_samples"),
    [
        ([], [], 10),
        ([truth([])], [found([SQUARE], [0.5])], 10),
        ([truth([SQUARE])], [found([SQUARE], [0.5])], 0),
    ],
    ids=["no images", "no objects", "no samples"],
)
def test_where_there_are_none(truths, detections, num_samples):
    scored, overlaps = arrays(truths, detections, 1)
    assert intervals(scored, overlaps, num_samples) == {}
    assert differences((scored, overlaps), (scored, overlaps), num_samples) == {}


def test_without_detections_all_are_0():
    scored, overlaps = arrays([truth([SQUARE])], [found([], [])], 1)
    assert intervals(scored, overlaps, 5) == dict.fromkeys(NAMES, (0.0, 0.0))


def test_samples_without_an_object_do_not_count():
    truths = [truth([SQUARE]), *(truth([], source_id=str(i)) for i in range(3))]
    detections = [found([SQUARE], [0.5]), *(found([], [], source_id=str(i)) for i in range(3))]
    assert intervals(*arrays(truths, detections, 1), 50)["voc12_map"] == (1.0, 1.0)


def test_large_sets_have_fewer_samples(monkeypatch):
    steps = module._all_steps(*_halves(10))
    # Ten objects, five steps and their detections, at two IoUs.
    work = 2 * (10 + 5 + 8 * 5)
    assert module._affordable(1000, steps) == 1000
    monkeypatch.setattr(module, "_MAX_WORK", 600 * work)
    assert module._affordable(1000, steps) == 600
    assert module._affordable(1000, steps, steps) == 300
    monkeypatch.setattr(module, "_MAX_WORK", 1)
    assert module._affordable(1000, steps) == 200
    assert module._affordable(7, steps) == 7


def test_a_difference_is_paired():
    # The other finds what one finds, and three images more, in another order of images.
    truths = [truth([SQUARE], source_id=str(i)) for i in range(100)]

    def hits(indices, order):
        rows = [
            found([SQUARE] if i in indices else [], [0.5] * (i in indices), source_id=str(i))
            for i in order
        ]
        return arrays([truths[i] for i in order], rows, 1)

    one, other = hits(range(50), range(100)), hits(range(53), range(99, -1, -1))
    difference, low, high = differences(one, other, 200)["voc12_map"]
    assert difference == pytest.approx(0.03)
    # Much less than the interval of either, 0.2.
    assert 0 <= low < 0.03 < high < 0.08
    assert differences(one, one, 20) == dict.fromkeys(NAMES, (0.0, 0.0, 0.0))


def test_sets_of_other_images_have_no_difference():
    with pytest.raises(ValueError, match="sets of 4 and 6 images: must be the same images"):
        differences(_halves(4), _halves(6))
