"""--score_threshold=best: which file is read, and what is kept."""

import json
import os

import numpy as np
import pytest

from ssd_tfrecord.detection import best_thresholds
from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.errors import InputError


def _write(path, cat, overall=0.3, step=7):
    path.parent.mkdir(parents=True, exist_ok=True)
    point = {"precision": 1, "recall": 1, "f1": 1}
    content = {
        "records": "val",
        "step": step,
        "min_iou": 0.5,
        "overall": {"threshold": overall, **point},
        "classes": {"cat": {"threshold": cat, **point}, "dog": {"threshold": None, **point}},
    }
    path.write_text(json.dumps(content))
    return path


def test_the_newest_evaluation_is_read_before_that_of_the_training(tmp_path):
    _write(tmp_path / "thresholds.json", 0.1)
    assert best_thresholds.find(tmp_path).classes == {"cat": 0.1}
    for age, name in enumerate("ab"):
        path = _write(tmp_path / "evaluations" / name / "thresholds.json", 0.2 + age)
        os.utime(path, (1000 - age, 1000 - age))
    _write(tmp_path / "evaluations" / "b" / "thresholds.json", 0.6)
    os.utime(tmp_path / "evaluations" / "b" / "thresholds.json", (900, 900))
    best = best_thresholds.find(tmp_path)
    assert (best.classes, best.overall, best.step, best.records) == ({"cat": 0.2}, 0.3, 7, "val")
    # A class without a threshold, or that was not evaluated, has the overall one.
    np.testing.assert_array_equal(best.of(["dog", "cat", "cow"]), [0.3, 0.2, 0.3])


def test_what_is_missing_or_damaged_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"has no thresholds.json; run `ssd-tfrecord evaluate"):
        best_thresholds.find(tmp_path)
    path = tmp_path / "thresholds.json"
    for text in ("{", "[]", '{"classes": {}}', '{"classes": {}, "overall": {"threshold": 2}}'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"thresholds.json: damaged \("):
            best_thresholds.find(tmp_path)
    _write(path, 0.5, overall=None)
    with pytest.raises(InputError, match=r"has no threshold for 'dog', and no overall one"):
        best_thresholds.find(tmp_path).of(["cat", "dog"])


def test_each_class_keeps_what_has_its_threshold():
    found = Detections(
        "a",
        10,
        10,
        boxes=np.arange(20, dtype=np.float32).reshape(5, 4),
        scores=np.float32([0.9, 0.8, 0.6, 0.5, 0.3]),
        labels=np.int32([1, 1, 2, 1, 2]),
    )
    thresholds = np.array([float(np.float32(0.8)), 0.3])
    kept = best_thresholds.keep(found, thresholds, 10)
    np.testing.assert_array_equal(kept.scores, np.float32([0.9, 0.8, 0.6, 0.3]))
    np.testing.assert_array_equal(kept.boxes[:, 0], [0, 4, 8, 16])
    assert best_thresholds.keep(found, thresholds, 3).labels.tolist() == [1, 1, 2]


def test_the_network_keeps_the_lowest_threshold_itself():
    low = best_thresholds.lowest(np.array([0.5, 0.3]))
    # The network keeps what is above its threshold.
    assert low < np.float32(0.3) and np.nextafter(np.float32(low), np.float32(1)) >= np.float32(0.3)
    assert best_thresholds.lowest(np.array([0.0])) == 0.0
