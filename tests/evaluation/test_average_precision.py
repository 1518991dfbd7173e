"""VOC's AP: worked by hand, as others publish it, against the devkit's loops, and what is empty."""

import dataclasses
import json
from xml.etree import ElementTree

import numpy as np
import pytest
import scored_sets
from hypothesis import given, settings
from scored_sets import arrays
from scored_sets import found as _found
from scored_sets import truth as _truth

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.evaluation.average_precision import average_precisions

SQUARE, OTHER, NOWHERE = [0, 0, 10, 10], [50, 50, 70, 70], [80, 0, 90, 10]


def test_by_hand_true_false_true():
    truths = [_truth([SQUARE, OTHER])]
    found = [_found([SQUARE, NOWHERE, OTHER], [0.9, 0.8, 0.7])]
    voc07, voc12 = average_precisions(*arrays(truths, found, 1))
    # Precision 1 up to recall 1/2, then 2/3: six and five of the eleven points.
    np.testing.assert_allclose(voc07, [(6 * 1 + 5 * 2 / 3) / 11], rtol=1e-12)
    np.testing.assert_allclose(voc12, [0.5 * 1 + 0.5 * 2 / 3], rtol=1e-12)


def test_a_recall_of_three_fifths_misses_the_sixth_point_as_in_voc_eval():
    boxes = [[0, 20 * row, 10, 20 * row + 10] for row in range(5)]
    found = [_found(boxes[:3], [0.9, 0.8, 0.7])]
    voc07, _ = average_precisions(*arrays([_truth(boxes)], found, 1))
    np.testing.assert_allclose(voc07, [6 / 11], rtol=1e-12)


@pytest.mark.parametrize("mark", ["difficult", "crowd"])
def test_detections_on_a_difficult_object_or_a_crowd_count_as_nothing(mark):
    truths = [_truth([SQUARE, OTHER], **{mark: [True, False]})]
    found = [_found([SQUARE, SQUARE, OTHER], [0.9, 0.8, 0.7])]
    voc07, voc12 = average_precisions(*arrays(truths, found, 1))
    assert voc07 == voc12 == [1.0]


def test_the_second_detection_of_an_object_is_false():
    found = [_found([SQUARE, SQUARE, OTHER], [0.9, 0.8, 0.7])]
    _, voc12 = average_precisions(*arrays([_truth([SQUARE, OTHER])], found, 1))
    np.testing.assert_allclose(voc12, [0.5 + 0.5 * 2 / 3], rtol=1e-12)


def test_a_detection_belongs_to_its_best_object_even_if_that_is_taken():
    truths = [_truth([[0, 0, 10, 10], [0, 0, 10, 9]])]
    found = [_found([[0, 0, 10, 10], [0, 0, 10, 10]], [0.9, 0.8])]
    _, voc12 = average_precisions(*arrays(truths, found, 1))
    assert voc12 == [0.5]


@pytest.mark.parametrize(("min_iou", "ap"), [(0.5, 1.0), (0.500001, 0.0), (0.49, 1.0)])
def test_iou_of_exactly_the_minimum_is_enough(min_iou, ap):
    scored = arrays([_truth([[0, 0, 10, 30]])], [_found([[0, 0, 10, 15]], [0.9])], 1)
    _, voc12 = average_precisions(*scored, min_iou=min_iou)
    assert voc12 == [ap]


def test_equal_scores_keep_the_order_of_images_and_then_of_detections():
    truths = [_truth([SQUARE]), _truth([SQUARE], source_id="b")]
    found = [_found([SQUARE], [0.5]), _found([NOWHERE, SQUARE], [0.5, 0.5], source_id="b")]
    # In order: true, false, true.
    _, voc12 = average_precisions(*arrays(truths, found, 1))
    np.testing.assert_allclose(voc12, [1 / 2 + 1 / 2 * 2 / 3], rtol=1e-12)


def test_a_class_without_objects_that_count_has_no_ap_and_one_without_detections_zero():
    truths = [_truth([SQUARE, OTHER], labels=[1, 3], difficult=[False, True])]
    found = [_found([OTHER], [0.5], labels=[3])]
    voc07, voc12 = average_precisions(*arrays(truths, found, 3))
    np.testing.assert_array_equal(voc07, [0.0, np.nan, np.nan])
    np.testing.assert_array_equal(voc12, [0.0, np.nan, np.nan])


def test_no_images_and_images_without_objects_or_detections():
    assert np.isnan(average_precisions(*arrays([], [], 2))).all()
    truths = [_truth([]), _truth([SQUARE], source_id="b")]
    found = [_found([SQUARE], [0.9]), _found([SQUARE], [0.8], source_id="b")]
    _, voc12 = average_precisions(*arrays(truths, found, 1))
    assert voc12 == [0.5]


def _twin(truths, found, label, min_iou):
    """(11-point AP, area) of a class by the loops of VOCevaldet.m; boxes are whole pixels."""
    rows = [
        (-score, i, j)
        for i, image in enumerate(found)
        for j, score in enumerate(image.scores)
        if image.labels[j] == label
    ]
    taken, true, false, curve = set(), 0, 0, []
    # By falling score, then by image, then by place.
    for _, i, j in sorted(rows):
        best, chosen = -1.0, None
        box = np.round(found[i].boxes[j].astype(float) * found[i].height)
        for k, other in enumerate(np.round(truths[i].boxes.astype(float) * truths[i].height)):
            if truths[i].labels[k] == label and (iou := _iou(box, other)) > best:
                best, chosen = iou, k
        if best >= min_iou and (truths[i].difficult | truths[i].crowd)[chosen]:
            continue
        hit = best >= min_iou and (i, chosen) not in taken
        taken.add((i, chosen)) if hit else None
        true, false = true + hit, false + (not hit)
        curve.append((true, true / (true + false)))
    positives = sum(np.count_nonzero((t.labels == label) & ~t.difficult & ~t.crowd) for t in truths)
    return _aps(curve, positives) if positives else (np.nan, np.nan)


def _iou(box, other):
    height, width = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    common = max(height, 0) * max(width, 0)
    union = np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2]) - common
    return common / union if union else 0.0


def _aps(curve, positives):
    """From (number found, precision) after each detection that counts."""
    points = [
        max([p for count, p in curve if count / positives >= recall], default=0.0)
        for recall in np.arange(0, 1.1, 0.1)
    ]
    area = last = 0.0
    for index, (count, _) in enumerate(curve):
        area += (count / positives - last) * max(p for _, p in curve[index:])
        last = count / positives
    return np.mean(points), area


@settings(max_examples=80, deadline=None)
@given(scored_sets.sets())
def test_equals_the_devkits_loops_to_the_last_bit(drawn):
    truths, found = drawn
    for min_iou in (0.25, 0.5, 0.75):
        got = average_precisions(*arrays(truths, found, 2), min_iou)
        want = [_twin(truths, found, label, min_iou) for label in (1, 2)]
        np.testing.assert_array_equal(np.transpose(got), want)


# Files groundtruths/ and detections/ of https://github.com/rafaelpadilla/Object-Detection-Metrics
# (MIT License, Copyright (c) 2018 Rafael Padilla), a line per image of 200 x 200 pixels: objects as
# left, top, width, height; after the bar, detections likewise behind their score in hundredths.
_PADILLA = """
25 16 38 56, 129 123 41 62 | 88 5 67 31 48, 70 119 111 40 67, 80 124 9 49 67
123 11 43 55, 38 132 59 45 | 71 64 111 64 58, 54 26 140 60 47, 74 19 18 43 35
16 14 35 48, 123 30 49 44, 99 139 47 47 | 18 109 15 77 39, 67 86 63 46 45, 38 160 62 36 53, \
91 105 131 47 47, 44 18 148 40 44
53 42 40 52, 154 43 31 34 | 35 83 28 28 26, 78 28 68 42 67, 45 87 89 25 39, 14 10 155 60 26
59 31 44 51, 48 128 34 52 | 62 50 38 28 46, 44 95 11 53 28, 95 29 131 72 29, 23 29 163 72 29
36 89 52 76, 62 58 44 67 | 45 43 48 74 38, 84 17 155 29 35, 43 95 110 25 42
28 31 55 63, 58 67 50 58 | 48 16 20 101 88, 95 33 116 37 49
"""


@pytest.mark.parametrize(
    ("min_iou", "voc07", "voc12"),
    [
        (0.1, 0.3333333333, 0.3371980676),
        (0.3, 0.2683982683, 0.2456866804),
        (0.5, 0.0303030303, 0.0222222222),
        (0.75, 0.0, 0.0),
    ],
)
def test_equals_what_padilla_publishes(min_iou, voc07, voc12):
    """In tests/test_eval_pascal.py of github.com/rafaelpadilla/review_object_detection_metrics."""
    truths, found = [], []
    for name, line in enumerate(_PADILLA.strip().splitlines()):
        objects, rows = (
            [list(map(int, row.split())) for row in part.split(",")] for part in line.split("|")
        )
        # Both ends are inside, as in VOC.
        boxes, others = (
            [[x, y, x + width + 1, y + height + 1] for *_, x, y, width, height in part]
            for part in (objects, rows)
        )
        truths.append(_truth(boxes, source_id=str(name), size=200))
        scores = [row[0] / 100 for row in rows]
        found.append(_found(others, scores, source_id=str(name), size=200))
    got = average_precisions(*arrays(truths, found, 1), min_iou)
    np.testing.assert_allclose(np.ravel(got), [voc07, voc12], rtol=1e-9, atol=1e-10)


def _read_voc(path, names):
    root = ElementTree.parse(path).getroot()
    width, height = (int(root.find(f"size/{side}").text) for side in ("width", "height"))
    rows = [
        (
            [float(item.find(f"bndbox/{edge}").text) for edge in ("ymin", "xmin", "ymax", "xmax")],
            names.index(item.find("name").text) + 1,
            int(item.findtext("difficult", "0")),
        )
        for item in root.iter("object")
    ]
    boxes = np.float64([row[0] for row in rows]) - [1, 1, 0, 0]
    boxes = (boxes / [height, width, height, width]).astype(np.float32)
    labels, difficult = np.int32([row[1] for row in rows]), np.array([row[2] for row in rows], bool)
    nothing = np.zeros(len(rows), bool)
    return GroundTruth(path.stem, height, width, boxes, labels, difficult, nothing, nothing * 0.0)


def _read_devkit(folder, names, truths):
    rows = {truth.source_id: [] for truth in truths}
    for label, name in enumerate(names, start=1):
        for line in (folder / f"comp3_det_test_{name}.txt").read_text().splitlines():
            image, score, *box = line.split()
            xmin, ymin, xmax, ymax = map(float, box)
            rows[image].append([ymin - 1, xmin - 1, ymax, xmax, float(score), label])
    found = []
    for truth in truths:
        table = np.float64(rows[truth.source_id]).reshape(-1, 6)
        boxes = table[:, :4] / [truth.height, truth.width, truth.height, truth.width]
        found.append(
            Detections(
                truth.source_id,
                truth.height,
                truth.width,
                boxes.astype(np.float32),
                table[:, 4],
                table[:, 5].astype(np.int32),
            )
        )
    return found


@pytest.mark.parametrize("detector", ["rafael", "objectron"])
@pytest.mark.parametrize("min_iou", [0.5, 0.75])
def test_equals_voc_eval_on_real_detections(real_data, detector, min_iou):
    folder = real_data / "evaluator" / "voc"
    expected = json.loads((folder / f"expected_{detector}.json").read_text())
    names = [name for name in expected["iou0.5_area"] if name != "mAP"]
    voc = real_data / "VOCdevkit" / "VOC2012" / "Annotations"
    classes = sorted(
        {
            item.text
            for path in voc.glob("*.xml")
            for item in ElementTree.parse(path).getroot().iterfind("object/name")
        }
        - set(names)
    )
    images = (folder / "imageset.txt").read_text().split()
    truths = [_read_voc(voc / f"{image}.xml", names + classes) for image in images]
    found = _read_devkit(folder / f"dets_{detector}", names, truths)
    for tolerances, order in (((1e-4, 1e-5), slice(None)), ((1e-6, 1e-6), slice(None, None, -1))):
        # voc_eval's sort is not stable: on these files it leaves equal scores in reverse.
        turned = [_in_order(image, order) for image in found[order]]
        scored = arrays(truths[order], turned, len(names + classes))
        voc07, voc12 = (values[: len(names)] for values in average_precisions(*scored, min_iou))
        for key, values in (("area", voc12), ("voc07_11pt", voc07)):
            wanted = expected[f"iou{min_iou}_{key}"]
            each = [wanted[name] for name in names]
            np.testing.assert_allclose(values, each, rtol=0, atol=tolerances[0])
            np.testing.assert_allclose(values.mean(), wanted["mAP"], rtol=0, atol=tolerances[1])


def _in_order(image, order):
    parts = {name: getattr(image, name)[order] for name in ("boxes", "scores", "labels")}
    return dataclasses.replace(image, **parts)
