"""Boxes around turned rectangles, polygons and masks, against rasters and pycocotools."""

import math

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from ssd_tfrecord.records.sources import shapes


def test_a_turned_rectangle_by_its_corners():
    box = (20.0, 40.0, 80.0, 120.0)
    for degrees in (0, 15, 45, 90, 123.4, 180, -30, 725):
        angle = math.radians(degrees)
        corners = [(x, y) for x in (-40, 40) for y in (-30, 30)]
        xs = [80 + x * math.cos(angle) - y * math.sin(angle) for x, y in corners]
        ys = [50 + x * math.sin(angle) + y * math.cos(angle) for x, y in corners]
        expected = (min(ys), min(xs), max(ys), max(xs))
        assert shapes.around_turned(box, degrees) == pytest.approx(expected, abs=1e-9)


def test_points():
    assert shapes.around_points([(3, 4), (1, 9), (2, 2)]) == (2.0, 1.0, 9.0, 3.0)
    assert shapes.around_points([(3, 4)]) is None
    assert shapes.around_points([]) is None
    assert shapes.around_points([(3, 4), (math.nan, 1)]) is None
    assert shapes.around_points([(3, 4), (math.inf, 1)]) is None


@pytest.fixture
def masks():
    """Random blobs, a single pixel, a whole image, one that is empty."""
    random = np.random.default_rng(0)
    found = [np.zeros((7, 5), np.uint8), np.ones((7, 5), np.uint8), np.zeros((4, 9), np.uint8)]
    found[2][3, 8] = 1
    for _ in range(60):
        mask = (random.random(random.integers(1, 30, 2)) < random.choice([0.02, 0.3])).astype("u1")
        found.append(mask)
    return found


def test_masks_as_pycocotools_has_them(masks):
    for mask in masks:
        packed = coco_mask.encode(np.asfortranarray(mask))
        runs = shapes.runs_of_text(packed["counts"].decode())
        flat = mask.T.ravel()
        ends = [*(np.flatnonzero(np.diff(flat)) + 1), len(flat)]
        expected = np.diff([0, *ends]).tolist()
        assert runs == ([0, *expected] if flat[0] else expected)
        box = shapes.around_runs(runs, *mask.shape)
        if not mask.any():
            assert box is None
            continue
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert box == (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)


@pytest.mark.parametrize("text", ["P", "~", "\x00", "é", "PPPPPPPPPPPPPPPPPP0", " 5"])
def test_damaged_codes(text):
    assert shapes.runs_of_text(text) is None


def test_runs_that_do_not_fit():
    assert shapes.around_runs([3, 8], 2, 5) is None
    assert shapes.around_runs([3, -1, 4], 2, 5) is None
    assert shapes.around_runs([10**30, 1], 2, 5) is None
    assert shapes.around_runs([], 2, 5) is None
    assert shapes.around_runs([4, 0, 2], 2, 5) is None
