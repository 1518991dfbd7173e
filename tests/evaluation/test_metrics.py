"""metrics.json's numbers, what holds for them on any set, and their tables."""

import dataclasses
import json

import numpy as np
import pytest
import scored_sets
from hypothesis import given, settings
from hypothesis import strategies as st

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.evaluation.analysis.answers import OperatingPoint
from ssd_tfrecord.evaluation.coco_metrics import CLASS_METRICS
from ssd_tfrecord.evaluation.metrics import (
    coco_summary,
    compute_metrics,
    format_metrics,
    measure,
)

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
    nothing = dict.fromkeys(CLASS_METRICS)
    assert metrics["ap_per_class"]["unicorn"] == {
        **{"voc07": None, "voc12": None, **nothing},
        **{"num_objects": 0, "num_detections": 1},
    }
    # 200 x 200 pixels are a large object.
    found_none = dict.fromkeys(CLASS_METRICS, 0.0) | {"coco_small": None, "coco_medium": None}
    assert metrics["ap_per_class"]["dog"] == {
        **{"voc07": 0.0, "voc12": 0.0, **found_none},
        **{"num_objects": 1, "num_detections": 0},
    }
    assert metrics["num_detections"] == 2
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
        InputError, match=r"1 ground truths and 1 detections: must belong to the same"
    ):
        compute_metrics([TRUTH], [_found(1, source_id="b")], NAMES, (1, 2, 3))


def test_lists_of_other_lengths_are_an_error():
    with pytest.raises(InputError, match=r"image .*: label 2; must be from 1 to 1, the number of"):
        compute_metrics([TRUTH], [_found(1)], NAMES[:1], (1,))
    with pytest.raises(InputError, match="original_ids: 1; must be one for each of 3 classes"):
        compute_metrics([TRUTH], [_found(1)], NAMES, (1,))
    with pytest.raises(InputError, match="image_ids: 2; must be one for each of 1 images"):
        compute_metrics([TRUTH], [_found(1)], NAMES, (1, 2, 3), image_ids=[1, 2])


TWELVE = [
    "coco_ap           0.500   coco_ap50         0.500   coco_ap75         0.500",
    "coco_ap_small         –   coco_ap_medium        –   coco_ap_large     0.500",
    "coco_ar1          0.500   coco_ar10         0.500   coco_ar100        0.500",
    "coco_ar_small         –   coco_ar_medium        –   coco_ar_large     0.500",
    "1 images, 2 objects",
]


def test_table():
    metrics = compute_metrics([TRUTH], [_found(2)], NAMES, (1, 2, 3))
    assert format_metrics(metrics).splitlines() == [
        "class    objects  predictions   VOC07   VOC12    COCO",
        "cat            1            1   1.000   1.000   1.000",
        "dog            1            0   0.000   0.000   0.000",
        "unicorn        0            1       –       –       –",
        "mean           2            2   0.500   0.500   0.500",
        "",
        *TWELVE,
    ]


def test_table_with_the_best_operating_points():
    metrics = compute_metrics([TRUTH], [_found(2)], NAMES, (1, 2, 3))
    best = {"cat": OperatingPoint(0.9, 1.0, 1.0, 1.0), "unicorn": OperatingPoint(*[None] * 4)}
    overall = OperatingPoint(0.9, 0.75, 0.5, 0.6)
    assert format_metrics(metrics, best, overall).splitlines() == [
        "class    objects  predictions   VOC07   VOC12    COCO       P       R      F1",
        "cat            1            1   1.000   1.000   1.000   1.000   1.000   1.000",
        "dog            1            0   0.000   0.000   0.000       –       –       –",
        "unicorn        0            1       –       –       –       –       –       –",
        "mean           2            2   0.500   0.500   0.500   0.750   0.500   0.600",
        "P, R, F1: of each class at its best threshold; last row: of all detections, at 0.900",
        "",
        *TWELVE,
    ]


def test_table_makes_room_for_long_names_and_many_objects():
    metrics = compute_metrics([TRUTH], [_found(2)], ("a", "b" * 20, "c"), (1, 2, 3))
    metrics["num_detections"] = 12_345_678_901_234
    lines = format_metrics(metrics).splitlines()
    assert lines[1].startswith("a" + " " * (19 + 8) + "1" + " " * 19 + "1   1.000")
    assert lines[4].split() == ["mean", "2", "12,345,678,901,234", "0.500", "0.500", "0.500"]
    assert len({len(line) for line in lines[:5]}) == 1


def test_summary_is_what_pycocotools_prints():
    truths, found = [TRUTH], [_found(2)]
    judge, printed = scored_sets.coco_evaluation(truths, found, [1], [1, 2, 3])
    metrics = compute_metrics(truths, found, NAMES, (1, 2, 3))
    assert len(judge.stats) == 12
    assert coco_summary(metrics).splitlines() == printed.splitlines()[-12:]


def _measured(truths, found):
    # By place, as equal scores would be ranked by the ids of their images.
    ids = list(range(len(truths)))
    return measure(*scored_sets.arrays(truths, found, 2), (1, 2), ids)


def _fractions(metrics):
    """All but the counts, in one list."""
    own = [value for row in metrics["ap_per_class"].values() for value in row.values()]
    values = [*metrics.values(), *own]
    return [value for value in values if value is None or isinstance(value, float)]


@settings(max_examples=40, deadline=None)
@given(scored_sets.sets())
def test_no_fraction_exceeds_1_or_falls_below_0(drawn):
    found = _fractions(_measured(*drawn))
    assert len(found) == 14 + 2 * 9
    assert all(value is None or 0 <= value <= 1 for value in found)


@settings(max_examples=40, deadline=None)
@given(scored_sets.sets(), st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_matter_where_no_scores_are_equal(drawn, random):
    truths, found = drawn
    scores = np.arange(1, 1 + sum(len(image.scores) for image in found), dtype=np.float32)
    random.shuffle(scores)
    ends = np.cumsum([len(image.scores) for image in found])
    parts = np.split(scores / 4096, ends[:-1]) if found else []
    found = [dataclasses.replace(image, scores=own) for image, own in zip(found, parts)]
    order = list(range(len(truths)))
    random.shuffle(order)
    turned = _measured([truths[i] for i in order], [found[i] for i in order])
    assert turned == _measured(truths, found)


@settings(max_examples=40, deadline=None)
@given(scored_sets.sets(), st.integers(1, 2))
def test_a_false_detection_of_the_lowest_score_never_raises_a_fraction(drawn, label):
    truths, found = drawn
    # An image without objects: it is false whatever its box.
    truths = [*truths, scored_sets.truth([], source_id="last")]
    last = [
        scored_sets.found(boxes, scores, labels=labels, source_id="last")
        for boxes, scores, labels in (([], [], []), ([[10, 10, 60, 60]], [0.125], [label]))
    ]
    before, after = (_fractions(_measured(truths, [*found, image])) for image in last)
    assert all(new is old is None or new <= old for old, new in zip(before, after, strict=True))


@settings(max_examples=20, deadline=None)
@given(scored_sets.sets())
def test_arrays_give_what_lists_do(drawn):
    names = ("class 0", "class 1")
    assert compute_metrics(*drawn, names, (1, 2)) == _measured(*drawn)
