"""All answers together: that they agree with one another, and on sets that lack something."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from scored_sets import arrays, found, sets, truth

from ssd_tfrecord.evaluation.analysis.answering import answer
from ssd_tfrecord.evaluation.average_precision import average_precisions

SQUARE, OTHER, NOWHERE = [0, 0, 10, 10], [50, 50, 70, 70], [80, 0, 90, 10]


def test_states_are_those_at_the_best_thresholds():
    # Class 1 is best at 0.75: one of two. The threshold of class 2 is the overall one.
    truths = [truth([SQUARE, OTHER, NOWHERE], labels=[1, 1, 2], difficult=[False, False, True])]
    rows = [SQUARE, *[[20, 20, 30, 30]] * 5, OTHER, NOWHERE, SQUARE, SQUARE]
    scores = [0.75, *[0.5] * 5, 0.25, 0.8, 0.7, 0.8]
    labels = [1, *[1] * 5, 1, 2, 2, 2]
    scored, overlaps = arrays(truths, [found(rows, scores, labels=labels)], 2)
    answers = answer(scored, overlaps, bootstrap=10)
    assert answers.curves.best[0].threshold == answers.curves.overall_best.threshold == 0.75
    assert answers.curves.best[1].threshold is None
    assert np.flatnonzero(answers.true).tolist() == [0]
    assert np.flatnonzero(answers.false).tolist() == [9]
    assert answers.missed.tolist() == [False, True, False]
    # No object of the image lacks a detection, at some score.
    assert answers.worst.missed.tolist() == [1] and answers.worst.false.tolist() == [1]
    assert answers.anchorless is None


def test_anchors_and_samples_are_passed_on():
    scored, overlaps = arrays([truth([SQUARE, OTHER])], [found([SQUARE], [0.5])], 1)
    anchors = np.float32([[0, 0, 0.1, 0.1]])
    answers = answer(scored, overlaps, bootstrap=0, anchors=anchors)
    assert answers.anchorless.tolist() == [1]
    assert answers.intervals == {}


@pytest.mark.parametrize(
    ("truths", "detections", "num_classes"),
    [
        ([], [], 2),
        ([], [], 0),
        ([truth([])], [found([], [])], 1),
        ([truth([SQUARE])], [found([], [])], 1),
        ([truth([])], [found([SQUARE], [0.9])], 1),
        ([truth([SQUARE], crowd=[True])], [found([SQUARE], [0.9])], 1),
    ],
    ids=["no images", "no classes", "empty", "no detections", "no objects", "only a crowd"],
)
def test_what_is_lacking_is_no_error(truths, detections, num_classes):
    scored, overlaps = arrays(truths, detections, num_classes)
    answers = answer(scored, overlaps, bootstrap=5, anchors=np.float32([[0, 0, 1, 1]]))
    assert len(answers.true) == len(answers.false) == len(scored.found.labels)
    assert answers.confusion.matrix.shape == (num_classes + 1, num_classes + 1)
    assert len(answers.curves.best) == num_classes


@settings(max_examples=30, deadline=None)
@given(sets())
def test_answers_agree(drawn):
    scored, overlaps = arrays(*drawn, 2)
    answers = answer(scored, overlaps, bootstrap=3)
    real = ~scored.objects.ignored
    assert answers.true.sum() + answers.missed.sum() == real.sum()
    assert not (answers.true & answers.false).any()
    assert not (answers.missed & ~real).any()
    _, voc12 = average_precisions(scored, overlaps)
    for best, ap in zip(answers.curves.best, voc12):
        assert (best.recall is None) == np.isnan(ap)
        # Precision and recall of one point span a rectangle below the curve.
        assert not best.f1 or best.precision * best.recall <= ap + 1e-12
    assert answers.confusion.matrix[:, :-1].sum() == real.sum()
    if (ap := np.nanmean(voc12) if real.any() else None) is not None:
        assert (answers.worst.ap_lost <= 1 - ap + 1e-12).all()
    assert dataclasses.is_dataclass(answers)
