"""The annotated objects of images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class GroundTruth:
    """The N objects of one image.

    ``boxes`` float32 [N, 4] as [ymin, xmin, ymax, xmax] in [0, 1], ``labels`` int32 [N] from 1,
    ``difficult`` and ``crowd`` bool [N], ``area`` float32 [N] in pixels² (0: that of the box).
    ``height`` and ``width`` are in pixels.
    """

    source_id: str
    height: int
    width: int
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray
    area: np.ndarray


class AnnotatedObject(Protocol):
    """What ``from_objects`` needs of an object; ``SourceObject`` of records.sources has it."""

    @property
    def name(self) -> str:
        """The class."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """[ymin, xmin, ymax, xmax] in pixels, edges counted from 0."""

    @property
    def difficult(self) -> bool:
        """Whether the annotator marked it as difficult."""

    @property
    def flaw(self) -> str:
        """What is wrong with the box, or ""."""


def from_objects(
    objects: Iterable[AnnotatedObject], height: int, width: int, class_names: Sequence[str]
) -> tuple[GroundTruth, tuple[str, ...]]:
    """The ground truth of an image from the objects of an annotation file.

    Args:
        objects: with boxes in pixels of the image; those with a flaw are omitted.
        height: of the image, in pixels.
        width: of the image, in pixels.
        class_names: of the labels 1, 2, ….

    Returns:
        The ground truth, and the class names of its labels: ``class_names``, then those that only
        the objects have.
    """
    objects = [item for item in objects if not item.flaw]
    names = tuple(dict.fromkeys([*class_names, *(item.name for item in objects)]))
    # reshape: without objects the array is [0], not [0, 4].
    boxes = np.array([item.box for item in objects], np.float64).reshape(-1, 4)
    # Clipped, because annotated boxes may reach beyond the image.
    truth = GroundTruth(
        source_id="",
        height=height,
        width=width,
        boxes=np.clip(boxes / [height, width, height, width], 0.0, 1.0).astype(np.float32),
        labels=np.array([names.index(item.name) + 1 for item in objects], np.int32),
        difficult=np.array([item.difficult for item in objects], bool),
        crowd=np.zeros(len(objects), bool),
        area=np.zeros(len(objects), np.float32),
    )
    return truth, names
