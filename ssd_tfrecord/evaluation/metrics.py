"""The numbers of metrics.json, and their table."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.evaluation.average_precision import average_precisions
from ssd_tfrecord.evaluation.coco_metrics import METRICS, coco_metrics
from ssd_tfrecord.evaluation.image_ids import ImageIds

if TYPE_CHECKING:
    from ssd_tfrecord.detection.ground_truth import GroundTruth

# Keys of each class in ``ap_per_class``, and the headings of their columns.
_TITLES = {"voc07": "VOC07", "voc12": "VOC12", "coco": "COCO"}


def compute_metrics(
    ground_truths: "Sequence[GroundTruth]",
    detections: Sequence[Detections],
    class_names: Sequence[str],
    original_ids: Sequence[int],
    *,
    image_ids: ImageIds | None = None,
) -> dict[str, Any]:
    """Every metric of metrics.json except ``step``.

    Args:
        ground_truths: one per image.
        detections: of the same images, in the same order.
        class_names: the name of each class, in label order.
        original_ids: COCO's category id of each class, in label order.
        image_ids: COCO's id of each image; default: those of ``image_ids.image_ids``.

    Returns:
        A dict that JSON can hold; fractions are in [0, 1], or None where no object counts.
        ``voc07_map`` and ``voc12_map``: mean over the classes with objects that count, IoU > 0.5.
        ``coco_ap`` … ``coco_ar_large``: COCO's twelve. ``ap_per_class``: {name: {voc07, voc12,
        coco}}. ``num_images``, ``num_objects`` (including difficult and crowd objects).

    Raises:
        ValueError: the two lists do not belong to the same images in the same order.
    """
    truth_ids = [truth.source_id for truth in ground_truths]
    if truth_ids != [image.source_id for image in detections]:
        raise ValueError(
            f"{len(truth_ids)} ground truths and {len(detections)} detections: must belong to the "
            "same images, in the same order"
        )
    voc07, voc12 = average_precisions(ground_truths, detections, len(class_names))
    numbers, coco = coco_metrics(ground_truths, detections, original_ids, ids=image_ids)
    per_class = {
        name: {"voc07": _or_none(voc07[i]), "voc12": _or_none(voc12[i]), "coco": coco[i]}
        for i, name in enumerate(class_names)
    }
    return {
        "voc07_map": _mean(voc07),
        "voc12_map": _mean(voc12),
        **numbers,
        "ap_per_class": per_class,
        "num_images": len(ground_truths),
        "num_objects": sum(len(truth.labels) for truth in ground_truths),
    }


def format_metrics(metrics: Mapping[str, Any]) -> str:
    """``metrics`` as a text table: one line per class, their mean, then COCO's twelve numbers."""
    per_class = metrics["ap_per_class"]
    # At least as wide as the heading.
    width = max(len(name) for name in [*per_class, "class"])
    lines = [f"{'class':<{width}}" + "".join(f"{title:>8}" for title in _TITLES.values())]
    for name, values in per_class.items():
        lines.append(f"{name:<{width}}" + "".join(_cell(values[key]) for key in _TITLES))
    means = (metrics["voc07_map"], metrics["voc12_map"], metrics["coco_ap"])
    lines += [f"{'mean':<{width}}" + "".join(_cell(value) for value in means), ""]
    for start in range(0, len(METRICS), 3):
        names = METRICS[start : start + 3]
        lines.append("".join(f"{name:<15}{_cell(metrics[name])}   " for name in names).rstrip())
    lines.append(f"{metrics['num_images']} images, {metrics['num_objects']} objects")
    return "\n".join(lines)


def _mean(values: np.ndarray) -> float | None:
    # Not np.nanmean(), which warns where there is no class with objects.
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else None


def _or_none(value: float) -> float | None:
    # JSON has no NaN.
    return None if np.isnan(value) else float(value)


def _cell(value: float | None) -> str:
    return f"{'–':>8}" if value is None else f"{value:>8.3f}"
