"""Recall of anchors, against all pairs of boxes and anchors, and against matching itself."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.backbones.backbone import SSD300, SSD512, SSDLITE320
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.fitting.anchor_recall import (
    SizeRecall,
    anchor_recall,
    best_ious,
    is_matched,
)
from ssd_tfrecord.geometry import matching
from ssd_tfrecord.geometry.anchors import anchor_boxes
from ssd_tfrecord.options import AnchorOptions

LISTED = AnchorOptions(
    anchor_scales="0.06,0.17,0.3,0.5,0.77,0.87,1.05", aspect_ratios="1.5:1.4,2.1:1.5,2.8:1.4,3:2:2"
)


def random_boxes(count, seed=0):
    random = np.random.default_rng(seed)
    sides = np.exp(random.uniform(np.log(0.01), np.log(1.0), (count, 2)))
    low = random.uniform(size=(count, 2)) * (1 - sides)
    return np.concatenate([low, low + sides], axis=1).astype(np.float32)


def slow_ious(boxes, anchors):
    """The highest IoU of each box with any of all anchors, in float64."""
    best = []
    for ymin, xmin, ymax, xmax in boxes.astype(np.float64):
        low, high = (
            np.maximum(anchors[:, :2], [ymin, xmin]),
            np.minimum(anchors[:, 2:], [ymax, xmax]),
        )
        overlap = np.prod(np.clip(high - low, 0, None), axis=1)
        areas = np.prod(anchors[:, 2:] - anchors[:, :2], axis=1) + (ymax - ymin) * (xmax - xmin)
        best.append(np.max(overlap / (areas - overlap)))
    return np.array(best)


@pytest.mark.parametrize("variant", ["", "torchvision", "amdegroot"])
@pytest.mark.parametrize(
    ("maps", "options"),
    [
        (SSD300, AnchorOptions()),
        (SSD300, LISTED),
        (SSD512, AnchorOptions(anchor_scales="coco")),
        (SSDLITE320, AnchorOptions(anchor_scales="ssdlite")),
    ],
    ids=["SSD300, voc", "SSD300, listed", "SSD512, coco", "SSDLITE320, ssdlite"],
)
def test_the_nearest_cell_has_the_best_anchor_of_each_shape(maps, options, variant):
    options = AnchorOptions(options.anchor_scales, options.aspect_ratios, variant)
    boxes = random_boxes(300)
    slow = slow_ious(boxes, anchor_boxes(options, maps).astype(np.float64))
    np.testing.assert_allclose(best_ious(boxes, options, maps), slow, atol=2e-6)


def test_a_box_counts_as_matched_where_matching_gives_it_more_than_its_own_anchor():
    boxes, anchors = random_boxes(400, seed=1), anchor_boxes(AnchorOptions(), SSD300)
    # One object per image: it owns one anchor, and others come by their IoU alone.
    levels = matching.iou_levels(tf.constant(boxes[:, np.newaxis]), anchors).numpy()[:, 0]
    matched = is_matched(best_ious(boxes, AnchorOptions(), SSD300))
    np.testing.assert_array_equal(matched, levels.max(axis=1) >= matching.MATCH_LEVEL)
    assert 0.2 < matched.mean() < 0.8
    found = matching.match(tf.constant(boxes[:, np.newaxis]), tf.ones([400, 1], tf.int32), anchors)
    many = (found.numpy() == 0).sum(axis=1) > 1
    assert matched[many].all()


def test_half_is_as_matching_rounds_it():
    # 2^-15 = 0.0000305 below 0.5 is the last that is rounded up.
    ious = np.array([0.49996, 0.49998, 0.5, 0.0], np.float32)
    assert is_matched(ious).tolist() == [False, True, True, False]


def square(side, center=150.0):
    """A square of the middle, or of the centre of a cell, in an image of 300 pixels."""
    return [(center - side / 2) / 300, (center - side / 2) / 300] + [(center + side / 2) / 300] * 2


def test_by_hand():
    # Cells of 8 pixels have a centre at 148: sides of 30 are anchors themselves; those of 18 have
    # IoU 18² / 30² = 0.36. 264 is that of the last map. [104, 200] has 95.5 pixels in common with
    # the square of 111 around 144, [88.5, 199.5].
    boxes = np.array([square(30, 148), square(18, 148), square(264), square(96, 152)], np.float32)
    recall = anchor_recall(boxes, AnchorOptions(), SSD300)
    ious = [1, 0.36, 1, 95.5**2 / (96**2 + 111**2 - 95.5**2)]
    np.testing.assert_allclose(best_ious(boxes, AnchorOptions(), SSD300), ious, atol=1e-5)
    assert recall.num_boxes == 4
    assert recall.recall == 0.75
    assert recall.mean_iou == pytest.approx(np.mean(ious), abs=1e-5)
    # The area of a side of 96 is not below 96².
    assert recall.by_size == {
        "small": SizeRecall(2, 0.5),
        "medium": SizeRecall(0, 0.0),
        "large": SizeRecall(2, 1.0),
    }


def test_no_boxes_and_boxes_without_area_are_not_matched():
    empty = anchor_recall(np.zeros([0, 4], np.float32), AnchorOptions(), SSD300)
    assert (empty.num_boxes, empty.recall, empty.mean_iou) == (0, 0.0, 0.0)
    flat = np.array([[0.5, 0.2, 0.5, 0.8]], np.float32)
    assert anchor_recall(flat, AnchorOptions(), SSD300).mean_iou == 0.0


def test_options_that_do_not_fit_the_maps_are_an_error():
    with pytest.raises(InputError, match="--anchor_scales=ssdlite: not published"):
        best_ious(random_boxes(1), AnchorOptions(anchor_scales="ssdlite"), SSD300)
