"""Classes matched by name: labels, the set's ids, and what is said of those that differ."""

import numpy as np
import pytest

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.evaluation.files.classes import match_classes
from ssd_tfrecord.evaluation.metrics import compute_metrics

BOXES = np.float32([[0, 0, 0.5, 0.5], [0, 0.5, 0.5, 1], [0.5, 0, 1, 0.5]])


def _set(make_set, names, labels, ids):
    flags = np.zeros(3, bool)
    truth = GroundTruth("a", 10, 20, BOXES, np.int32(labels), flags, flags, np.float32([1, 2, 3]))
    return make_set([truth], names, ids)


def _found(labels):
    return [Detections("a", 10, 20, BOXES, np.float32([0.9, 0.8, 0.7]), np.int32(labels))]


def test_another_order_is_the_same_classes(make_set):
    annotated = _set(make_set, ("cat", "dog", "cow"), [1, 2, 3], (7, 8, 9))
    match = match_classes(
        annotated.class_names, ("cow", "cat", "dog"), "same", found_by="runs/a", is_whole_list=True
    )
    assert (match.names, match.note) == (("cat", "dog", "cow"), "")
    assert match.choose_detections(_found([2, 3, 1]))[0].labels.tolist() == [1, 2, 3]
    chosen = match.choose_set(annotated)
    assert chosen.original_ids == (7, 8, 9)
    assert chosen.truths[0].labels.tolist() == [1, 2, 3]


def test_common_classes_restrict_objects_detections_and_ids(make_set):
    annotated = _set(make_set, ("cat", "dog", "cow"), [1, 2, 3], (7, 8, 9))
    match = match_classes(
        annotated.class_names, ("cow", "ufo", "cat"), "common", found_by="a", is_whole_list=True
    )
    assert match.names == ("cat", "cow")
    assert match.note == (
        "scored on 2 common classes: only the set has 'dog'; only the detections have 'ufo'"
    )
    chosen, found = match.choose_set(annotated), match.choose_detections(_found([3, 2, 1]))
    assert (chosen.class_names, chosen.original_ids) == (("cat", "cow"), (7, 9))
    (truth,) = chosen.truths
    assert truth.labels.tolist() == [1, 2] and truth.labels.dtype == np.int32
    np.testing.assert_array_equal(truth.boxes, BOXES[[0, 2]])
    assert truth.area.tolist() == [1, 3] and len(truth.difficult) == len(truth.crowd) == 2
    assert found[0].labels.tolist() == [1, 2]
    assert found[0].scores.tolist() == np.float32([0.9, 0.7]).tolist()
    metrics = compute_metrics(chosen.truths, found, chosen.class_names, chosen.original_ids)
    assert metrics["voc12_map"] == 1 and metrics["num_objects"] == 2


def test_files_need_not_find_every_class():
    match = match_classes(("cat", "dog"), ("dog",), "same", found_by="a", is_whole_list=False)
    assert match.names == ("cat", "dog") and match.note == ""
    assert match.of_found.tolist() == [0, 2]
    match = match_classes(("cat", "dog"), (), "same", found_by="a", is_whole_list=False)
    assert match.names == ("cat", "dog")


@pytest.mark.parametrize(
    ("names", "whole", "message"),
    [
        (
            ("cat", "Traffic_Light"),
            False,
            "r: has classes that the set lacks: 'Traffic_Light' (is 'Traffic_Light' the set's "
            "'traffic light'?); must have the same classes, in whatever order; or pass "
            "--classes=common to score only those that both have",
        ),
        (
            ("cat", "cow"),
            True,
            "r: has classes that the set lacks: 'cow', and lacks classes of the set: "
            "'traffic light'; must have the same classes, in whatever order; or pass "
            "--classes=common to score only those that both have",
        ),
        (("cat",), True, "r: lacks classes of the set: 'traffic light'; must have the same"),
        (("x",), False, "r: no class is common to it ('x') and the set ('cat', 'traffic light')"),
    ],
)
def test_other_classes_are_an_error_that_says_what_each_lacks(names, whole, message):
    with pytest.raises(InputError) as error:
        match_classes(("cat", "traffic light"), names, "same", found_by="r", is_whole_list=whole)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("whole", [True, False])
def test_no_common_class_is_an_error_for_common_too(whole):
    with pytest.raises(InputError, match="no class is common"):
        match_classes(("cat",), ("Cat",), "common", found_by="r", is_whole_list=whole)
    with pytest.raises(InputError, match="no class is common"):
        match_classes(("cat",), (), "common", found_by="r", is_whole_list=whole)
