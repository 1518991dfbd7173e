"""The numbers of metrics.json, and their table."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.evaluation.analysis.answers import OperatingPoint
from ssd_tfrecord.evaluation.average_precision import average_precisions
from ssd_tfrecord.evaluation.coco_metrics import METRICS, coco_metrics
from ssd_tfrecord.evaluation.image_ids import ImageIds
from ssd_tfrecord.evaluation.overlaps import Overlaps, find_overlaps
from ssd_tfrecord.evaluation.scored_set import ScoredSet, score_set

if TYPE_CHECKING:
    from ssd_tfrecord.detection.ground_truth import GroundTruth

# Keys of each class in ``ap_per_class``, and the headings of their columns.
_TITLES = {"voc07": "VOC07", "voc12": "VOC12", "coco": "COCO"}
_COUNTS = {"num_objects": "objects", "num_detections": "predictions"}
_POINT = {"precision": "P", "recall": "R", "f1": "F1"}
# pycocotools' words for METRICS: IoU, area, largest number of detections.
_SUMMARY = (
    *(("0.50:0.95", "all", 100), ("0.50", "all", 100), ("0.75", "all", 100)),
    *(("0.50:0.95", area, 100) for area in ("small", "medium", "large")),
    *(("0.50:0.95", "all", limit) for limit in (1, 10, 100)),
    *(("0.50:0.95", area, 100) for area in ("small", "medium", "large")),
)


def compute_metrics(
    ground_truths: "Sequence[GroundTruth]",
    detections: Sequence[Detections],
    class_names: Sequence[str],
    original_ids: Sequence[int],
    *,
    image_ids: ImageIds | None = None,
) -> dict[str, Any]:
    """Every metric that boxes alone decide: those of metrics.json that ``measure`` gives.

    Args:
        ground_truths: one per image.
        detections: of the same images, in the same order.
        class_names: the name of each class, in label order.
        original_ids: COCO's category id of each class, in label order.
        image_ids: COCO's id of each image; default: those of ``image_ids.image_ids``.

    Raises:
        InputError: the two lists do not belong to the same images in the same order, a label has
            no name, or there are more or fewer ids than what they are of.
    """
    if len(original_ids) != len(class_names):
        raise InputError(
            f"original_ids: {len(original_ids)}; must be one for each of {len(class_names)} classes"
        )
    if image_ids is not None and len(image_ids) != len(ground_truths):
        raise InputError(
            f"image_ids: {len(image_ids)}; must be one for each of {len(ground_truths)} images"
        )
    scored = score_set(ground_truths, detections, class_names)
    return measure(scored, find_overlaps(scored), original_ids, image_ids)


def measure(
    scored: ScoredSet,
    overlaps: Overlaps,
    original_ids: Sequence[int],
    image_ids: ImageIds | None = None,
) -> dict[str, Any]:
    """``compute_metrics`` of arrays.

    Args:
        scored: the set.
        overlaps: of ``find_overlaps``.
        original_ids: COCO's category id of each class, in label order.
        image_ids: COCO's id of each image; default: those of ``image_ids.image_ids``.

    Returns:
        A dict that JSON can hold; fractions are in [0, 1], or None where no object counts.
        ``voc07_map`` and ``voc12_map``: mean over the classes with objects that count, IoU >= 0.5.
        ``coco_ap`` … ``coco_ar_large``: COCO's twelve. ``ap_per_class``: {name: {voc07, voc12,
        coco, coco50, coco75, coco_small, coco_medium, coco_large, ar100, num_objects,
        num_detections}}. ``num_images``, ``num_objects`` (including difficult and crowd objects),
        ``num_detections``.
    """
    voc07, voc12 = average_precisions(scored, overlaps)
    numbers, coco = coco_metrics(scored, overlaps, original_ids, ids=image_ids)
    counts = [
        np.bincount(boxes.labels, minlength=scored.num_classes + 1)[1:].tolist()
        for boxes in (scored.objects, scored.found)
    ]
    per_class = {
        name: {
            "voc07": _or_none(voc07[i]),
            "voc12": _or_none(voc12[i]),
            **coco[i],
            **{key: values[i] for key, values in zip(_COUNTS, counts)},
        }
        for i, name in enumerate(scored.class_names)
    }
    return {
        "voc07_map": mean_ap(voc07),
        "voc12_map": mean_ap(voc12),
        **numbers,
        "ap_per_class": per_class,
        "num_images": scored.num_images,
        "num_objects": len(scored.objects.labels),
        "num_detections": len(scored.found.labels),
    }


def format_metrics(
    metrics: Mapping[str, Any],
    best: Mapping[str, OperatingPoint] | None = None,
    overall: OperatingPoint | None = None,
) -> str:
    """``metrics`` as a text table: one line per class, their mean, then COCO's twelve numbers.

    Args:
        metrics: of ``measure``.
        best: {class: its best operating point}: adds precision, recall and F1 there.
        overall: that of all classes together, for the last line.
    """
    per_class = metrics["ap_per_class"]
    rows = [
        ["class", *_COUNTS.values(), *_TITLES.values()],
        *(
            [
                name,
                *(f"{values[key]:,}" for key in _COUNTS),
                *(_cell(values[key]) for key in _TITLES),
            ]
            for name, values in per_class.items()
        ),
        [
            "mean",
            *(f"{metrics[key]:,}" for key in _COUNTS),
            *(_cell(metrics[key]) for key in ("voc07_map", "voc12_map", "coco_ap")),
        ],
    ]
    if best is not None:
        rows[0] += _POINT.values()
        points = [*(best.get(name) for name in per_class), overall]
        for row, point in zip(rows[1:], points):
            row.extend(_cell(getattr(point, key, None)) for key in _POINT)
    lines = [*_aligned(rows), ""]
    if overall is not None:
        lines.insert(
            -1,
            "P, R, F1: of each class at its best threshold; last row: of all detections, at "
            f"{_cell(overall.threshold)}",
        )
    for start in range(0, len(METRICS), 3):
        names = METRICS[start : start + 3]
        lines.append("".join(f"{name:<15}{_cell(metrics[name]):>8}   " for name in names).rstrip())
    lines.append(f"{metrics['num_images']} images, {metrics['num_objects']} objects")
    return "\n".join(lines)


def coco_summary(metrics: Mapping[str, Any]) -> str:
    """COCO's twelve numbers as pycocotools prints them, in twelve lines.

    Args:
        metrics: of ``measure``.
    """
    lines = []
    for name, (iou, area, limit) in zip(METRICS, _SUMMARY):
        title = "Average Precision" if "_ap" in name else "Average Recall"
        kind = "AP" if "_ap" in name else "AR"
        value = -1.0 if metrics[name] is None else metrics[name]
        lines.append(
            f" {title:<18} ({kind}) @[ IoU={iou:<9} | area={area:>6} | maxDets={limit:>3} ]"
            f" = {value:0.3f}"
        )
    return "\n".join(lines)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Names to the left, numbers to the right, eight places wide or as wide as they must be."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        f"{row[0]:<{widths[0]}}"
        + "".join(f"{cell:>{max(8, width + 2)}}" for cell, width in zip(row[1:], widths[1:]))
        for row in rows
    ]


def mean_ap(values: np.ndarray) -> float | None:
    """The mean over classes, without NaN, which stands for those without objects; None of none.

    Args:
        values: [C], of ``average_precisions``.
    """
    # Not np.nanmean(), which warns where there is no class with objects.
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else None


def _or_none(value: float) -> float | None:
    # JSON has no NaN.
    return None if np.isnan(value) else float(value)


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
