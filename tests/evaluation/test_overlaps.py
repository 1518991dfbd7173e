"""Overlapping pairs: by hand, and against all pairs one by one."""

import numpy as np
import pytest
import scored_sets
from hypothesis import given, settings
from hypothesis import strategies as st
from scored_sets import arrays, found, truth

from ssd_tfrecord.evaluation import overlaps


def test_pairs_of_one_image_by_hand():
    truths = [truth([[0, 0, 10, 10], [5, 0, 15, 10]]), truth([[0, 0, 10, 10]], source_id="b")]
    # The second only touches the objects of its image.
    detections = [
        found([[0, 0, 10, 10], [15, 10, 20, 20]], [0.9, 0.8]),
        found([[0, 0, 10, 5]], [0.7], source_id="b"),
    ]
    _, pairs = arrays(truths, detections, 1)
    assert pairs.found.tolist() == [0, 0, 2]
    assert pairs.objects.tolist() == [0, 1, 2]
    np.testing.assert_allclose(pairs.ious, [1, 1 / 3, 1 / 2], rtol=1e-12)
    np.testing.assert_allclose(pairs.inside, [1, 1 / 2, 1], rtol=1e-12)


def test_of_what_lies_in_a_crowd_half_is_enough_whatever_the_iou():
    truths = [truth([[0, 0, 50, 100], [0, 0, 100, 100]], crowd=[True, False])]
    detections = [found([[48, 0, 52, 1], [47, 0, 50, 1], [49, 0, 53, 1]], [0.9, 0.8, 0.7])]
    _, pairs = arrays(truths, detections, 1)
    assert list(zip(pairs.found, pairs.objects)) == [(0, 0), (1, 0)]
    np.testing.assert_allclose(pairs.inside, [0.5, 1.0])


def _all_pairs(scored, min_iou):
    """(detection, object, IoU, share inside) of each pair, by loops."""
    rows = []
    for one, box in enumerate(scored.found.boxes):
        for other, item in enumerate(scored.objects.boxes):
            if scored.found.image[one] != scored.objects.image[other]:
                continue
            height, width = np.minimum(box[2:], item[2:]) - np.maximum(box[:2], item[:2])
            if height <= 0 or width <= 0:
                continue
            common, own = height * width, np.prod(box[2:] - box[:2])
            iou = common / (own + np.prod(item[2:] - item[:2]) - common)
            if iou >= min_iou or (scored.objects.crowd[other] and common / own >= 0.49):
                rows.append((one, other, iou, common / own))
    return rows


@pytest.mark.parametrize("max_pairs", [1, 7, overlaps._MAX_PAIRS])
@settings(max_examples=25, deadline=None)
@given(scored_sets.sets(), st.sampled_from([0.1, 0.5]))
def test_equals_all_pairs_one_by_one_however_many_at_a_time(max_pairs, drawn, min_iou):
    scored, _ = arrays(*drawn, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlaps, "_MAX_PAIRS", max_pairs)
        pairs = overlaps.find_overlaps(scored, min_iou)
    rows = _all_pairs(scored, min_iou)
    columns = np.array(rows, float).reshape(-1, 4).T
    for name, column in zip(("found", "objects", "ious", "inside"), columns):
        np.testing.assert_array_equal(getattr(pairs, name), column)
    assert pairs.found.dtype == pairs.objects.dtype == np.int64
