"""Reliability: by hand, on edges, against a plain loop, and where nothing counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from scored_sets import arrays, found, sets, truth

from ssd_tfrecord.evaluation.analysis.calibration import calibrate
from ssd_tfrecord.evaluation.analysis.matches import match

SQUARE, OTHER, NOWHERE = [0, 0, 10, 10], [50, 50, 70, 70], [80, 0, 90, 10]


def _calibration(truths, detections, num_classes=1, **options):
    scored, overlaps = arrays(truths, detections, num_classes)
    return calibrate(match(scored, overlaps), scored.found.scores, **options)


def test_by_hand():
    truths = [truth([SQUARE, OTHER, [20, 20, 30, 30]], difficult=[False, False, True])]
    rows = [SQUARE, OTHER, NOWHERE, NOWHERE, [20, 20, 30, 30], NOWHERE]
    scores = [0.8125, 0.625, 0.6875, 0.25, 0.65, 0.05]
    calibration = _calibration(truths, [found(rows, scores)])
    assert calibration.counts.tolist() == [0, 0, 1, 0, 0, 0, 2, 0, 1, 0]
    np.testing.assert_allclose(calibration.mean_score[[2, 6, 8]], [0.25, 0.65625, 0.8125])
    np.testing.assert_allclose(calibration.precision[[2, 6, 8]], [0, 0.5, 1])
    assert np.isnan(calibration.precision[[0, 1, 3, 4, 5, 7, 9]]).all()
    # (1 * 0.25 + 2 * 0.15625 + 1 * 0.1875) / 4
    assert calibration.error == pytest.approx(0.1875)
    assert (calibration.min_iou, calibration.min_score) == (0.5, 0.1)
    np.testing.assert_allclose(calibration.edges, np.linspace(0, 1, 11))


def test_bins_hold_their_lower_edge_and_the_last_one_1():
    scores = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    calibration = _calibration([truth([])], [found([NOWHERE] * 10, scores)])
    assert calibration.counts.tolist() == [0, *[1] * 8, 2]


@pytest.mark.parametrize(
    ("truths", "detections"),
    [([], []), ([truth([SQUARE])], [found([], [])]), ([truth([])], [found([SQUARE], [0.05])])],
    ids=["no images", "no detections", "low scores"],
)
def test_without_detections_there_is_no_error(truths, detections):
    calibration = _calibration(truths, detections)
    assert calibration.counts.sum() == 0 and np.isnan(calibration.error)
    assert np.isnan(calibration.precision).all()


@settings(max_examples=50, deadline=None)
@given(sets())
def test_equals_a_loop(drawn):
    scored, overlaps = arrays(*drawn, 2)
    matches = match(scored, overlaps)
    calibration = calibrate(matches, scored.found.scores, 0.3, 5)
    rows = [
        (float(score), bool(true))
        for score, true, false in zip(scored.found.scores, matches.true, matches.false)
        if score >= 0.3 and (true or false)
    ]
    error = 0.0
    for number in range(5):
        own = [row for row in rows if min(int(row[0] * 5), 4) == number]
        assert calibration.counts[number] == len(own)
        if own:
            mean_score, precision = np.mean(own, axis=0)
            assert calibration.mean_score[number] == pytest.approx(mean_score)
            assert calibration.precision[number] == pytest.approx(precision)
            error += abs(mean_score - precision) * len(own) / len(rows)
    assert calibration.error == pytest.approx(error) or not rows
