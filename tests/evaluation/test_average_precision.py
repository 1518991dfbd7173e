"""VOC's AP: worked by hand, against py-faster-rcnn's numbers, and on what is empty."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.evaluation.average_precision import average_precisions


def _boxes(pixels):
    """Pixels [xmin, ymin, xmax, ymax] of a 100 x 100 image as fraction boxes."""
    return (np.float64(pixels).reshape(-1, 4)[:, [1, 0, 3, 2]] / 100).astype(np.float32)


def _truth(pixels, *, labels=None, difficult=None, crowd=None, source_id="a"):
    count = len(pixels)
    return GroundTruth(
        source_id,
        100,
        100,
        _boxes(pixels),
        np.int32(labels if labels is not None else [1] * count),
        np.array(difficult if difficult is not None else [False] * count, bool),
        np.array(crowd if crowd is not None else [False] * count, bool),
        np.zeros(count, np.float32),
    )


def _found(pixels, scores, *, labels=None, source_id="a"):
    labels = np.int32(labels if labels is not None else [1] * len(pixels))
    return Detections(source_id, 100, 100, _boxes(pixels), np.float32(scores), labels)


SQUARE, OTHER, NOWHERE = [0, 0, 10, 10], [50, 50, 70, 70], [80, 0, 90, 10]


def test_by_hand_true_false_true():
    truths = [_truth([SQUARE, OTHER])]
    voc07, voc12 = average_precisions(
        truths, [_found([SQUARE, NOWHERE, OTHER], [0.9, 0.8, 0.7])], 1
    )
    # Precision 1 up to recall 1/2, then 2/3: six and five of the eleven points.
    np.testing.assert_allclose(voc07, [(6 * 1 + 5 * 2 / 3) / 11], rtol=1e-12)
    np.testing.assert_allclose(voc12, [0.5 * 1 + 0.5 * 2 / 3], rtol=1e-12)


def test_a_recall_of_three_fifths_misses_the_sixth_point_as_in_voc_eval():
    boxes = [[0, 20 * row, 10, 20 * row + 10] for row in range(5)]
    voc07, _ = average_precisions([_truth(boxes)], [_found(boxes[:3], [0.9, 0.8, 0.7])], 1)
    np.testing.assert_allclose(voc07, [6 / 11], rtol=1e-12)


@pytest.mark.parametrize("mark", ["difficult", "crowd"])
def test_detections_on_a_difficult_object_or_a_crowd_count_as_nothing(mark):
    truths = [_truth([SQUARE, OTHER], **{mark: [True, False]})]
    found = [_found([SQUARE, SQUARE, OTHER], [0.9, 0.8, 0.7])]
    voc07, voc12 = average_precisions(truths, found, 1)
    assert voc07 == voc12 == [1.0]


def test_the_second_detection_of_an_object_is_false():
    _, voc12 = average_precisions(
        [_truth([SQUARE, OTHER])], [_found([SQUARE, SQUARE, OTHER], [0.9, 0.8, 0.7])], 1
    )
    np.testing.assert_allclose(voc12, [0.5 + 0.5 * 2 / 3], rtol=1e-12)


def test_a_detection_belongs_to_its_best_object_even_if_that_is_taken():
    truths = [_truth([[0, 0, 10, 10], [0, 0, 10, 9]])]
    found = [_found([[0, 0, 10, 10], [0, 0, 10, 10]], [0.9, 0.8])]
    _, voc12 = average_precisions(truths, found, 1)
    assert voc12 == [0.5]


def test_iou_of_exactly_the_minimum_is_false():
    truths = [_truth([[0, 0, 10, 30]])]
    _, voc12 = average_precisions(truths, [_found([[0, 0, 10, 15]], [0.9])], 1)
    assert voc12 == [0.0]
    _, voc12 = average_precisions(truths, [_found([[0, 0, 10, 15]], [0.9])], 1, min_iou=0.49)
    assert voc12 == [1.0]


def test_of_equal_scores_the_later_image_then_the_later_detection_comes_first():
    truths = [_truth([SQUARE]), _truth([SQUARE], source_id="b")]
    found = [_found([SQUARE], [0.5]), _found([SQUARE, NOWHERE], [0.5, 0.5], source_id="b")]
    # In order: false, true, true.
    _, voc12 = average_precisions(truths, found, 1)
    np.testing.assert_allclose(voc12, [2 / 3], rtol=1e-12)


def test_a_class_without_objects_that_count_has_no_ap_and_one_without_detections_zero():
    truths = [_truth([SQUARE, OTHER], labels=[1, 3], difficult=[False, True])]
    voc07, voc12 = average_precisions(truths, [_found([OTHER], [0.5], labels=[3])], 3)
    np.testing.assert_array_equal(voc07, [0.0, np.nan, np.nan])
    np.testing.assert_array_equal(voc12, [0.0, np.nan, np.nan])


def test_no_images_and_images_without_objects_or_detections():
    assert np.isnan(average_precisions([], [], 2)).all()
    truths = [_truth([]), _truth([SQUARE], source_id="b")]
    _, voc12 = average_precisions(truths, [_found([SQUARE], [0.9]), _found([SQUARE], [0.8])], 1)
    assert voc12 == [0.5]


def _twin(truths, found, label, min_iou):
    """voc_eval.py's loop for one class, area AP; whole-pixel boxes."""
    rows = [
        (-score, i, j)
        for i, image in enumerate(found)
        for j, score in enumerate(image.scores)
        if image.labels[j] == label
    ]
    taken, true, false, curve = set(), 0, 0, []
    for _, i, j in sorted(rows, key=lambda row: (row[0], -row[1], -row[2])):
        best, chosen = -1.0, None
        box = np.round(found[i].boxes[j].astype(float) * 100)
        for k, other in enumerate(np.round(truths[i].boxes.astype(float) * 100)):
            sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
            overlap = np.prod(np.maximum(sides, 0))
            areas = np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2])
            if truths[i].labels[k] == label and overlap / (areas - overlap) > best:
                best, chosen = overlap / (areas - overlap), k
        if best > min_iou and truths[i].difficult[chosen]:
            continue
        hit = best > min_iou and (i, chosen) not in taken
        taken.add((i, chosen)) if hit else None
        true, false = true + hit, false + (not hit)
        curve.append((true, true / (true + false)))
    positives = sum(np.count_nonzero((t.labels == label) & ~t.difficult) for t in truths)
    best_after = [max(p for _, p in curve[index:]) for index in range(len(curve))]
    gains = np.diff([0] + [count for count, _ in curve]) / max(positives, 1)
    return float(np.dot(gains, best_after)) if positives else np.nan


def _random_boxes(rng, count):
    low = rng.integers(0, 60, [count, 2])
    return np.concatenate([low, low + rng.integers(10, 40, [count, 2])], axis=-1)


@pytest.mark.parametrize("seed", range(20))
def test_equals_the_slow_twin(seed):
    rng = np.random.default_rng(seed)
    truths, found = [], []
    for image in range(6):
        boxes = _random_boxes(rng, count := rng.integers(0, 5))
        labels, difficult = rng.integers(1, 4, count), rng.random(count) < 0.25
        name = str(image)
        truths.append(_truth(boxes, labels=labels, difficult=difficult, source_id=name))
        boxes = np.concatenate([boxes + rng.integers(-4, 5, boxes.shape), _random_boxes(rng, 4)])
        boxes = np.repeat(np.clip(boxes, 0, 100), 2, axis=0)
        scores, labels = rng.integers(1, 6, len(boxes)) / 8, rng.integers(1, 4, len(boxes))
        found.append(_found(boxes, scores, labels=labels, source_id=name))
    _, voc12 = average_precisions(truths, found, 3, min_iou=0.5)
    np.testing.assert_allclose(voc12, [_twin(truths, found, c, 0.5) for c in (1, 2, 3)], atol=1e-12)


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
    voc07, voc12 = average_precisions(truths, found, len(names), min_iou=min_iou)
    for key, values in (("area", voc12), ("voc07_11pt", voc07)):
        wanted = expected[f"iou{min_iou}_{key}"]
        np.testing.assert_allclose(values, [wanted[name] for name in names], atol=1e-6)
        np.testing.assert_allclose(values.mean(), wanted["mAP"], atol=1e-6)
