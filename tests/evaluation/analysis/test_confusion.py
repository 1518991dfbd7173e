"""The confusion matrix: by hand, and against a plain loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from scored_sets import arrays, found, sets, truth

from ssd_tfrecord.evaluation.analysis.confusion import confuse

SQUARE, OTHER, NOWHERE = [0, 0, 10, 10], [50, 50, 70, 70], [80, 0, 90, 10]


def _matrix(truths, detections, num_classes=2, **options):
    return confuse(*arrays(truths, detections, num_classes), **options).matrix.tolist()


def test_by_hand():
    truths = [truth([SQUARE, OTHER, NOWHERE], labels=[1, 2, 2])]
    rows = [SQUARE, OTHER, [30, 30, 40, 40], [30, 30, 40, 40]]
    detections = [found(rows, [0.9, 0.8, 0.7, 0.2], labels=[1, 1, 2, 2])]
    # Right; taken for class 1; on nothing; below the threshold. The last object is missed.
    assert _matrix(truths, detections) == [[1, 1, 0], [0, 0, 1], [0, 1, 0]]
    # The rows are what was detected, with the background last.
    confusion = confuse(*arrays(truths, detections, 2), min_score=0.1)
    assert (confusion.min_score, confusion.min_iou) == (0.1, 0.5)
    assert confusion.matrix.tolist() == [[1, 1, 0], [0, 0, 2], [0, 1, 0]]


def test_of_one_box_in_two_classes_the_right_one_has_the_object():
    detections = [found([SQUARE, SQUARE], [0.9, 0.3], labels=[2, 1])]
    assert _matrix([truth([SQUARE])], detections) == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_the_higher_iou_comes_before_the_class_and_the_score():
    detections = [found([[0, 0, 10, 9], SQUARE], [0.9, 0.3], labels=[1, 2])]
    assert _matrix([truth([SQUARE])], detections) == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]


def test_a_detection_may_have_the_second_object_where_the_first_is_taken():
    truths = [truth([SQUARE, [0, 0, 10, 12]])]
    detections = [found([SQUARE, [0, 0, 10, 10.5]], [0.9, 0.8])]
    assert _matrix(truths, detections, 1) == [[2, 0], [0, 0]]


@pytest.mark.parametrize(
    ("mark", "label", "box", "counted"),
    [
        ("difficult", 1, SQUARE, False),
        ("difficult", 2, SQUARE, False),
        ("difficult", 1, [0, 0, 4, 4], True),
        ("crowd", 1, [0, 0, 4, 4], False),
        ("crowd", 2, [0, 0, 4, 4], True),
    ],
)
def test_difficult_objects_and_crowds_excuse(mark, label, box, counted):
    truths = [truth([SQUARE], **{mark: [True]})]
    matrix = confuse(*arrays(truths, [found([box], [0.9], labels=[label])], 2)).matrix
    assert matrix.sum() == matrix[label - 1, 2] == int(counted)


def test_nothing_at_all():
    assert _matrix([], []) == [[0] * 3] * 3


def _twin(scored, overlaps, num_classes):
    rows, objects = scored.found, scored.objects
    matrix = np.zeros([num_classes + 1] * 2, int)
    sure = set(np.flatnonzero(rows.scores >= 0.25))
    missed = set(np.flatnonzero(~objects.ignored))
    pairs, excused = [], set()
    for row, item, iou, inside in zip(*(values.tolist() for values in vars(overlaps).values())):
        same = rows.labels[row] == objects.labels[item]
        if objects.crowd[item]:
            excused |= {row} if same and inside >= 0.5 else set()
        elif iou >= 0.5 and objects.difficult[item]:
            excused.add(row)
        elif iou >= 0.5:
            pairs.append((-iou, not same, -rows.scores[row], row, item))
    for *_, row, item in sorted(pairs):
        if row in sure and item in missed:
            matrix[rows.labels[row] - 1, objects.labels[item] - 1] += 1
            sure.remove(row)
            missed.remove(item)
    for row in sure - excused:
        matrix[rows.labels[row] - 1, -1] += 1
    matrix[-1, :-1] = [
        sum(objects.labels[item] == label + 1 for item in missed) for label in range(num_classes)
    ]
    return matrix


@settings(max_examples=60, deadline=None)
@given(sets(num_classes=3))
def test_equals_the_slow_twin(drawn):
    scored, overlaps = arrays(*drawn, 3)
    np.testing.assert_array_equal(confuse(scored, overlaps).matrix, _twin(scored, overlaps, 3))
