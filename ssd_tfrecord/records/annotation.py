"""What a record says about an image: its objects, as fractions of the stored image."""

from collections.abc import Sequence
from dataclasses import dataclass

from ssd_tfrecord.records.rejects import INVERTED, NOT_FINITE, ZERO_AREA

# Up to here a float64 can represent every whole number, so a pixel more or less is not lost.
MAX_COORDINATE = 2.0**53


@dataclass(frozen=True, slots=True)
class ObjectAnnotation:
    """One object of a record: ``label`` is 1…C, ``box`` float32 fractions of the image in [0, 1].

    ``box`` is [ymin, xmin, ymax, xmax]. ``area`` is in pixels² of the stored image: COCO's own,
    which is that of the mask, or else the box's. ``annotation_id`` is COCO's, or -1.
    """

    label: int
    name: str
    box: tuple[float, float, float, float]
    difficult: bool = False
    truncated: bool = False
    occluded: bool = False
    crowd: bool = False
    area: float = 0.0
    pose: str = ""
    annotation_id: int = -1


@dataclass(frozen=True, slots=True)
class ImageAnnotation:
    """One record without its pixels: ``height`` and ``width`` are those of the stored image.

    ``original_format`` is the format of the image's file, as its bytes say: jpeg, png, …
    """

    source_id: str
    filename: str
    height: int
    width: int
    objects: tuple[ObjectAnnotation, ...] = ()
    original_format: str = "jpeg"


def degeneracy(box: Sequence[float]) -> str:
    """What is wrong with a box, whatever image it is in.

    Args:
        box: [ymin, xmin, ymax, xmax] in any unit.

    Returns:
        NOT_FINITE, INVERTED or ZERO_AREA, or "" for a sound box.
    """
    # Written as "not all within", since no comparison with NaN is true.
    if not all(abs(edge) <= MAX_COORDINATE for edge in box):
        return NOT_FINITE
    height, width = box[2] - box[0], box[3] - box[1]
    if height < 0 or width < 0:
        return INVERTED
    return "" if height and width else ZERO_AREA
