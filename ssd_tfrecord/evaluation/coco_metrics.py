"""COCO's metrics by pycocotools, in memory: no JSON is written or read.

Crowds are ignored as COCO defines it. COCO has no difficult objects; VOC's count like any other.
"""

import contextlib
import io
import itertools
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ssd_tfrecord.detection.detections import Detections, pixel_rectangles

if TYPE_CHECKING:
    from ssd_tfrecord.detection.ground_truth import GroundTruth

ImageIds: TypeAlias = list[int] | list[str]
# What str(int) can be. Of more digits than this, int() may refuse to read it.
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,99}")
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
    *,
    ids: ImageIds | None = None,
) -> tuple[dict[str, float | None], list[float | None]]:
    """COCO's twelve numbers, and the AP of each class.

    Args:
        ground_truths: one per image.
        detections: of the same images, in the same order.
        original_ids: the category id of each class, in label order.
        ids: the image id of each image, by whose order equal scores of different images are
            ranked; default: those of ``image_ids``.

    Returns:
        {name of ``METRICS``: number}, and the AP of each class in label order. All are in [0, 1],
        or None where no object counts (pycocotools' -1).
    """
    if ids is None:
        ids = image_ids([truth.source_id for truth in ground_truths])
    numbers = _ranks(ids)
    # pycocotools prints its progress and a table.
    with contextlib.redirect_stdout(io.StringIO()):
        truths = truth_rows(ground_truths, numbers, original_ids)
        found = _detection_annotations(detections, numbers, original_ids)
        # Not COCO.loadRes(), which fails where nothing is detected.
        evaluation = COCOeval(
            _dataset(truths, numbers, original_ids), _dataset(found, numbers, original_ids), "bbox"
        )
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = {name: _or_none(value) for name, value in zip(METRICS, evaluation.stats)}
    return values, _per_class(evaluation, original_ids)


def image_ids(source_ids: Sequence[str], *, strings: bool = False) -> ImageIds:
    """The image ids as a COCO JSON of the set has them.

    Args:
        source_ids: of the records.
        strings: whether that JSON has strings, though they may look like numbers.

    Returns:
        The source ids: as int if all are written as an int is (0012 is not), else as they are.
        1, 2, … where two are equal, as other tools may have written them.
    """
    if len(set(source_ids)) < len(source_ids):
        return list(range(1, len(source_ids) + 1))
    if strings or not all(map(_WHOLE_NUMBER.fullmatch, source_ids)):
        return list(source_ids)
    return [int(source_id) for source_id in source_ids]


def _ranks(ids: ImageIds) -> list[int]:
    # pycocotools sorts the ids, which decides between equal scores. Its NumPy array of them would
    # take all strings to be as long as the longest, and cut NULs off their ends.
    ranks = [0] * len(ids)
    for rank, (_, place) in enumerate(sorted(zip(ids, itertools.count())), start=1):
        ranks[place] = rank
    return ranks


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


def _detection_annotations(
    detections: Iterable[Detections], ids: Iterable[int], original_ids: Sequence[int]
) -> list[dict[str, Any]]:
    rows = result_rows(detections, ids, original_ids)
    for number, row in enumerate(rows, start=1):
        # As loadRes() does: by its area an unmatched detection is outside a range of sizes.
        row.update(id=number, area=row["bbox"][2] * row["bbox"][3], iscrowd=0)
    return rows


def _dataset(
    annotations: Sequence[dict[str, Any]], ids: Iterable[int], original_ids: Iterable[int]
) -> COCO:
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
