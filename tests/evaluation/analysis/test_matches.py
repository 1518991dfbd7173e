"""Right, wrong and neither by VOC's rule, pairs, precision at recalls: by hand and by twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scored_sets import arrays, found, sets, truth

from ssd_tfrecord.evaluation.analysis.matches import (
    best_partners,
    match,
    pair_off,
    precision_at,
    rising_steps,
)

SQUARE, OTHER, NOWHERE = [0, 0, 10, 10], [50, 50, 70, 70], [80, 0, 90, 10]


def test_by_hand():
    truths = [truth([SQUARE, OTHER, NOWHERE], difficult=[False, False, True])]
    rows = [SQUARE, SQUARE, [40, 40, 45, 45], NOWHERE, OTHER]
    scored, overlaps = arrays(truths, [found(rows, [0.3, 0.9, 0.5, 0.8, 0.5])], 2)
    matches = match(scored, overlaps)
    assert matches.true.tolist() == [False, True, False, False, True]
    assert matches.false.tolist() == [True, False, True, False, False]
    assert matches.objects.tolist() == [-1, 0, -1, -1, 1]
    # Of equal scores the first comes first.
    assert matches.of_class(0).tolist() == [1, 3, 2, 4, 0]
    assert matches.of_class(1).tolist() == []
    assert matches.positives.tolist() == [2, 0]


def test_a_detection_belongs_to_its_best_object_even_if_that_is_taken():
    truths = [truth([[0, 0, 10, 10], [0, 0, 10, 9]])]
    matches = match(*arrays(truths, [found([SQUARE, SQUARE], [0.9, 0.8])], 1))
    assert matches.true.tolist() == [True, False]
    assert matches.false.tolist() == [False, True]


@pytest.mark.parametrize(("min_iou", "right"), [(0.5, True), (0.501, False)])
def test_an_iou_of_exactly_the_minimum_is_enough(min_iou, right):
    scored, overlaps = arrays([truth([[0, 0, 10, 20]])], [found([SQUARE], [0.9])], 1)
    assert match(scored, overlaps, min_iou).true.tolist() == [right]


def _iou(one, other):
    sides = [min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1)]
    common = max(sides[0], 0) * max(sides[1], 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return common / max(sum(areas) - common, 1e-9)


def _twin(scored, min_iou):
    """The devkit's loop: {detection: (state, object)}."""
    objects, rows = scored.objects, scored.found
    states, taken = {}, set()
    for row in sorted(range(len(rows.labels)), key=lambda row: -rows.scores[row]):
        best, chosen = -1.0, -1
        for item in range(len(objects.labels)):
            if objects.image[item] == rows.image[row] and objects.labels[item] == rows.labels[row]:
                iou = _iou(rows.boxes[row], objects.boxes[item])
                if iou > best:
                    best, chosen = iou, item
        if best < min_iou:
            states[row] = "false", -1
        elif objects.difficult[chosen] or objects.crowd[chosen]:
            states[row] = "neither", -1
        elif chosen in taken:
            states[row] = "false", -1
        else:
            states[row] = "true", chosen
            taken.add(chosen)
    return states


@settings(max_examples=60, deadline=None)
@given(sets(), st.sampled_from([0.3, 0.5, 0.75]))
def test_equals_the_slow_twin(drawn, min_iou):
    scored, overlaps = arrays(*drawn, 2)
    matches = match(scored, overlaps, min_iou)
    twin = _twin(scored, min_iou)
    count = len(scored.found.labels)
    assert matches.true.tolist() == [twin[row][0] == "true" for row in range(count)]
    assert matches.false.tolist() == [twin[row][0] == "false" for row in range(count)]
    assert matches.objects.tolist() == [twin[row][1] for row in range(count)]
    # Python's sort is stable.
    keys = list(zip(scored.found.labels.tolist(), (-scored.found.scores).tolist()))
    assert matches.order.tolist() == sorted(range(count), key=keys.__getitem__)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=20))
def test_pairs_are_taken_in_order(pairs):
    ones, others = np.array(pairs, np.int64).reshape(-1, 2).T
    wanted, taken = [], set()
    for one, other in pairs:
        wanted.append(not {(0, one), (1, other)} & taken)
        taken |= {(0, one), (1, other)} if wanted[-1] else set()
    assert pair_off(ones, others).tolist() == wanted


def test_the_best_partner_is_the_lowest_of_equals():
    partners = best_partners(
        np.int64([2, 0, 0, 2]), np.int64([7, 5, 4, 9]), np.float64([0.1, 0.5, 0.5, 0.2]), 4
    )
    assert partners.tolist() == [4, -1, 9, -1]


def test_precision_by_hand():
    true, false = np.bool_([0, 1, 0, 1, 0, 0]), np.bool_([1, 0, 0, 0, 1, 1])
    precision, rows = rising_steps(true, false)
    # The first false one before the first true one, and one that is neither between the two.
    assert rows.tolist() == [1, 3]
    np.testing.assert_allclose(precision, [2 / 3, 2 / 3])
    at = precision_at(np.float64([0, 0.25, 0.5, 0.51, 1]), precision, 4)
    np.testing.assert_allclose(at, [2 / 3, 2 / 3, 2 / 3, 0, 0])
