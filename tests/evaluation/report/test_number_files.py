"""per_class.csv and the JSON files, read again as any program would."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from ssd_tfrecord.evaluation.analysis.answers import ERROR_KINDS, OperatingPoint
from ssd_tfrecord.evaluation.report.number_files import write_number_files

NAMES = ("curves", "thresholds", "confusion_matrix", "errors", "calibration")


def _refuse(token):
    raise AssertionError(f"{token} is not JSON")


def _read(folder, name):
    text = (folder / f"{name}.json").read_text(encoding="utf-8")
    return json.loads(text, parse_constant=_refuse)


def _rows(folder):
    with open(folder / "per_class.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(evaluated, tmp_path_factory):
    path = tmp_path_factory.mktemp("numbers")
    write_number_files(path, evaluated)
    return path


def test_a_row_for_each_class(folder, evaluated):
    cat, _, unicorn = _rows(folder)
    best = evaluated.answers.curves.best[0]
    entry = evaluated.metrics["ap_per_class"]["cat"]
    assert cat["class"] == "cat"
    assert int(cat["objects"]) == (evaluated.scored.objects.labels == 1).sum()
    assert int(cat["detections"]) == (evaluated.scored.found.labels == 1).sum()
    assert float(cat["voc12"]) == pytest.approx(entry["voc12"], abs=1e-6)
    assert float(cat["threshold"]) == best.threshold
    assert float(cat["f1"]) == pytest.approx(best.f1, abs=1e-6)
    cost = evaluated.answers.errors.class_costs["missed"][0]
    assert float(cat["cost_missed"]) == pytest.approx(cost, abs=1e-6)
    # Not measured, or nothing to measure.
    assert cat["coco_small"] == cat["objects_without_anchor"] == ""
    assert {unicorn[key] for key in ("voc12", "threshold", "f1", "cost_both")} == {""}
    assert unicorn["objects"] == "0"


def test_thresholds_are_exact(folder, evaluated):
    content = _read(folder, "thresholds")
    curves = evaluated.answers.curves
    assert (content["records"], content["step"], content["min_iou"]) == ("val", 1200, 0.5)
    assert content["overall"] == dataclasses.asdict(curves.overall_best)
    assert content["classes"]["dog"] == dataclasses.asdict(curves.best[1])
    assert content["classes"]["unicorn"] == dict.fromkeys(
        ("threshold", "precision", "recall", "f1")
    )
    # The detection of that very score is kept.
    kept = evaluated.scored.found.scores.astype(float) >= content["overall"]["threshold"]
    assert evaluated.scored.found.scores[kept].min() == content["overall"]["threshold"]


def test_curves(folder, evaluated):
    content, curves = _read(folder, "curves"), evaluated.answers.curves
    assert content["thresholds"] == curves.thresholds.tolist()
    np.testing.assert_allclose(content["overall"]["f1"], curves.overall_f1, atol=1e-6)
    row = content["classes"]["dog"]["precision_at_recall"]
    np.testing.assert_allclose(row, curves.precision_at_recall[1], atol=1e-6)
    assert set(content["classes"]["unicorn"]["recall"]) == {None}


def test_confusion_errors_and_calibration(folder, evaluated):
    confusion, answers = _read(folder, "confusion_matrix"), evaluated.answers
    assert confusion["classes"] == ["cat", "dog", "unicorn", "background"]
    assert confusion["matrix"] == answers.confusion.matrix.tolist()
    assert confusion["min_score"] == answers.confusion.min_score
    assert confusion["min_iou"] == answers.confusion.min_iou
    errors = _read(folder, "errors")
    assert list(errors["costs"]) == list(ERROR_KINDS)
    assert errors["counts"] == dict(answers.errors.counts)
    assert errors["classes"]["unicorn"]["missed"] is None
    calibration = _read(folder, "calibration")
    assert sum(part["count"] for part in calibration["bins"]) == answers.calibration.counts.sum()
    assert calibration["bins"][0]["low"] == answers.calibration.edges[0]
    assert calibration["bins"][-1]["high"] == answers.calibration.edges[-1]


def test_nothing_that_counts_is_null(make_set, tmp_path):
    for kind in ({"difficult": True}, {"detect": False}, {"images": 0}):
        write_number_files(tmp_path, make_set(("cat",), **kind))
        contents = {name: _read(tmp_path, name) for name in NAMES}
        assert contents["thresholds"]["overall"]["threshold"] is None, kind
        assert len(_rows(tmp_path)) == 1


def test_names_of_strangers(hostile, tmp_path):
    write_number_files(tmp_path, hostile)
    rows = _rows(tmp_path)
    assert len(rows) == hostile.scored.num_classes
    assert "'=HYPERLINK(1)" in {row["class"] for row in rows}
    assert not [row for row in rows if row["class"].startswith(("=", "+", "-", "@"))]
    for name in NAMES:
        _read(tmp_path, name)
    assert not list(tmp_path.glob("*.part"))


def test_objects_without_an_anchor_are_counted(make_set, tmp_path):
    corner = np.float32([[0, 0, 0.01, 0.01]])
    made = make_set(("cat", "dog"), anchors=corner)
    write_number_files(tmp_path, made)
    counts = [int(row["objects_without_anchor"]) for row in _rows(tmp_path)]
    assert sum(counts) == _read(tmp_path, "errors")["objects_without_anchor"] > 0
    assert counts == [int(row["objects"]) for row in _rows(tmp_path)]


def test_a_point_without_precision_is_written(evaluated, tmp_path):
    point = OperatingPoint(None, None, 0.0, 0.0)
    curves = dataclasses.replace(evaluated.answers.curves, overall_best=point)
    answers = dataclasses.replace(evaluated.answers, curves=curves)
    write_number_files(tmp_path, dataclasses.replace(evaluated, answers=answers))
    overall = _read(tmp_path, "thresholds")["overall"]
    assert overall == {"threshold": None, "precision": None, "recall": 0.0, "f1": 0.0}
