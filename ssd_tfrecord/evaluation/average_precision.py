"""Average precision as Pascal VOC defines it.

Source: the devkit's VOCevaldet.m, and py-faster-rcnn's voc_eval.py, whose numbers come out here.
Boxes are stored as stretches of pixels (see WORKSPACE.md), so plain IoU is the devkit's "+1" IoU.
"""

import numpy as np

from ssd_tfrecord.detection.detections import pixel_boxes

# As voc_eval spells them: 3, 6 and 7 tenths come out a bit above the decimal, so a recall of
# exactly 3/5 does not reach 0.6.
_RECALLS = np.arange(0.0, 1.1, 0.1)


def average_precisions(ground_truths, detections, num_classes, min_iou=0.5):
    """AP of each class by both of VOC's formulas.

    Detections of a class go by falling score; of equal ones first the later image's, then the
    later in its image, the order in which voc_eval's numbers come out of real ties. Each belongs to
    the object of its class with the highest IoU (the first of equals); it is true if that IoU is
    above ``min_iou`` and the object not taken yet. Where the object is difficult or a crowd, the
    detection is neither true nor false.

    Args:
        ground_truths: list of ``GroundTruth``.
        detections: list of ``Detections``, of the same images in the same order.
        num_classes: C.
        min_iou: IoU that a true detection exceeds.

    Returns:
        voc07: float64 [C], 11-point AP.
        voc12: float64 [C], area under the curve.
        Both are NaN for a class without an object that counts.
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
            rows = rows[np.argsort(scores[rows], kind="stable")[::-1]]
            true, false = _true_false(objects[rows], ious[rows] > min_iou, ignored)
            recall = np.cumsum(true) / num_positives
            precision = np.cumsum(true) / np.maximum(np.cumsum(true | false), 1)
            voc07[index] = _eleven_points(recall, precision)
            voc12[index] = _area(recall, precision)
    return voc07, voc12


def _join(arrays, dtype):
    return np.concatenate([*arrays, np.zeros([0], dtype)])


def _best_objects(ground_truths, detections):
    """For every detection: its object's place in the joined objects (-1: none), and the IoU."""
    objects, ious, first = [], [], 0
    for truth, image in zip(ground_truths, detections):
        iou_DG = _pairwise_iou(
            pixel_boxes(image.boxes, truth.height, truth.width),
            pixel_boxes(truth.boxes, truth.height, truth.width),
        )
        iou_DG = np.where(image.labels[:, None] == truth.labels, iou_DG, -1.0)
        # A column that no object can lose to: an image without objects needs no branch.
        iou_DG = np.pad(iou_DG, [(0, 0), (0, 1)], constant_values=-0.5)
        best = np.argmax(iou_DG, axis=1)
        objects.append(np.where(best < len(truth.labels), first + best, -1))
        ious.append(iou_DG.max(axis=1))
        first += len(truth.labels)
    return _join(objects, np.int64), _join(ious, np.float64)


def _pairwise_iou(boxes_D, boxes_G):
    low_DG2 = np.maximum(boxes_D[:, None, :2], boxes_G[None, :, :2])
    high_DG2 = np.minimum(boxes_D[:, None, 2:], boxes_G[None, :, 2:])
    overlap_DG = np.prod(np.maximum(high_DG2 - low_DG2, 0.0), axis=-1)
    union_DG = _areas(boxes_D)[:, None] + _areas(boxes_G)[None, :] - overlap_DG
    return overlap_DG / np.maximum(union_DG, 1e-9)


def _areas(boxes):
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _true_false(objects, hit, ignored):
    """Which detections of a class, best first, are true and which are false: bool [D] each."""
    neither = hit & np.append(ignored, False)[objects]
    candidates = np.flatnonzero(hit & ~neither)
    _, firsts = np.unique(objects[candidates], return_index=True)
    true = np.zeros(len(objects), bool)
    true[candidates[firsts]] = True
    return true, ~true & ~neither


def _eleven_points(recall, precision):
    return np.mean([np.max(precision[recall >= r], initial=0.0) for r in _RECALLS])


def _area(recall, precision):
    recall = np.concatenate([[0.0], recall, [1.0]])
    envelope = np.maximum.accumulate(np.append(precision, 0.0)[::-1])[::-1]
    return np.sum(np.diff(recall) * envelope)
