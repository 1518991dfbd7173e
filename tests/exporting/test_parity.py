"""An exported file's detections against the Detector's."""

import dataclasses

import numpy as np
import pytest

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.exporting.exported_file import Tolerance
from ssd_tfrecord.exporting.parity import compare
from ssd_tfrecord.options import DetectionOptions

OPTIONS = DetectionOptions(score_threshold=0.1, max_detections=3)
EXACT = Tolerance()
# (box, score, label)
ROWS = (
    ([0.1, 0.1, 0.4, 0.5], 0.9, 1),
    ([0.3, 0.2, 0.8, 0.9], 0.7, 2),
)


def found(*rows):
    boxes, scores, labels = zip(*rows) if rows else ((), (), ())
    return Detections(
        "a",
        100,
        200,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(labels, np.int32),
    )


def truth(*rows):
    boxes, labels = [row[0] for row in rows], [row[2] for row in rows]
    count = len(rows)
    return GroundTruth(
        "a",
        100,
        200,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels, np.int32),
        np.zeros(count, bool),
        np.zeros(count, bool),
        np.zeros(count, np.float32),
    )


def compared(reference, other, tolerance=EXACT, truths=None):
    return compare(
        [reference], [other], [truths or truth(*ROWS)], ("cat", "dog"), OPTIONS, tolerance
    )


def test_equal_detections_have_no_faults():
    result = compared(found(*ROWS), found(*ROWS))
    assert (result.num_reference, result.num_found, result.num_unmatched) == (2, 2, 0)
    assert (result.box, result.score) == (0, 0)
    assert result.ap == result.ap_reference == 1
    assert result.faults(EXACT) == []


def test_largest_differences_are_found_whatever_the_order():
    box, score, label = ROWS[0]
    moved = ([box[0], box[1] + 0.003, *box[2:]], score - 0.002, label)
    result = compared(found(*ROWS), found(ROWS[1], moved))
    assert result.box == pytest.approx(0.003, abs=1e-6)
    assert result.score == pytest.approx(0.002, abs=1e-6)
    boxes, scores = result.faults(EXACT)
    assert boxes == "boxes differ by 0.003 of the image (at most 0.0001)"
    assert scores == "scores differ by 0.002 (at most 0.0001)"
    assert result.faults(Tolerance(box=0.01, score=0.01)) == []


@pytest.mark.parametrize("side", ["reference", "found"])
def test_a_detection_of_one_alone_is_a_fault_on_either_side(side):
    more = (*ROWS, ([0.6, 0.6, 0.9, 0.9], 0.5, 1))
    pair = (found(*more), found(*ROWS)) if side == "reference" else (found(*ROWS), found(*more))
    result = compared(*pair)
    assert result.num_unmatched == 1
    assert "1 of 5 detections are of only one of the two" in " ".join(result.faults(EXACT))
    assert result.faults(Tolerance(unmatched=0.2)) == []


def test_another_class_at_the_same_place_is_no_match():
    box, score, _ = ROWS[0]
    result = compared(found(*ROWS), found((box, score, 2), ROWS[1]))
    assert result.num_unmatched == 2
    assert result.ap < result.ap_reference


def test_scores_on_a_threshold_do_not_count():
    at_threshold = (*ROWS, ([0.6, 0.6, 0.9, 0.9], 0.10005, 1))
    assert compared(found(*at_threshold), found(*ROWS)).num_unmatched == 0
    # With max_detections, the lowest one that is kept is the threshold.
    third, other = ([0.6, 0.6, 0.9, 0.9], 0.5, 1), ([0.1, 0.6, 0.2, 0.9], 0.5, 2)
    assert compared(found(*ROWS, third), found(*ROWS, other)).num_unmatched == 0
    higher = (other[0], 0.6, 2)
    assert compared(found(*ROWS, third), found(*ROWS, higher)).num_unmatched == 1


def test_ap_alone_judges_where_boxes_are_not_compared():
    integer = Tolerance(box=None, score=None, ap=0.01)
    lost = compared(found(*ROWS), found(ROWS[0]), integer)
    assert lost.faults(integer) == ["mAP is 0.5000 instead of 1.0000 (at most 0.01)"]
    # Higher than the Detector's is no fault.
    assert compared(found(ROWS[0]), found(*ROWS), integer).faults(integer) == []
    moved = found(*((np.add(box, 0.01), score - 0.05, label) for box, score, label in ROWS))
    assert compared(found(*ROWS), moved, integer).faults(integer) == []


def test_nothing_on_either_side():
    result = compared(found(), found(), truths=truth())
    assert dataclasses.asdict(result) == {
        "num_images": 1,
        "num_reference": 0,
        "num_found": 0,
        "num_unmatched": 0,
        "box": 0,
        "score": 0,
        "ap_reference": None,
        "ap": None,
    }
    assert result.faults(EXACT) == []
