"""metrics.json's numbers and their table."""

import json

import numpy as np
import pytest

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.evaluation.metrics import compute_metrics, format_metrics

NAMES = ("cat", "dog", "unicorn")
BOXES = np.float32([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])
TRUTH = GroundTruth(
    "a",
    400,
    400,
    BOXES,
    np.int32([1, 2]),
    np.zeros(2, bool),
    np.zeros(2, bool),
    np.zeros(2, np.float32),
)


def _found(count, source_id="a"):
    labels = np.int32([1, 3])[:count]
    return Detections(source_id, 400, 400, BOXES[:count], np.float32([0.9, 0.8])[:count], labels)


def test_means_leave_out_classes_without_objects():
    metrics = compute_metrics([TRUTH], [_found(2)], NAMES, (1, 2, 3))
    assert metrics["voc07_map"] == metrics["voc12_map"] == pytest.approx(0.5)
    assert metrics["coco_ap"] == pytest.approx(0.5)
    assert metrics["coco_ap_small"] is None
    assert metrics["ap_per_class"]["dog"] == {"voc07": 0.0, "voc12": 0.0, "coco": 0.0}
    assert metrics["ap_per_class"]["unicorn"] == {"voc07": None, "voc12": None, "coco": None}
    assert (metrics["num_images"], metrics["num_objects"]) == (1, 2)
    json.dumps(metrics, allow_nan=False)


def test_nothing_found_and_nothing_there():
    metrics = compute_metrics([TRUTH], [_found(0)], NAMES, (1, 2, 3))
    assert metrics["voc07_map"] == metrics["coco_ap"] == metrics["coco_ar100"] == 0.0
    metrics = compute_metrics([], [], NAMES, (1, 2, 3))
    assert metrics["voc07_map"] is None and metrics["coco_ap"] is None
    assert metrics["num_images"] == 0


def test_other_images_are_an_error():
    with pytest.raises(
        ValueError, match=r"1 ground truths and 1 detections: must belong to the same"
    ):
        compute_metrics([TRUTH], [_found(1, source_id="b")], NAMES, (1, 2, 3))


def test_table():
    metrics = compute_metrics([TRUTH], [_found(2)], NAMES, (1, 2, 3))
    assert format_metrics(metrics).splitlines() == [
        "class     VOC07   VOC12    COCO",
        "cat       1.000   1.000   1.000",
        "dog       0.000   0.000   0.000",
        "unicorn       –       –       –",
        "mean      0.500   0.500   0.500",
        "",
        "coco_ap           0.500   coco_ap50         0.500   coco_ap75         0.500",
        "coco_ap_small         –   coco_ap_medium        –   coco_ap_large     0.500",
        "coco_ar1          0.500   coco_ar10         0.500   coco_ar100        0.500",
        "coco_ar_small         –   coco_ar_medium        –   coco_ar_large     0.500",
        "1 images, 2 objects",
    ]
