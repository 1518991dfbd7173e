"""The numbers as files: per_class.csv, and JSON of curves, thresholds, confusion and errors."""

import csv
import io
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ssd_tfrecord.detection.best_thresholds import THRESHOLDS
from ssd_tfrecord.evaluation.analysis.answers import ERROR_KINDS, Curves, OperatingPoint
from ssd_tfrecord.evaluation.evaluated_set import EvaluatedSet
from ssd_tfrecord.evaluation.report.class_rows import METRICS, class_rows, or_none
from ssd_tfrecord.evaluation.report.outside_text import Cell, cell
from ssd_tfrecord.runs.run_folder import write_text

# What is missed, or not there, in the list of classes of confusion_matrix.json.
BACKGROUND = "background"
# A curve is drawn, and a metric compared, to fewer digits than this. Thresholds keep all of theirs,
# by which the detection of that score is in or out.
_DIGITS = 6


def write_number_files(folder: pathlib.Path, evaluated: EvaluatedSet) -> None:
    """Writes per_class.csv, curves.json, thresholds.json, confusion_matrix.json and two more.

    Those are errors.json and calibration.json. Fractions are in [0, 1]; null, or an empty cell,
    where nothing counts.

    Args:
        folder: must exist; earlier files are replaced.
        evaluated: the set.
    """
    write_rows(folder / "per_class.csv", *_per_class(evaluated))
    contents = {
        "curves.json": _curves(evaluated),
        THRESHOLDS: thresholds(
            evaluated.name,
            evaluated.metrics.get("step"),
            evaluated.answers.curves,
            evaluated.scored.class_names,
        ),
        "confusion_matrix.json": _confusion(evaluated),
        "errors.json": _errors(evaluated),
        "calibration.json": _calibration(evaluated),
    }
    for name, content in contents.items():
        # Python would write NaN, which is not JSON.
        text = json.dumps(content, ensure_ascii=False, allow_nan=False)
        write_text(folder / name, _utf8(text) + "\n")


def write_rows(path: pathlib.Path, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Writes CSV (UTF-8, RFC 4180) that a spreadsheet can open without harm; see ``cell``."""
    target = io.StringIO(newline="")
    writer = csv.writer(target)
    writer.writerow(columns)
    writer.writerows([cell(value) for value in row] for row in rows)
    write_text(path, _utf8(target.getvalue()))


def thresholds(
    name: str, step: int | None, curves: Curves, class_names: Sequence[str]
) -> dict[str, Any]:
    """The content of thresholds.json: the threshold of the highest F1, overall and by class.

    Args:
        name: of the set.
        step: number of steps that the model was trained for; None without a model.
        curves: of the set.
        class_names: of the labels 1, 2, ….
    """
    return {
        "records": name,
        "step": step,
        "min_iou": curves.min_iou,
        "overall": _point(curves.overall_best),
        "classes": dict(zip(class_names, map(_point, curves.best))),
    }


def _per_class(evaluated: EvaluatedSet) -> tuple[list[str], list[list[Cell]]]:
    points = ("threshold", "precision", "recall", "f1")
    columns = ["class", "objects", "detections", "objects_without_anchor", *METRICS, *points]
    columns += [f"cost_{kind}" for kind in ERROR_KINDS]
    rows: list[list[Cell]] = []
    for row in class_rows(evaluated):
        numbers = [row.metrics[key] for key in METRICS]
        # Not rounded: see _DIGITS.
        numbers_after = [getattr(row.best, key) for key in points[1:]]
        costs = [row.costs[kind] for kind in ERROR_KINDS]
        rows.append([row.name, row.num_objects, row.num_detections, row.num_anchorless])
        rows[-1] += [*map(_rounded, numbers), row.best.threshold]
        rows[-1] += map(_rounded, [*numbers_after, *costs])
    return columns, rows


def _curves(evaluated: EvaluatedSet) -> dict[str, Any]:
    curves = evaluated.answers.curves
    names = ("precision", "recall", "f1", "precision_at_recall")
    rows = zip(*(getattr(curves, name) for name in names))
    return {
        "min_iou": curves.min_iou,
        "thresholds": [float(value) for value in curves.thresholds],
        "recalls": _list(curves.recalls),
        "overall": {name: _list(getattr(curves, f"overall_{name}")) for name in names[:3]},
        "classes": _by_class(
            evaluated, ({name: _list(row) for name, row in zip(names, each)} for each in rows)
        ),
    }


def _confusion(evaluated: EvaluatedSet) -> dict[str, Any]:
    confusion = evaluated.answers.confusion
    return {
        "min_score": float(confusion.min_score),
        "min_iou": float(confusion.min_iou),
        "rows": "detected",
        "columns": "annotated",
        "classes": [*evaluated.scored.class_names, BACKGROUND],
        "matrix": confusion.matrix.tolist(),
    }


def _errors(evaluated: EvaluatedSet) -> dict[str, Any]:
    errors, anchorless = evaluated.answers.errors, evaluated.answers.anchorless
    return {
        "min_iou": errors.min_iou,
        "ap": _rounded(errors.ap),
        "costs": {kind: _rounded(errors.costs[kind]) for kind in ERROR_KINDS},
        "counts": {kind: int(errors.counts[kind]) for kind in ERROR_KINDS},
        "false_positive_cost": _rounded(errors.false_positive_cost),
        "false_negative_cost": _rounded(errors.false_negative_cost),
        "objects_without_anchor": None if anchorless is None else len(anchorless),
        "classes": _by_class(
            evaluated,
            (
                {kind: _rounded(row.costs[kind]) for kind in ERROR_KINDS}
                for row in class_rows(evaluated)
            ),
        ),
    }


def _calibration(evaluated: EvaluatedSet) -> dict[str, Any]:
    calibration = evaluated.answers.calibration
    edges = [float(edge) for edge in calibration.edges]
    columns = (edges, edges[1:], calibration.counts, calibration.mean_score, calibration.precision)
    bins = [
        {
            "low": low,
            "high": high,
            "count": int(count),
            "mean_score": _rounded(score),
            "precision": _rounded(precision),
        }
        for low, high, count, score, precision in zip(*columns)
    ]
    return {
        "min_iou": float(calibration.min_iou),
        "min_score": float(calibration.min_score),
        "error": _rounded(calibration.error),
        "bins": bins,
    }


def _point(point: OperatingPoint) -> dict[str, float | None]:
    names = ("threshold", "precision", "recall", "f1")
    return {name: or_none(getattr(point, name)) for name in names}


def _by_class(evaluated: EvaluatedSet, values: Iterable[Any]) -> Mapping[str, Any]:
    return dict(zip(evaluated.scored.class_names, values))


def _list(values: np.ndarray) -> list[float | None]:
    rounded: list[float] = np.round(values, _DIGITS).tolist()
    # NaN alone differs from itself.
    return [value if value == value else None for value in rounded]  # noqa: PLR0124


def _rounded(value: float | None) -> float | None:
    value = or_none(value)
    return None if value is None else round(value, _DIGITS)


def _utf8(text: str) -> str:
    # A lone surrogate is a letter to Python, but not in UTF-8.
    return text.encode("utf-8", "backslashreplace").decode()
