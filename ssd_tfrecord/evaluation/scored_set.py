"""The objects and the detections of a whole set as flat arrays: what every number is made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.errors import InputError

if TYPE_CHECKING:
    from ssd_tfrecord.detection.ground_truth import GroundTruth

# Boxes are rounded to a thousandth of a pixel; see ``detection.detections.pixel_boxes``.
_DECIMALS = 3


@dataclass(frozen=True)
class Objects:
    """The M annotated objects, image by image, each image's in the order of its annotation.

    ``image`` int64 [M], counted from 0; ``boxes`` float64 [M, 4] as [ymin, xmin, ymax, xmax] in
    pixels, edges counted from 0, rounded to a thousandth; ``labels`` int32 [M] from 1;
    ``difficult`` and ``crowd`` bool [M]; ``areas`` float64 [M] in pixels² (0: that of the box).
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray

    @property
    def ignored(self) -> np.ndarray:
        """Which objects need not be found, and may be: bool [M], the difficult and the crowds."""
        return self.difficult | self.crowd


@dataclass(frozen=True)
class Found:
    """The N detections, image by image, each image's in its own order.

    ``image`` int64 [N], counted from 0; ``boxes`` float64 [N, 4], as those of ``Objects``;
    ``labels`` int32 [N] from 1; ``scores`` float32 [N].
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class ScoredSet:
    """I images with their objects and detections.

    ``sizes`` int64 [I, 2] is height and width in pixels; ``class_names`` are those of the labels
    1, 2, ….
    """

    source_ids: tuple[str, ...]
    sizes: np.ndarray
    class_names: tuple[str, ...]
    objects: Objects
    found: Found

    @property
    def num_images(self) -> int:
        """I."""
        return len(self.source_ids)

    @property
    def num_classes(self) -> int:
        """C, without the background."""
        return len(self.class_names)


def score_set(
    ground_truths: "Sequence[GroundTruth]",
    detections: Sequence[Detections],
    class_names: Sequence[str],
) -> ScoredSet:
    """Joins what stands image by image.

    Args:
        ground_truths: one per image.
        detections: of the same images, in the same order.
        class_names: of the labels 1, 2, ….

    Raises:
        InputError: the two lists do not belong to the same images in the same order, or a label
            has no name.
    """
    source_ids = tuple(truth.source_id for truth in ground_truths)
    if source_ids != tuple(image.source_id for image in detections):
        raise InputError(
            f"{len(ground_truths)} ground truths and {len(detections)} detections: must belong to "
            "the same images, in the same order"
        )
    sizes = np.array([(t.height, t.width) for t in ground_truths], np.int64).reshape(-1, 2)
    object_image = np.repeat(np.arange(len(sizes)), [len(t.labels) for t in ground_truths])
    found_image = np.repeat(np.arange(len(sizes)), [len(d.labels) for d in detections])
    object_labels = _join([truth.labels for truth in ground_truths], np.int32)
    found_labels = _join([image.labels for image in detections], np.int32)
    for images, labels in ((object_image, object_labels), (found_image, found_labels)):
        wrong = np.flatnonzero((labels < 1) | (labels > len(class_names)))
        if len(wrong):
            name, label = source_ids[images[wrong[0]]], labels[wrong[0]]
            raise InputError(
                f"image {name}: label {label}; must be from 1 to {len(class_names)}, the number of "
                "class names"
            )
    return ScoredSet(
        source_ids=source_ids,
        sizes=sizes,
        class_names=tuple(class_names),
        objects=Objects(
            image=object_image,
            boxes=_pixels([truth.boxes for truth in ground_truths], sizes[object_image]),
            labels=object_labels,
            difficult=_join([truth.difficult for truth in ground_truths], bool),
            crowd=_join([truth.crowd for truth in ground_truths], bool),
            areas=_join([truth.area for truth in ground_truths], np.float64),
        ),
        found=Found(
            image=found_image,
            boxes=_pixels([image.boxes for image in detections], sizes[found_image]),
            labels=found_labels,
            scores=_join([image.scores for image in detections], np.float32),
        ),
    )


def _join(arrays: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    # np.concatenate refuses an empty list; with this there may be no image.
    return np.concatenate([*arrays, np.zeros(0)]).astype(dtype)


def _pixels(boxes: Sequence[np.ndarray], sizes: np.ndarray) -> np.ndarray:
    """``pixel_boxes`` of all images at once; ``sizes`` [N, 2] are those of each box's image."""
    joined = np.concatenate([*(part.reshape(-1, 4) for part in boxes), np.zeros([0, 4])])
    return np.round(joined.astype(np.float64) * np.tile(sizes, 2), _DECIMALS)
