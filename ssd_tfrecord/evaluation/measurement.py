"""What an evaluation has measured, and with what: for metrics.json and the report."""

import datetime
import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import ssd_tfrecord
from ssd_tfrecord.options import DetectionOptions

# Whose versions can change a number.
_PACKAGES = ("tensorflow", "numpy")


def describe(
    *,
    records: str,
    digest: str,
    detections: str,
    step: int | None = None,
    options: DetectionOptions | None = None,
    now: datetime.datetime | None = None,
) -> dict[str, Any]:
    """The entry ``measured`` of metrics.json.

    Args:
        records: where the ground truth lies.
        digest: a sha256 of its content.
        detections: the checkpoint that made the detections, or where they lie.
        step: number of steps that the model was trained for; None without a model.
        options: thresholds with which they were made; None without a model.
        now: the time; default: now.

    Returns:
        {records, records_sha256, detections, step, score_threshold, nms_iou, nms_candidates,
        max_detections, versions {package, python, tensorflow, numpy}, date}; without a model, what
        only models have is left out.
    """
    now = now or datetime.datetime.now(datetime.timezone.utc)
    made: dict[str, Any] = {
        "records": records,
        "records_sha256": digest,
        "detections": detections,
    }
    if step is not None:
        made["step"] = step
    if options is not None:
        names = ("score_threshold", "nms_iou", "nms_candidates", "max_detections")
        made |= {name: getattr(options, name) for name in names}
    return made | {"versions": versions(), "date": now.isoformat(timespec="seconds")}


def versions() -> dict[str, str]:
    """Versions of this package, Python and the packages that can change a number."""
    ours = {"package": ssd_tfrecord.__version__, "python": platform.python_version()}
    return ours | {name: metadata.version(name) for name in _PACKAGES}


def facts(measured: Mapping[str, Any]) -> dict[str, str]:
    """``describe`` in the words of the report: {title: text}.

    Args:
        measured: of ``describe``.
    """
    titles = {
        "records": "Ground truth",
        "records_sha256": "Its SHA-256",
        "detections": "Detections",
        "step": "Step",
        "score_threshold": "Score threshold",
        "nms_iou": "Suppression IoU",
        "nms_candidates": "Candidates per class",
        "max_detections": "Detections per image",
    }
    shown = {
        title: f"{measured[name]:,}" if name == "step" else str(measured[name])
        for name, title in titles.items()
        if name in measured
    }
    versions = measured["versions"]
    shown["Versions"] = ", ".join(
        f"{'ssd_tfrecord' if name == 'package' else name} {version}"
        for name, version in versions.items()
    )
    shown["Date"] = measured["date"].replace("T", " ")
    return shown
