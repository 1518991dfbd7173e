"""Detections of an image, and the way of boxes out into pixels."""

import collections
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Detections:
    """The N detections of one image, best first, without padding.

    ``boxes`` float32 [N, 4] as [ymin, xmin, ymax, xmax] in [0, 1], ``scores`` float32 [N],
    ``labels`` int32 [N] from 1. ``height`` and ``width`` in pixels.
    """

    source_id: str
    height: int
    width: int
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


def unpad(source_id, height, width, padded) -> Detections:
    """One image's ``Detections`` from its rows of ``geometry.suppression``'s result.

    ``padded`` holds boxes [D, 4], scores [D] and labels [D] as NumPy arrays; rows of label 0 go.
    """
    found = padded["labels"] > 0
    arrays = {name: padded[name][found] for name in ("boxes", "scores", "labels")}
    return Detections(source_id, height, width, **arrays)


def pixel_boxes(boxes, height, width):
    """Boxes [N, 4] of fractions as float64 pixels, edges counted from 0, to a thousandth.

    A float32 fraction keeps a pixel position to 1/25,000; rounding to a thousandth gives back the
    whole pixels and hundredths that annotations are written in, so that an IoU which lies exactly
    on a threshold falls on the side where the original files would put it.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    return np.round(boxes * [height, width, height, width], 3)


def pixel_rectangles(boxes, height, width):
    """COCO's rectangles float64 [N, 4] as [x, y, width, height] in pixels, of fraction boxes."""
    ymin, xmin, ymax, xmax = pixel_boxes(boxes, height, width).T
    return np.round(np.stack([xmin, ymin, xmax - xmin, ymax - ymin], axis=-1), 3)


def devkit_boxes(boxes, height, width):
    """VOC's boxes float64 [N, 4] as [xmin, ymin, xmax, ymax]: pixels from 1, both ends inside."""
    ymin, xmin, ymax, xmax = pixel_boxes(boxes, height, width).T
    return np.stack([xmin + 1, ymin + 1, xmax, ymax], axis=-1)


def json_entry(image: Detections, class_names):
    """One image of detections.json: source_id as ``image``, size, and a dict a detection.

    A detection has label (the class name), score, and box [xmin, ymin, xmax, ymax] in pixels,
    edges counted from 0.
    """
    boxes = pixel_boxes(image.boxes, image.height, image.width)[:, [1, 0, 3, 2]].tolist()
    rows = zip(image.labels, image.scores.tolist(), boxes)
    return {
        "image": image.source_id,
        "width": image.width,
        "height": image.height,
        "detections": [
            {"label": class_names[label - 1], "score": score, "box": box}
            for label, score, box in rows
        ],
    }


def image_names(source_ids):
    """Names for images in files: 000001 of VOC2007/000001; where two agree, VOC2007_000001."""
    stems = [source_id.rsplit("/", 1)[-1] for source_id in source_ids]
    counts = collections.Counter(stems)
    return [
        stem if counts[stem] == 1 else source_id.replace("/", "_")
        for stem, source_id in zip(stems, source_ids)
    ]
