"""Curves and best thresholds: by hand, against plain counting, and where nothing is."""

import numpy as np
import pytest
from hypothesis import given, settings
from scored_sets import arrays, found, sets, truth

from ssd_tfrecord.evaluation.analysis.answers import OperatingPoint
from ssd_tfrecord.evaluation.analysis.curves import curves, kept_at_best
from ssd_tfrecord.evaluation.analysis.matches import match

SQUARE, OTHER, NOWHERE = [0, 0, 10, 10], [50, 50, 70, 70], [80, 0, 90, 10]
NONE = OperatingPoint(None, None, None, None)


def _curves(truths, detections, num_classes):
    scored, overlaps = arrays(truths, detections, num_classes)
    matches = match(scored, overlaps)
    return scored, matches, curves(matches, scored.found.scores)


def test_by_hand():
    # Class 1: true 0.75, false 0.5, true 0.25 of two objects; class 2: false 0.25, no object.
    truths = [truth([SQUARE, OTHER])]
    rows = [SQUARE, NOWHERE, OTHER, NOWHERE]
    scored, _, found_curves = _curves(
        truths, [found(rows, [0.75, 0.5, 0.25, 0.25], labels=[1, 1, 1, 2])], 2
    )
    at = {round(value, 3): place for place, value in enumerate(found_curves.thresholds)}
    assert len(at) == 1001
    # Keeps the detections of at least the threshold.
    for threshold, precision, recall, f1, overall in [
        (0.0, 2 / 3, 1.0, 4 / 5, 2 / 4),
        (0.25, 2 / 3, 1.0, 4 / 5, 2 / 4),
        (0.251, 1 / 2, 1 / 2, 1 / 2, 1 / 2),
        (0.501, 1.0, 1 / 2, 2 / 3, 1.0),
        (0.75, 1.0, 1 / 2, 2 / 3, 1.0),
        (0.751, 1.0, 0.0, 0.0, 1.0),
    ]:
        place = at[threshold]
        assert found_curves.precision[0, place] == pytest.approx(precision)
        assert found_curves.recall[0, place] == pytest.approx(recall)
        assert found_curves.f1[0, place] == pytest.approx(f1)
        assert found_curves.overall_precision[place] == pytest.approx(overall)
    assert np.isnan(found_curves.precision[1]).all() and np.isnan(found_curves.f1[1]).all()
    assert found_curves.best == (OperatingPoint(0.25, 2 / 3, 1.0, 4 / 5), NONE)
    # With the false one of class 2, keeping 0.25 gives 2 * 2 / (2 + 2 + 2) = 2/3, as 0.75 does.
    assert found_curves.overall_best == OperatingPoint(0.75, 1.0, 0.5, 2 / 3)
    heights = found_curves.precision_at_recall[0]
    assert heights[50] == 1.0 and heights[51] == heights[100] == pytest.approx(2 / 3)
    # Class 2 has no best threshold: it takes the overall one.
    kept = kept_at_best(found_curves, scored.found.labels, scored.found.scores)
    assert kept.tolist() == [True, True, True, False]


def test_equal_scores_stay_together():
    # One of two of the score 0.5 is true: alone it would have an F1 of 1.
    _, _, found_curves = _curves([truth([SQUARE])], [found([SQUARE, OTHER], [0.5, 0.5])], 1)
    assert found_curves.best[0] == OperatingPoint(0.5, 0.5, 1.0, 2 / 3)


def test_a_class_that_is_never_found_has_a_recall_and_f1_of_0_but_no_threshold():
    _, _, found_curves = _curves([truth([SQUARE])], [found([OTHER], [0.5])], 1)
    assert found_curves.best[0] == OperatingPoint(None, None, 0.0, 0.0)
    assert found_curves.overall_best == OperatingPoint(None, None, 0.0, 0.0)


@pytest.mark.parametrize("detections", [[], [found([SQUARE], [0.5])]], ids=["empty", "false"])
def test_without_objects_nothing_is_best(detections):
    scored, _, found_curves = _curves([truth([])] * len(detections), detections, 1)
    assert found_curves.best == (NONE,) and found_curves.overall_best == NONE
    assert np.isnan(found_curves.overall_precision).all()
    kept = kept_at_best(found_curves, scored.found.labels, scored.found.scores)
    assert kept.all()


def test_scores_outside_of_0_and_1_are_on_the_curves():
    _, _, found_curves = _curves([truth([SQUARE])], [found([SQUARE, OTHER], [7.0, -3.0])], 1)
    assert found_curves.thresholds[[0, -1]].tolist() == [-3.0, 7.0]
    assert found_curves.precision[0, [0, -1]].tolist() == [0.5, 1.0]
    assert found_curves.recall[0].tolist() == [1.0] * 1001


def _count(scored, matches, rows, threshold, positives):
    kept = [row for row in rows if scored.found.scores[row] >= threshold]
    true, false = (sum(bool(m[row]) for row in kept) for m in (matches.true, matches.false))
    precision = true / (true + false) if true + false else 1.0
    return precision, true / positives, 2 * true / (true + false + positives)


@settings(max_examples=50, deadline=None)
@given(sets())
def test_equals_counting(drawn):
    scored, matches, found_curves = _curves(*drawn, 2)
    lists = [np.flatnonzero(scored.found.labels == label) for label in (1, 2)]
    lists.append(np.arange(len(scored.found.labels)))
    positives = [*matches.positives.tolist(), int(matches.positives.sum())]
    names = ("precision", "recall", "f1")
    for index, (rows, total) in enumerate(zip(lists, positives)):
        if index < 2:
            lines = [getattr(found_curves, name)[index] for name in names]
            best = found_curves.best[index]
        else:
            lines = [getattr(found_curves, f"overall_{name}") for name in names]
            best = found_curves.overall_best
        if not total:
            assert np.isnan(lines).all() and best == NONE
            continue
        for place in range(0, 1001, 125):
            wanted = _count(scored, matches, rows, found_curves.thresholds[place], total)
            np.testing.assert_allclose([line[place] for line in lines], wanted)
        scores = sorted(set(scored.found.scores[rows].tolist()), reverse=True)
        points = [(_count(scored, matches, rows, score, total), score) for score in scores]
        highest = max((point[0][2] for point in points), default=0.0)
        if not highest:
            assert best == OperatingPoint(None, None, 0.0, 0.0)
            continue
        (precision, recall, f1), score = next(p for p in points if p[0][2] == highest)
        assert (best.threshold, best.precision, best.recall) == (score, precision, recall)
        assert best.f1 == f1
