"""Doubts about annotations: which, in what order, in what words, and how many."""

import numpy as np
import pytest
from scored_sets import arrays, found, truth

from ssd_tfrecord.evaluation.analysis.answers import CLASS_SWAP, NEVER_FOUND, UNANNOTATED
from ssd_tfrecord.evaluation.analysis.doubts import find_doubts

SQUARE, OTHER, NOWHERE = [0, 0, 10, 10], [50, 50, 70, 70], [80, 0, 90, 10]


def _doubts(truths, detections, **options):
    return find_doubts(*arrays(truths, detections, 2), **options)


def test_sure_detections_on_nothing_best_first_and_one_a_place():
    truths = [truth([SQUARE]), truth([], source_id="b")]
    rows = [SQUARE, NOWHERE, [81, 0, 91, 10], [20, 20, 30, 30], [0, 0, 4, 4], [4, 4, 14, 14]]
    detections = [
        found(rows, [0.9, 0.7, 0.6, 0.4, 0.9, 0.9]),
        found([OTHER], [0.8], labels=[2], source_id="b"),
    ]
    found_doubts = _doubts(truths, detections)
    # On the object, on the same place as a better one, unsure, and touching the object: no doubts.
    assert [(d.kind, d.image, d.found, d.object) for d in found_doubts] == [
        (UNANNOTATED, 1, 6, -1),
        (UNANNOTATED, 0, 1, -1),
    ]
    assert found_doubts[0].severity == found_doubts[0].value == pytest.approx(0.8)
    assert found_doubts[0].explanation == (
        "class 1 detected with a score of 0.80 where nothing is annotated: was it forgotten?"
    )


def test_a_detection_in_a_crowd_or_on_a_difficult_object_is_no_doubt():
    truths = [truth([[0, 0, 50, 50], OTHER], crowd=[True, False], difficult=[False, True])]
    detections = [found([[5, 5, 10, 10], OTHER, OTHER], [0.9] * 3, labels=[1, 1, 2])]
    assert _doubts(truths, detections) == ()


def test_class_swaps_by_how_much_surer_the_other_class_is():
    truths = [truth([SQUARE, OTHER, NOWHERE, [20, 20, 30, 30]])]
    rows = [
        (SQUARE, 2, 0.75),
        (SQUARE, 1, 0.5),
        (OTHER, 2, 0.625),
        (OTHER, 2, 0.5),
        (NOWHERE, 2, 0.75),
        (NOWHERE, 1, 0.875),
        ([20, 20, 30, 30], 2, 0.25),
    ]
    boxes, labels, scores = zip(*rows)
    found_doubts = _doubts(truths, [found(boxes, scores, labels=labels)])
    # The last two: surer as what it is annotated; unsure.
    assert [(d.kind, d.object, d.found, d.value, d.severity) for d in found_doubts] == [
        (CLASS_SWAP, 1, 2, 0.625, 0.625),
        (CLASS_SWAP, 0, 0, 0.75, 0.25),
    ]
    assert [doubt.explanation for doubt in found_doubts] == [
        "annotated as class 0, but detected as class 1 with a score of 0.62 (as class 0 not at "
        "all): is the annotated class right?",
        "annotated as class 0, but detected as class 1 with a score of 0.75 (as class 0 only "
        "0.50): is the annotated class right?",
    ]


def test_objects_that_no_detection_touches_largest_first():
    boxes = [SQUARE, OTHER, NOWHERE, [20, 20, 40, 30], [20, 50, 40, 70]]
    truths = [truth(boxes, labels=[1, 2, 1, 1, 1], difficult=[False] * 4 + [True])]
    detections = [found([[50, 50, 56, 60], [20, 20, 21, 21]], [0.01, 0.9], labels=[1, 1])]
    found_doubts = _doubts(truths, detections, min_score=0.95)
    assert [(d.kind, d.object, d.found) for d in found_doubts] == [
        (NEVER_FOUND, 3, -1),
        (NEVER_FOUND, 0, -1),
        (NEVER_FOUND, 2, -1),
    ]
    assert [doubt.value for doubt in found_doubts] == pytest.approx([0.02, 0.01, 0.01])
    assert found_doubts[0].explanation == (
        "class 0 that covers 2 % of the image, but nothing is detected on it, at whatever score: "
        "is it there?"
    )


def test_there_are_at_most_so_many_of_each_kind():
    boxes = [[x, y, x + 8, y + 8] for x in range(0, 100, 10) for y in range(0, 100, 10)]
    scores = np.linspace(0.5, 1, 30)
    truths = [truth(boxes[:60])]
    detections = [found(boxes[30:60] + boxes[60:90], [*scores, *scores], labels=[2] * 60)]
    found_doubts = _doubts(truths, detections, max_doubts=5)
    kinds = [doubt.kind for doubt in found_doubts]
    assert kinds == [UNANNOTATED] * 5 + [CLASS_SWAP] * 5 + [NEVER_FOUND] * 5
    assert [doubt.value for doubt in found_doubts[:10]] == pytest.approx([*scores[:-6:-1]] * 2)


def test_nothing_is_doubted_where_nothing_is():
    assert _doubts([], []) == ()
    assert _doubts([truth([])], [found([], [])]) == ()
