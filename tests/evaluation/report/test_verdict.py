"""What costs most, in words."""

import dataclasses

import numpy as np
import pytest

from ssd_tfrecord.evaluation.analysis.answers import ERROR_KINDS
from ssd_tfrecord.evaluation.report import verdict


def _with(evaluated, **errors):
    split = dataclasses.replace(evaluated.answers.errors, **errors)
    answers = dataclasses.replace(evaluated.answers, errors=split)
    return dataclasses.replace(evaluated, answers=answers)


def test_the_costliest_come_first(evaluated):
    costs = dict(zip(ERROR_KINDS, (0.01, 0.2, 0.0001, 0.05, 0.2, np.nan)))
    class_costs = {kind: np.array([0.1, 0.3, np.nan]) for kind in ERROR_KINDS}
    changed = _with(evaluated, costs=costs, class_costs=class_costs)
    found = verdict.costliest_errors(changed, 6)
    # Equal ones in the order of kinds; what shows as 0.000 is left out.
    assert [error.kind for error in found] == [
        *("localisation", "background", "duplicate", "classification")
    ]
    assert found[0].cost == 0.2
    assert found[0].where == (("dog", pytest.approx(0.3)), ("cat", pytest.approx(0.1)))
    assert "below 0.5" in found[0].meaning
    assert len(verdict.costliest_errors(changed)) == 3


def test_nothing_that_counts_costs_nothing(make_set):
    assert verdict.costliest_errors(make_set(("cat", "dog"), difficult=True)) == []


def test_of_one_class_none_is_named(make_set):
    assert all(not error.where for error in verdict.costliest_errors(make_set(("cat",))))


def test_swaps_are_counted_without_the_background(evaluated):
    matrix = np.array([[5, 3, 0, 9], [1, 4, 2, 9], [0, 0, 0, 9], [4, 1, 0, 0]])
    confusion = dataclasses.replace(evaluated.answers.confusion, matrix=matrix)
    answers = dataclasses.replace(evaluated.answers, confusion=confusion)
    changed = dataclasses.replace(evaluated, answers=answers)
    assert verdict.swaps(changed) == [
        ("dog", "cat", 3, pytest.approx(3 / 8)),
        ("unicorn", "dog", 2, 1.0),
        ("cat", "dog", 1, pytest.approx(0.1)),
    ]
    assert len(verdict.swaps(changed, 1)) == 1


def test_every_kind_has_its_words():
    assert set(verdict.ERROR_TITLES) == set(verdict.ERROR_MEANINGS) == set(ERROR_KINDS)
    assert set(verdict._ADVICE) == set(ERROR_KINDS)
