"""Fitted anchors: better on the boxes that they are for, and within the rules for any boxes."""

from itertools import pairwise

import numpy as np
import pytest

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.backbones.backbone import SSD300, SSD512, SSDLITE320
from ssd_tfrecord.fitting.anchor_fit import fit_anchors
from ssd_tfrecord.fitting.anchor_recall import anchor_recall
from ssd_tfrecord.geometry.anchors import anchors_per_cell
from ssd_tfrecord.options import AnchorOptions


def boxes_of(sides, count, *, spread=0.1, ratio=1.0, seed=0):
    """Boxes of about so many of 300 pixels, anywhere: float32 [N, 4]."""
    random = np.random.default_rng(seed)
    sizes = random.choice(sides, count) * np.exp(random.normal(0, spread, count))
    root = np.sqrt(ratio) ** random.choice([-1, 1], count)
    extents = np.clip(np.stack([sizes * root, sizes / root], axis=1), 1, 300)
    low = random.uniform(size=(count, 2)) * (300 - extents)
    return (np.concatenate([low, low + extents], axis=1) / 300).astype(np.float32)


SETS = {
    "small ones": boxes_of([16], 300),
    "long ones": boxes_of([60, 90], 300, ratio=4.5),
    "all of one shape": np.tile(np.float32([[0.1, 0.1, 0.3, 0.3]]), [50, 1]),
    "huge ones": boxes_of([290], 300),
    "of a pixel": boxes_of([1], 300),
    "a single one": boxes_of([100], 1),
    "of any size": boxes_of(np.exp(np.linspace(2, 5.7, 50)), 400, spread=0.5, ratio=2),
}


def test_small_boxes_get_small_anchors():
    boxes = boxes_of([16], 600)
    published = AnchorOptions(anchor_scales="coco")
    fitted = fit_anchors(boxes[::2], published, SSD300)
    before, after = (
        anchor_recall(boxes[1::2], item, SSD300).recall for item in (published, fitted)
    )
    # 16² / 21² = 0.58, where the box lies inside of the anchor.
    assert before < 0.75
    assert after > 0.85
    assert 14 < fitted.scales()[0] * 300 < 19


def test_long_boxes_get_long_anchors():
    boxes = boxes_of([100], 600, ratio=4.5)
    fitted = fit_anchors(boxes[::2], AnchorOptions(), SSD300)
    before, after = (
        anchor_recall(boxes[1::2], item, SSD300).mean_iou for item in (AnchorOptions(), fitted)
    )
    # Of one area, ratios 3 and 4.5 have IoU 0.69.
    assert before < 0.65
    assert after > 0.7
    assert any(3.9 < ratio <= 5 for ratios in fitted.ratios() for ratio in ratios)


@pytest.mark.parametrize(
    ("maps", "name", "kind"),
    [
        *((SSD300, "voc", kind) for kind in SETS),
        (SSD512, "coco", "of any size"),
        (SSDLITE320, "ssdlite", "of any size"),
    ],
    ids=[*SETS, "of any size, SSD512", "of any size, SSDLITE320"],
)
def test_the_rules_hold_for_any_boxes(maps, name, kind):
    boxes = SETS[kind]
    published = AnchorOptions(anchor_scales=name)
    fitted = fit_anchors(boxes, published, maps)
    assert anchors_per_cell(fitted, maps) == anchors_per_cell(published, maps)
    sizes = np.array(fitted.scales()) * maps.input_size
    # The last map is as published.
    np.testing.assert_allclose(sizes[-2:], maps.sizes[name][-2:], atol=0.03)
    assert fitted.ratios()[-1] == maps.ratios[-1]
    # Smaller anchors would lie between the objects; nearer ones would be the same; 0.03 pixels and
    # 0.005 are lost by rounding.
    assert all(size >= 1.36 * step - 0.03 for size, step in zip(sizes, maps.steps[:-1]))
    assert all(size <= 5 * step + 0.03 for size, step in zip(sizes, maps.steps[:-1]))
    assert all(b >= 1.1 * a - 0.1 for a, b in pairwise(sizes[:-1]))
    for ratios in fitted.ratios():
        assert ratios[0] >= 1.195
        assert ratios[-1] <= 5.005
        assert all(b >= 1.2 * a - 0.02 for a, b in pairwise(ratios))
    recall, known = (anchor_recall(boxes, item, maps) for item in (fitted, published))
    assert recall.recall * 2 + recall.mean_iou >= known.recall * 2 + known.mean_iou - 1e-3


def test_few_small_objects_among_many_others_stay_covered():
    """2 of 100, of 25 pixels, on maps of 16 pixels a step: finer anchors for the others gain more.

    Without that rule all of them are lost.
    """
    boxes = np.concatenate([boxes_of([60, 80], 980, spread=0.2, ratio=1.3), boxes_of([25], 20)])
    fitted = fit_anchors(boxes, AnchorOptions(), SSDLITE320)
    before, after = (anchor_recall(boxes, item, SSDLITE320) for item in (AnchorOptions(), fitted))
    assert before.by_size["small"].recall >= 0.7
    assert after.by_size["small"].recall >= before.by_size["small"].recall - 0.01
    assert after.recall > before.recall + 0.005


def test_equal_boxes_give_equal_anchors_and_none_the_published():
    boxes, published = SETS["of any size"], AnchorOptions("coco", "", "torchvision")
    fitted = fit_anchors(boxes, published, SSD300)
    assert fit_anchors(boxes.copy(), published, SSD300) == fitted
    assert fitted.anchor_variant == "torchvision"
    assert fit_anchors(boxes[:0], published, SSD300) == published


def test_published_anchors_keep_the_rule_of_the_smallest():
    """But for the last map, which is not fitted."""
    found = [
        size / step
        for backbone in BACKBONES.values()
        for maps in backbone.inputs.values()
        for sizes in maps.sizes.values()
        for size, step in zip(sizes, maps.steps[:-1])
    ]
    assert min(found) == pytest.approx(1.38, abs=0.01)
    assert max(found) == pytest.approx(6.4)
