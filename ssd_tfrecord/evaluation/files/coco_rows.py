"""Detections and objects as the rows of COCO's JSON files."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ssd_tfrecord.detection.detections import Detections, pixel_rectangles

if TYPE_CHECKING:
    from ssd_tfrecord.detection.ground_truth import GroundTruth


def result_rows(
    detections: Iterable[Detections], ids: Iterable[int | str], original_ids: Sequence[int]
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


def truth_rows(
    ground_truths: "Iterable[GroundTruth]", ids: Iterable[int | str], original_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """COCO annotations, one dict per object.

    Args:
        ground_truths: one per image.
        ids: the image id of each, of ``image_ids``.
        original_ids: the category id of each class, in label order.

    Returns:
        Dicts of id (1, 2, …), image_id, category_id, bbox ([x, y, width, height] in pixels), area
        in pixels² and iscrowd.
    """
    rows: list[dict[str, Any]] = []
    for truth, image_id in zip(ground_truths, ids):
        rectangles = pixel_rectangles(truth.boxes, truth.height, truth.width)
        # By its area an object is small, medium or large; 0 stands for that of the box.
        areas = np.where(truth.area > 0, truth.area, rectangles[:, 2] * rectangles[:, 3])
        values = zip(truth.labels, rectangles.tolist(), areas.tolist(), truth.crowd.tolist())
        for label, rectangle, area, crowd in values:
            rows.append(
                {
                    # From 1: COCOeval takes a match with annotation 0 for no match.
                    "id": len(rows) + 1,
                    "image_id": image_id,
                    "category_id": original_ids[label - 1],
                    "bbox": rectangle,
                    "area": area,
                    "iscrowd": int(crowd),
                }
            )
    return rows
