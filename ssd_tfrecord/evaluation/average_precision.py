"""Average precision as Pascal VOC defines it.

Source: the devkit's VOCevaldet.m and py-faster-rcnn's voc_eval.py, whose numbers are reproduced
here. Boxes enclose their pixels (see WORKSPACE.md), so plain IoU is the devkit's "+1" IoU.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from ssd_tfrecord.detection.detections import Detections, pixel_boxes

if TYPE_CHECKING:
    from ssd_tfrecord.detection.ground_truth import GroundTruth

# As voc_eval spells them: 0.3, 0.6 and 0.7 come out slightly above the decimal, so a recall of
# exactly 3/5 does not reach 0.6.
_RECALLS = np.arange(0.0, 1.1, 0.1)


def average_precisions(
    ground_truths: "Sequence[GroundTruth]",
    detections: Sequence[Detections],
    num_classes: int,
    min_iou: float = 0.5,
) -> tuple[np.ndarray, np.ndarray]:
    """The AP of each class by both of VOC's formulas.

    The detections of a class are ordered by falling score. Among equal scores a later image comes
    first, and within an image a later detection: this order reproduces voc_eval's numbers where
    scores really tie. Each detection is assigned to the object of its class with the highest IoU
    (the first among equals). It is true if that IoU is above ``min_iou`` and the object is not
    taken yet, otherwise false. If the IoU is high enough, but the object is difficult or a crowd,
    it is neither.

    Args:
        ground_truths: one per image.
        detections: of the same images, in the same order.
        num_classes: C.
        min_iou: the IoU that a true detection must exceed.

    Returns:
        (voc07, voc12), float64 [C] each: the 11-point AP, and the area under the curve. Both are
        NaN for a class without an object that counts.
    """
    object_labels = _join([truth.labels for truth in ground_truths], np.int32)
    ignored = _join([truth.difficult | truth.crowd for truth in ground_truths], bool)
    labels = _join([image.labels for image in detections], np.int32)
    scores = _join([image.scores for image in detections], np.float32)
    objects, ious = _best_objects(ground_truths, detections)
    voc07, voc12 = np.full([2, num_classes], np.nan)
    for index in range(num_classes):
        num_positives = np.count_nonzero((object_labels == index + 1) & ~ignored)
        if num_positives:
            rows = np.flatnonzero(labels == index + 1)
            # Reversed rather than sorted by -scores, which would put the earlier of equals first.
            rows = rows[np.argsort(scores[rows], kind="stable")[::-1]]
            true, false = _true_false(objects[rows], ious[rows] > min_iou, ignored)
            recall = np.cumsum(true) / num_positives
            # At least 1: detections that are neither true nor false may come first.
            precision = np.cumsum(true) / np.maximum(np.cumsum(true | false), 1)
            voc07[index] = _eleven_points(recall, precision)
            voc12[index] = _area(recall, precision)
    return voc07, voc12


def _join(arrays: Iterable[np.ndarray], dtype: DTypeLike) -> np.ndarray:
    # np.concatenate refuses an empty list; with this there may be no image.
    return np.concatenate([*arrays, np.zeros([0], dtype)])


def _best_objects(
    ground_truths: "Sequence[GroundTruth]", detections: Sequence[Detections]
) -> tuple[np.ndarray, np.ndarray]:
    """For each detection: the index of its object among all objects (-1: none), and the IoU."""
    objects, ious, first = [], [], 0
    for truth, image in zip(ground_truths, detections):
        iou_DG = _pairwise_iou(
            pixel_boxes(image.boxes, truth.height, truth.width),
            pixel_boxes(truth.boxes, truth.height, truth.width),
        )
        iou_DG = np.where(image.labels[:, None] == truth.labels, iou_DG, -1.0)
        # The extra column beats the objects of other classes and loses to those of the same class,
        # so an image without objects needs no branch.
        iou_DG = np.pad(iou_DG, [(0, 0), (0, 1)], constant_values=-0.5)
        best = np.argmax(iou_DG, axis=1)
        objects.append(np.where(best < len(truth.labels), first + best, -1))
        ious.append(iou_DG.max(axis=1))
        first += len(truth.labels)
    return _join(objects, np.int64), _join(ious, np.float64)


def _pairwise_iou(boxes_D: np.ndarray, boxes_G: np.ndarray) -> np.ndarray:
    low_DG2 = np.maximum(boxes_D[:, None, :2], boxes_G[None, :, :2])
    high_DG2 = np.minimum(boxes_D[:, None, 2:], boxes_G[None, :, 2:])
    overlap_DG = np.prod(np.maximum(high_DG2 - low_DG2, 0.0), axis=-1)
    union_DG = _areas(boxes_D)[:, None] + _areas(boxes_G)[None, :] - overlap_DG
    # Two boxes without an area have an IoU of 0, not NaN.
    return overlap_DG / np.maximum(union_DG, 1e-9)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _true_false(
    objects: np.ndarray, hit: np.ndarray, ignored: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which detections of a class, best first, are true and which are false: bool [D] each.

    Args:
        objects: int64 [D], the object of each detection; -1: none.
        hit: bool [D], whether the IoU is high enough.
        ignored: bool, for each object of the set.
    """
    # -1 indexes the value appended.
    neither = hit & np.append(ignored, False)[objects]
    candidates = np.flatnonzero(hit & ~neither)
    # np.unique returns the first place of each object: that of its best detection.
    _, firsts = np.unique(objects[candidates], return_index=True)
    true = np.zeros(len(objects), bool)
    true[candidates[firsts]] = True
    return true, ~true & ~neither


def _eleven_points(recall: np.ndarray, precision: np.ndarray) -> float:
    # 0 at recalls that no detection reaches.
    return float(np.mean([np.max(precision[recall >= r], initial=0.0) for r in _RECALLS]))


def _area(recall: np.ndarray, precision: np.ndarray) -> float:
    recall = np.concatenate([[0.0], recall, [1.0]])
    # The precision at a recall is the highest at that recall or any above it.
    envelope = np.maximum.accumulate(np.append(precision, 0.0)[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope))
