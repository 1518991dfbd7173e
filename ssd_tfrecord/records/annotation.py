"""What a record holds of an image: its objects, in fractions of the stored pixels."""

from dataclasses import dataclass

from ssd_tfrecord.records.rejects import INVERTED, NOT_FINITE, ZERO_AREA

# Floats count single pixels up to here.
MAX_COORDINATE = 2.0**53


@dataclass(frozen=True, slots=True)
class ObjectAnnotation:
    """One object of a record: ``label`` is 1…C, ``box`` float32 fractions of the image in [0, 1].

    ``area`` is in pixels² of the stored image: COCO's own (of the mask), else the box's.
    ``annotation_id`` is COCO's, -1 where there is none.
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
    """One record without its pixels: ``height`` and ``width`` are of the stored image.

    ``original_format`` is the file's own, which its bytes say: jpeg, png, …
    """

    source_id: str
    filename: str
    height: int
    width: int
    objects: tuple[ObjectAnnotation, ...] = ()
    original_format: str = "jpeg"


def degeneracy(box) -> str:
    """What is wrong with ``box`` ([ymin, xmin, ymax, xmax] in any unit) in itself, or ""."""
    if not all(abs(edge) <= MAX_COORDINATE for edge in box):  # as NaN is not
        return NOT_FINITE
    height, width = box[2] - box[0], box[3] - box[1]
    if height < 0 or width < 0:
        return INVERTED
    return "" if height and width else ZERO_AREA
