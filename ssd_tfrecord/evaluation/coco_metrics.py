"""COCO's metrics by pycocotools, from memory: no JSON is written or read.

Crowd regions are COCO's; VOC's difficult objects, which COCO does not know, count as any other.
"""

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ssd_tfrecord.detection.detections import pixel_rectangles

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


def coco_metrics(ground_truths, detections, original_ids):
    """The twelve numbers, and AP of each class.

    Args:
        ground_truths: list of ``GroundTruth``.
        detections: list of ``Detections``, of the same images in the same order.
        original_ids: category id of each class, in label order.

    Returns:
        {name of ``METRICS``: float in [0, 1]}, None where no object counts (pycocotools' -1).
        list of C floats or None: AP of each class.
    """
    ids = image_ids([truth.source_id for truth in ground_truths])
    with contextlib.redirect_stdout(io.StringIO()):
        truths = _truth_annotations(ground_truths, ids, original_ids)
        found = _detection_annotations(detections, ids, original_ids)
        evaluation = COCOeval(
            _dataset(truths, ids, original_ids), _dataset(found, ids, original_ids), "bbox"
        )
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    numbers = {name: _or_none(value) for name, value in zip(METRICS, evaluation.stats)}
    return numbers, _per_class(evaluation, original_ids)


def image_ids(source_ids):
    """COCO's image ids: source ids that are distinct numbers, else the place in the set from 1."""
    if all(source_id.isdecimal() for source_id in source_ids):
        ids = [int(source_id) for source_id in source_ids]
        if len(set(ids)) == len(ids):
            return ids
    return list(range(1, len(source_ids) + 1))


def result_rows(detections, ids, original_ids):
    """COCO results, a dict a detection: image_id, category_id, bbox in pixels, score."""
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


def _truth_annotations(ground_truths, ids, original_ids):
    rows = []
    for truth, image_id in zip(ground_truths, ids):
        rectangles = pixel_rectangles(truth.boxes, truth.height, truth.width)
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


def _detection_annotations(detections, ids, original_ids):
    rows = result_rows(detections, ids, original_ids)
    for row in rows:
        row.update(area=row["bbox"][2] * row["bbox"][3], iscrowd=0)
    return rows


def _dataset(annotations, ids, original_ids):
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


def _per_class(evaluation, original_ids):
    """AP over IoU .50:.95, all areas, 100 detections: COCOeval's own selection."""
    precision_TRC = evaluation.eval["precision"][:, :, :, 0, -1]
    columns = [evaluation.params.catIds.index(category) for category in original_ids]
    return [_or_none(precision_TRC[:, :, column].mean()) for column in columns]


def _or_none(value):
    return float(value) if value > -1 else None
