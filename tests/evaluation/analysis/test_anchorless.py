"""Objects without an anchor: by hand, and against all pairs."""

import numpy as np
import pytest
from scored_sets import arrays, found, truth

from ssd_tfrecord.evaluation.analysis import anchorless as module
from ssd_tfrecord.evaluation.analysis.anchorless import find_anchorless


def _set(boxes, **options):
    return arrays([truth(boxes, **options)], [found([], [])], 1)[0]


def test_by_hand():
    # The anchor covers the upper left quarter. IoUs 1, 1/2, 0.45, 0.45; the crowd has none.
    boxes = [[0, 0, 50, 50], [0, 0, 50, 25], [0, 0, 50, 22.5], [0, 0, 50, 22.5], [60, 60, 70, 70]]
    scored = _set(boxes, difficult=[0, 0, 0, 1, 0], crowd=[0, 0, 0, 0, 1])
    anchors = np.float32([[0, 0, 0.5, 0.5], [0.9, 0.9, 1.0, 1.0]])
    assert find_anchorless(scored, anchors).tolist() == [2, 3]
    assert find_anchorless(scored, anchors, 0.4).tolist() == []


@pytest.mark.parametrize("seed", range(5))
def test_equals_all_pairs(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 80, [60, 2])
    boxes = np.concatenate([low, np.minimum(low + rng.integers(0, 60, [60, 2]), 100)], axis=1)
    scored = _set(boxes)
    center, sides = rng.random([300, 2]), rng.random([300, 2]) ** 2
    anchors = np.concatenate([center - sides / 2, center + sides / 2], axis=1).astype(np.float32)
    own = scored.objects.boxes[:, None] / 100
    common = np.minimum(own[..., 2:], anchors[:, 2:]) - np.maximum(own[..., :2], anchors[:, :2])
    common = np.maximum(common, 0).prod(axis=-1)
    areas = [(part[..., 2:] - part[..., :2]).prod(axis=-1) for part in (own, anchors)]
    best = (common / (areas[0] + areas[1] - common)).max(axis=1)
    wanted = np.flatnonzero(best < 0.5).tolist()
    assert 0 < len(wanted) < 60
    assert find_anchorless(scored, anchors).tolist() == wanted
    monkeypatch.setattr(module, "_MAX_PAIRS", 1000)
    assert find_anchorless(scored, anchors).tolist() == wanted


def test_without_objects_or_anchors():
    no_anchors = np.zeros([0, 4], np.float32)
    assert find_anchorless(arrays([], [], 1)[0], np.float32([[0, 0, 1, 1]])).tolist() == []
    assert find_anchorless(arrays([], [], 1)[0], no_anchors).tolist() == []
    assert find_anchorless(_set([[0, 0, 10, 10]]), no_anchors).tolist() == [0]
