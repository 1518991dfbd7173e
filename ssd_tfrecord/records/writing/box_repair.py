"""From the boxes of a source to those of a record: clipped, refused or dropped, and counted.

A box in pixels of the annotated image becomes fractions, for which the size of the image itself
must be known: its annotation need not state one. All boxes are (ymin, xmin, ymax, xmax).
"""

import dataclasses
import reprlib
import struct
from collections.abc import Mapping

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import BoxOptions
from ssd_tfrecord.records.annotation import ImageAnnotation, ObjectAnnotation, degeneracy
from ssd_tfrecord.records.images.stored_image import StoredImage
from ssd_tfrecord.records.rejects import (
    BEYOND_TOLERANCE,
    CLIPPED,
    DROPPED,
    DUPLICATE,
    INVERTED,
    KEPT,
    NOT_FINITE,
    OUTSIDE_IMAGE,
    REORDERED,
    UNKNOWN_CLASS,
    ZERO_AREA,
    Reject,
)
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceObject, reject_image

Box = tuple[float, float, float, float]

_FLOAT32 = struct.Struct("<4f")


def fit(
    source: SourceImage,
    image: StoredImage,
    labels: Mapping[str, int],
    options: BoxOptions,
    pixel_origin: int = 0,
) -> tuple[ImageAnnotation, tuple[Reject, ...]]:
    """Fits the objects of ``source`` to its stored image.

    Boxes are clipped to the image. A second object of the same class and box is kept, but reported.

    Args:
        source: the image and its objects as annotated.
        image: the same image, as it is stored.
        labels: {class name: 1…C}.
        options: what to do with faulty objects.
        pixel_origin: what the source's files count pixels from, 1 or 0 (``SourceSet``).

    Returns:
        (what the record holds, what was dropped, changed, or kept although suspicious, ``image``
        itself included).

    Raises:
        InputError: an object has a fault that ``options`` call an error.
    """
    objects: list[ObjectAnnotation] = []
    seen: set[tuple[str, Box]] = set()
    rejects = [reject_image(source, *change) for change in image.changes]
    whole = options.whole_side
    for given in source.objects:
        item = _in_pixels(given, image, whole) if whole else given
        if given.flaw == INVERTED and options.bad_boxes == "clip":
            rejects.append(_reject_object(source, item, INVERTED, REORDERED, image))
            item = _in_order(item, pixel_origin)
        found, reason, action = _fit_object(source, item, image, labels, options)
        # Boxes as annotated: two that differ may be clipped to the same pixels.
        if found and (item.name, item.box) in seen:
            rejects.append(_reject_object(source, item, DUPLICATE, KEPT, image))
        seen.add((item.name, item.box))
        if reason:
            rejects.append(_reject_object(source, item, reason, action, image))
        if found:
            objects.append(found)
    annotation = ImageAnnotation(
        source_id=source.source_id,
        filename=source.filename or source.image_path.replace("\\", "/").rsplit("/", 1)[-1],
        height=image.height,
        width=image.width,
        objects=tuple(objects),
        original_format=image.original_format,
    )
    return annotation, tuple(rejects)


def _in_pixels(item: SourceObject, image: StoredImage, whole: float) -> SourceObject:
    """Returns ``item``, whose box and area have ``whole`` for a side of the image, in pixels."""
    sides = (image.annotated_height, image.annotated_width) * 2
    ymin, xmin, ymax, xmax = (edge * side / whole for edge, side in zip(item.box, sides))
    # An area in such units squared would be ambiguous: that of the box is taken.
    return dataclasses.replace(item, box=(ymin, xmin, ymax, xmax), area=None)


def _in_order(item: SourceObject, pixel_origin: int) -> SourceObject:
    """Returns ``item`` with its corners in order: somebody drew from right to left."""
    ymin, xmin, ymax, xmax = item.box
    # In the file's own numbers, of which the reader has moved the low edges by pixel_origin.
    if ymax < ymin + pixel_origin:
        ymin, ymax = ymax - pixel_origin, ymin + pixel_origin
    if xmax < xmin + pixel_origin:
        xmin, xmax = xmax - pixel_origin, xmin + pixel_origin
    box = (ymin, xmin, ymax, xmax)
    numbers = (ymin + pixel_origin, xmin + pixel_origin, ymax, xmax)
    return dataclasses.replace(item, box=box, flaw=degeneracy(numbers))


def _reject_object(
    source: SourceImage, item: SourceObject, reason: str, action: str, image: StoredImage
) -> Reject:
    # What the box was compared with: the annotation may state another size, or none.
    size = f"image of {image.annotated_width}x{image.annotated_height}"
    detail = "" if reason in (UNKNOWN_CLASS, DUPLICATE) else size
    return Reject(
        source.file, source.source_id, reason, action, item.index, item.name, item.box, detail
    )


def _fit_object(
    source: SourceImage,
    item: SourceObject,
    image: StoredImage,
    labels: Mapping[str, int],
    options: BoxOptions,
) -> tuple[ObjectAnnotation | None, str, str]:
    """Returns (the object, or None if it is dropped; reason or ""; action)."""
    if item.name not in labels:
        _refuse(options.unknown_classes, source, item, UNKNOWN_CLASS, image)
        return None, UNKNOWN_CLASS, DROPPED
    pixels = _clip(item.box, image.annotated_height, image.annotated_width)
    box = _fractions(pixels, image)
    reason = item.flaw or _reason(item.box, pixels, box, options.box_tolerance)
    # Clipping within the tolerance is not a fault.
    if reason not in ("", CLIPPED):
        _refuse(options.bad_boxes, source, item, reason, image)
        # Only of a box that overlaps the image is anything left to clip.
        if reason != BEYOND_TOLERANCE or options.bad_boxes == "drop":
            return None, reason, DROPPED
    return _object(item, pixels, box, image, labels[item.name]), reason, CLIPPED


def _clip(box: Box, height: int, width: int) -> Box:
    # Written out, as in _fractions: a loop takes three times as long.
    ymin, xmin, ymax, xmax = box
    return (
        min(max(ymin, 0.0), height),
        min(max(xmin, 0.0), width),
        min(max(ymax, 0.0), height),
        min(max(xmax, 0.0), width),
    )


def _fractions(pixels: Box, image: StoredImage) -> Box:
    # Of the annotated size: what is a fraction of it is the same fraction of a shrunk image.
    height, width = image.annotated_height, image.annotated_width
    ymin, xmin, ymax, xmax = pixels
    # Rounded as records keep them, so that a box that loses its area by it is found in time.
    packed = _FLOAT32.pack(ymin / height, xmin / width, ymax / height, xmax / width)
    ymin, xmin, ymax, xmax = _FLOAT32.unpack(packed)
    return ymin, xmin, ymax, xmax


def _reason(given: Box, pixels: Box, fractions: Box, tolerance: float) -> str:
    # A box without area of its own has been found by the reader: this one lost it by clipping or
    # rounding.
    if degeneracy(fractions):
        return OUTSIDE_IMAGE
    if given == pixels:
        return ""
    excess = max(abs(edge - inside) for edge, inside in zip(given, pixels))
    return CLIPPED if excess <= tolerance else BEYOND_TOLERANCE


def _object(
    item: SourceObject, pixels: Box, fractions: Box, image: StoredImage, label: int
) -> ObjectAnnotation:
    # COCO states the area of the mask, which is usually less than the box's.
    area = (pixels[2] - pixels[0]) * (pixels[3] - pixels[1]) if item.area is None else item.area
    shrinkage = (image.height * image.width) / (image.annotated_height * image.annotated_width)
    return ObjectAnnotation(
        label=label,
        name=item.name,
        box=fractions,
        difficult=item.difficult,
        truncated=item.truncated,
        occluded=item.occluded,
        crowd=item.crowd,
        area=area * shrinkage,
        pose=item.pose,
        annotation_id=item.annotation_id,
    )


def _refuse(
    policy: str, source: SourceImage, item: SourceObject, reason: str, image: StoredImage
) -> None:
    """Raises InputError if ``policy`` is to fail."""
    if policy != "fail":
        return
    # repr(), shortened: a name from a hostile file may be long, or hold line ends.
    where = f"{source.file}: object {item.index} ({reprlib.repr(item.name)})"
    if reason == UNKNOWN_CLASS:
        raise InputError(f"{where}: must be one of --classes; or pass --unknown_classes=drop")
    size = f"{image.annotated_width}x{image.annotated_height}"
    words = {
        ZERO_AREA: "has no area: must have xmax above xmin, and ymax above ymin",
        INVERTED: "is inverted: must have xmax above xmin, and ymax above ymin",
        NOT_FINITE: "must have four finite edges",
        OUTSIDE_IMAGE: f"has no area inside the image: must be inside {size}",
        BEYOND_TOLERANCE: f"must be inside {size}, give or take --box_tolerance",
    }
    ymin, xmin, ymax, xmax = item.box
    raise InputError(
        f"{where}: box with x {xmin:.12g} to {xmax:.12g} and y {ymin:.12g} to {ymax:.12g} (pixels "
        f"from 0) {words[reason]}; fix it, or pass --bad_boxes=drop"
    )
