"""COCO's metrics by pycocotools, in memory: no JSON is written or read.

Crowds are ignored as COCO defines it. COCO has no difficult objects; VOC's count like any other.
"""

import contextlib
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ssd_tfrecord.detection.detections import Detections, pixel_rectangles

if TYPE_CHECKING:
    from ssd_tfrecord.detection.ground_truth import GroundTruth

# In the order of COCOeval.stats.
METRICS = (
    "coco_ap",
    "coco_ap50",
    "coco_ap75",
    "coco_ap_small",
    "coco_ap_medium",
    "coco_ap_large",
    "coco_ar1",
    "coco_ar10",
    "coco_ar100",
    "coco_ar_small",
    "coco_ar_medium",
    "coco_ar_large",
)


def coco_metrics(
    ground_truths: "Sequence[GroundTruth]",
    detections: Sequence[Detections],
    original_ids: Sequence[int],
) -> tuple[dict[str, float | None], list[float | None]]:
    """COCO's twelve numbers, and the AP of each class.

    Args:
        ground_truths: one per image.
        detections: of the same images, in the same order.
        original_ids: the category id of each class, in label order.

    Returns:
        {name of ``METRICS``: number}, and the AP of each class in label order. All are in [0, 1],
        or None where no object counts (pycocotools' -1).
    """
    ids = image_ids([truth.source_id for truth in ground_truths])
    # pycocotools prints its progress and a table.
    with contextlib.redirect_stdout(io.StringIO()):
        truths = _truth_annotations(ground_truths, ids, original_ids)
        found = _detection_annotations(detections, ids, original_ids)
        # Not COCO.loadRes(), which fails where nothing is detected.
        evaluation = COCOeval(
            _dataset(truths, ids, original_ids), _dataset(found, ids, original_ids), "bbox"
        )
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    numbers = {name: _or_none(value) for name, value in zip(METRICS, evaluation.stats)}
    return numbers, _per_class(evaluation, original_ids)


def image_ids(source_ids: Sequence[str]) -> list[int]:
    """COCO's image ids: the source ids if they are distinct numbers, else 1, 2, … in order."""
    if all(source_id.isdecimal() for source_id in source_ids):
        ids = [int(source_id) for source_id in source_ids]
        # Distinct strings may be one number: 7 and 007.
        if len(set(ids)) == len(ids):
            return ids
    return list(range(1, len(source_ids) + 1))


def result_rows(
    detections: Iterable[Detections], ids: Iterable[int], original_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """COCO results, one dict per detection.

    Args:
        detections: one ``Detections`` per image.
        ids: the image id of each, of ``image_ids``.
        original_ids: the category id of each class, in label order.

    Returns:
        Dicts of image_id, category_id, bbox ([x, y, width, height] in pixels) and score.
    """
    rows = []
    for image, image_id in zip(detections, ids):
        rectangles = pixel_rectangles(image.boxes, image.height, image.width).tolist()
        for label, rectangle, score in zip(image.labels, rectangles, image.scores.tolist()):
            rows.append(
                {
                    "image_id": image_id,
                    "category_id": original_ids[label - 1],
                    "bbox": rectangle,
                    "score": score,
                }
            )
    return rows


def _truth_annotations(
    ground_truths: "Iterable[GroundTruth]", ids: Iterable[int], original_ids: Sequence[int]
) -> list[dict[str, Any]]:
    rows = []
    for truth, image_id in zip(ground_truths, ids):
        rectangles = pixel_rectangles(truth.boxes, truth.height, truth.width)
        # By its area an object is small, medium or large; 0 stands for that of the box.
        areas = np.where(truth.area > 0, truth.area, rectangles[:, 2] * rectangles[:, 3])
        values = zip(truth.labels, rectangles.tolist(), areas.tolist(), truth.crowd.tolist())
        for label, rectangle, area, crowd in values:
            rows.append(
                {
                    "image_id": image_id,
                    "category_id": original_ids[label - 1],
                    "bbox": rectangle,
                    "area": area,
                    "iscrowd": int(crowd),
                }
            )
    return rows


def _detection_annotations(
    detections: Iterable[Detections], ids: Iterable[int], original_ids: Sequence[int]
) -> list[dict[str, Any]]:
    rows = result_rows(detections, ids, original_ids)
    for row in rows:
        # As loadRes() does: by its area an unmatched detection is outside a range of sizes.
        row.update(area=row["bbox"][2] * row["bbox"][3], iscrowd=0)
    return rows


def _dataset(
    annotations: Sequence[dict[str, Any]], ids: Iterable[int], original_ids: Iterable[int]
) -> COCO:
    # From 1: COCOeval takes a match with annotation 0 for no match.
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image_id} for image_id in ids],
        "categories": [{"id": category} for category in original_ids],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def _per_class(evaluation: COCOeval, original_ids: Iterable[int]) -> list[float | None]:
    """AP over IoU 0.50:0.95, all areas, 100 detections: COCOeval's own selection."""
    precision_TRC = evaluation.eval["precision"][:, :, :, 0, -1]
    # COCOeval sorts the categories by id; labels may be in another order.
    columns = [evaluation.params.catIds.index(category) for category in original_ids]
    return [_or_none(precision_TRC[:, :, column].mean()) for column in columns]


def _or_none(value: float) -> float | None:
    return float(value) if value > -1 else None
