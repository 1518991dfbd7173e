"""``--score_threshold=best``: the score of the best F1 of an evaluation, class by class."""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.errors import InputError

THRESHOLDS, EVALUATIONS = "thresholds.json", "evaluations"
_MAX_BYTES = 2**26


@dataclass(frozen=True)
class BestThresholds:
    """What a thresholds.json says.

    ``path`` is the file; ``records`` the name of the evaluated set and ``step`` the model's, None
    if it is unknown; ``overall`` the threshold of all classes together, None if no object counted;
    ``classes`` is {name: threshold} of those that have one.
    """

    path: pathlib.Path
    records: str
    step: int | None
    overall: float | None
    classes: Mapping[str, float]

    def of(self, class_names: Sequence[str]) -> np.ndarray:
        """The threshold of each class, float64 [C]: its own, or else the overall one.

        Raises:
            InputError: a class has none, and there is no overall one.
        """
        found = [self.classes.get(name, self.overall) for name in class_names]
        if None in found:
            raise InputError(
                f"{self.path}: has no threshold for {class_names[found.index(None)]!r}, and no "
                "overall one; evaluate on a set with objects, or give --score_threshold a number"
            )
        return np.array(found, np.float64)


def find(run_dir: str | os.PathLike[str]) -> BestThresholds:
    """Reads the thresholds of a run's newest evaluation, or else those of its training.

    Args:
        run_dir: the run folder.

    Raises:
        InputError: there are none, or the file is damaged.
    """
    folder = pathlib.Path(run_dir)
    there = folder.glob(f"{EVALUATIONS}/*/{THRESHOLDS}") if os.path.isdir(folder) else ()
    found = [path for path in there if os.path.isfile(path)]
    path = max(found, key=lambda path: path.stat().st_mtime, default=folder / THRESHOLDS)
    if not os.path.isfile(path):
        raise InputError(
            f"--score_threshold=best: {folder} has no {THRESHOLDS}; run `ssd-tfrecord evaluate "
            f"--run_dir={folder} --records=…` first, or give a number"
        )
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError("too large")
        return _parsed(path, json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise InputError(f"{path}: damaged ({reason}); evaluate again, or give a number") from None


def _parsed(path: pathlib.Path, content: Mapping[str, Any]) -> BestThresholds:
    classes = {name: item["threshold"] for name, item in content["classes"].items()}
    step = content.get("step")
    return BestThresholds(
        path,
        records=str(content.get("records", "")),
        step=step if isinstance(step, int) else None,
        overall=_threshold(content["overall"]["threshold"]),
        classes={
            name: number
            for name, value in classes.items()
            if (number := _threshold(value)) is not None
        },
    )


def _threshold(value: Any) -> float | None:
    if value is None:
        return None
    number = float(value)
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"threshold {number}: must be from 0 to 1")
    return number


def lowest(thresholds: np.ndarray) -> float:
    """A score threshold of the network below which nothing is kept by any of ``thresholds``."""
    # The network discards scores equal to its threshold, which a best threshold keeps.
    return float(np.nextafter(np.float32(thresholds.min()), np.float32(0)))


def keep(found: Detections, thresholds: np.ndarray, max_detections: int) -> Detections:
    """The best ``max_detections`` of those that have at least the threshold of their class.

    Args:
        found: the detections of an image, best first.
        thresholds: float64 [C], of the labels 1, 2, ….
        max_detections: number of detections to keep.
    """
    kept = np.flatnonzero(found.scores >= thresholds[found.labels - 1])[:max_detections]
    return Detections(
        found.source_id,
        found.height,
        found.width,
        boxes=found.boxes[kept],
        scores=found.scores[kept],
        labels=found.labels[kept],
    )
