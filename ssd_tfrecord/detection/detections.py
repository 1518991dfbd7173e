"""Detections of an image, and the conversion of boxes to pixels for files of results."""

import collections
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


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


def unpad(source_id: str, height: int, width: int, padded: Mapping[str, np.ndarray]) -> Detections:
    """One image's ``Detections``, without the rows of padding, which have label 0.

    Args:
        source_id: of the image.
        height: of the image, in pixels.
        width: of the image, in pixels.
        padded: the image's part of ``geometry.suppression``'s result: boxes [D, 4], scores [D] and
            labels [D].
    """
    found = padded["labels"] > 0
    arrays = {name: padded[name][found] for name in ("boxes", "scores", "labels")}
    return Detections(source_id, height, width, **arrays)


def pixel_boxes(boxes: ArrayLike, height: int, width: int) -> np.ndarray:
    """Boxes [N, 4] in pixels, rounded to a thousandth; edges count from 0.

    A float32 fraction keeps a pixel position to 1/25,000. Rounding to a thousandth restores the
    whole pixels and hundredths in which annotations are written, so that an IoU that lies exactly
    on a threshold falls on the same side as with the original files.

    Args:
        boxes: [N, 4] as fractions of the image.
        height: of the image, in pixels.
        width: of the image, in pixels.

    Returns:
        float64 [N, 4] in the order of ``boxes``.
    """
    # reshape: an empty list is [0], not [0, 4].
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    return np.round(boxes * [height, width, height, width], 3)


def pixel_rectangles(boxes: ArrayLike, height: int, width: int) -> np.ndarray:
    """COCO's rectangles, float64 [N, 4] as [x, y, width, height] in pixels; see ``pixel_boxes``."""
    ymin, xmin, ymax, xmax = pixel_boxes(boxes, height, width).T
    # Rounded again, because the difference of two rounded floats is not itself rounded.
    return np.round(np.stack([xmin, ymin, xmax - xmin, ymax - ymin], axis=-1), 3)


def devkit_boxes(boxes: ArrayLike, height: int, width: int) -> np.ndarray:
    """VOC's boxes, float64 [N, 4] as [xmin, ymin, xmax, ymax]; see ``pixel_boxes``.

    Pixels count from 1, and both ends are inside.
    """
    ymin, xmin, ymax, xmax = pixel_boxes(boxes, height, width).T
    # The last pixel inside, counted from 1, has the number of its far edge, counted from 0.
    return np.stack([xmin + 1, ymin + 1, xmax, ymax], axis=-1)


def json_entry(image: Detections, class_names: Sequence[str]) -> dict[str, Any]:
    """One image of detections.json.

    Args:
        image: its detections.
        class_names: of the labels 1, 2, ….

    Returns:
        {image: source_id, width, height, detections}. Each detection is {label: class name, score,
        box}; a box is [xmin, ymin, xmax, ymax] in pixels, edges counted from 0.
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


def image_names(source_ids: Sequence[str]) -> list[str]:
    """File names for images: 000001 for VOC2007/000001, or VOC2007_000001 where two would agree."""
    stems = [source_id.rsplit("/", 1)[-1] for source_id in source_ids]
    counts = collections.Counter(stems)
    return [
        stem if counts[stem] == 1 else source_id.replace("/", "_")
        for stem, source_id in zip(stems, source_ids)
    ]
