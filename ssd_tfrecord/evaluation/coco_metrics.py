"""COCO's metrics by pycocotools, in memory: no JSON is written or read.

Crowds are ignored as COCO defines it. COCO has no difficult objects; VOC's count like any other.
"""

import contextlib
import io
import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.evaluation.files.coco_rows import result_rows, truth_rows
from ssd_tfrecord.evaluation.image_ids import ImageIds, image_ids

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


def _ranks(ids: ImageIds) -> list[int]:
    # pycocotools sorts the ids, which decides between equal scores. Its NumPy array of them would
    # take all strings to be as long as the longest, and cut NULs off their ends.
    ranks = [0] * len(ids)
    for rank, (_, place) in enumerate(sorted(zip(ids, itertools.count())), start=1):
        ranks[place] = rank
    return ranks


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
