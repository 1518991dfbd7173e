"""Box, area and crowd of one COCO annotation, whatever tool wrote it."""

import math
import reprlib
from dataclasses import dataclass
from typing import Any, TypeGuard

from ssd_tfrecord.records.annotation import MAX_COORDINATE, degeneracy
from ssd_tfrecord.records.rejects import ENCLOSED, NOT_FINITE, POLYGON, ROTATION
from ssd_tfrecord.records.sources import shapes
from ssd_tfrecord.records.sources.coco_files.coco_json import Entry
from ssd_tfrecord.records.sources.shapes import Box

_NO_BOX = (math.nan,) * 4


@dataclass(frozen=True)
class Shape:
    """The box of an annotation, [ymin, xmin, ymax, xmax], and its flaw as of SourceObject.

    If the box is not the annotation's own bbox, ``reason`` says why (ROTATION, POLYGON) and
    ``detail`` what the annotation has; ``action`` is that of the Reject.
    """

    box: Box
    flaw: str = ""
    reason: str = ""
    detail: str = ""
    action: str = ENCLOSED


def shape_of(item: Entry) -> Shape:
    """The box of an annotation; without a usable one, that around its polygons or mask."""
    bbox = item.get("bbox")
    if not (isinstance(bbox, list) and len(bbox) == 4 and all(map(_is_number, bbox))):
        around = _around_segmentation(item.get("segmentation"))
        if around is None:
            return Shape(_NO_BOX, NOT_FINITE)
        return Shape(around, degeneracy(around), POLYGON, f"bbox {reprlib.repr(bbox)}")
    # COCO's pixels are counted from 0, and its boxes have edges between pixels: nothing to shift.
    x, y, width, height = map(_to_float, bbox)
    box = (y, x, y + height, x + width)
    flaw = degeneracy(box)
    turn = item.get("rotation")
    if not flaw and turn is not None and _is_number(turn) and math.isfinite(turn) and turn % 180:
        return Shape(shapes.around_turned(box, turn), "", ROTATION, f"turned by {turn:g} degrees")
    return Shape(box, flaw)


def area_of(item: Entry) -> tuple[float | None, bool]:
    """(the area in pixels², or None for that of the box; whether the annotation's is sound)."""
    area = item.get("area")
    if area is None:
        return None, True
    sound = _is_number(area) and 0 <= area <= MAX_COORDINATE
    return (area if sound else None), sound


def crowd_of(item: Entry) -> tuple[bool, bool]:
    """(whether the annotation is a crowd; whether it says so as it should)."""
    crowd = item.get("iscrowd")
    if isinstance(crowd, str):
        crowd = {"0": 0, "1": 1, "false": 0, "true": 1}.get(crowd.lower(), crowd)
    # In JSON, true and 1.0 are possible too; both equal 1.
    return crowd == 1, crowd in (None, 0, 1)


def counts_pixels(value: object) -> TypeGuard[float]:
    """Whether a value is a side of an image; infinity and NaN, which JSON can spell, are not."""
    return _is_number(value) and 0 < value <= MAX_COORDINATE


def _is_number(value: object) -> TypeGuard[float]:
    # In Python, bool is a subtype of int.
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _to_float(value: float) -> float:
    try:
        return float(value)
    # JSON allows integers of any length.
    except OverflowError:
        return math.inf


def _around_segmentation(segmentation: Any) -> Box | None:
    if isinstance(segmentation, dict):
        return _around_mask(segmentation)
    if not isinstance(segmentation, list):
        return None
    # A list of polygons, x and y in turn; some tools write a single one without the outer list.
    nested = segmentation if segmentation and isinstance(segmentation[0], list) else [segmentation]
    points: list[tuple[float, float]] = []
    for polygon in nested:
        if not isinstance(polygon, list) or not all(map(_is_number, polygon)):
            return None
        numbers = list(map(_to_float, polygon))
        points += zip(numbers[::2], numbers[1::2])
    return shapes.around_points(points)


def _around_mask(mask: dict[str, Any]) -> Box | None:
    counts, size = mask.get("counts"), mask.get("size")
    if isinstance(counts, str):
        counts = shapes.runs_of_text(counts)
    if not (isinstance(counts, list) and all(isinstance(count, int) for count in counts)):
        return None
    if not (isinstance(size, list) and len(size) == 2):
        return None
    height, width = size
    if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0):
        return None
    return shapes.around_runs(counts, height, width)
