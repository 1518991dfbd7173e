"""From the boxes of a source to those of a record: clipped, refused or dropped, and counted.

A box in pixels of the annotated image becomes fractions, which needs the decoded image's size.
"""

import reprlib
from collections.abc import Mapping

import numpy as np

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import BoxOptions
from ssd_tfrecord.records.annotation import ImageAnnotation, ObjectAnnotation, degeneracy
from ssd_tfrecord.records.rejects import (
    BEYOND_TOLERANCE,
    CLIPPED,
    DROPPED,
    DUPLICATE,
    INVERTED,
    KEPT,
    NOT_FINITE,
    OUTSIDE_IMAGE,
    UNKNOWN_CLASS,
    ZERO_AREA,
    Reject,
)
from ssd_tfrecord.records.sources.source_set import SourceImage, reject_image


def fit(source: SourceImage, image, labels: Mapping[str, int], options: BoxOptions):
    """The record of ``source``, and what was not taken as it is.

    Boxes are clipped to the image. A second object of the same class and box is kept and named.

    Args:
        image: an ``images.StoredImage``.
        labels: name -> label.

    Returns:
        (ImageAnnotation, tuple of Reject, those of ``image`` included).

    Raises:
        InputError for what ``options`` call an error.
    """
    objects, seen = [], set()
    rejects = [reject_image(source, *change) for change in image.changes]
    for item in source.objects:
        found, reason, action = _fit_object(source, item, image, labels, options)
        if found and (item.name, item.box) in seen:
            rejects.append(_reject_object(source, item, DUPLICATE, KEPT, image))
        seen.add((item.name, item.box))
        if reason:
            rejects.append(_reject_object(source, item, reason, action, image))
        if found:
            objects.append(found)
    annotation = ImageAnnotation(
        source_id=source.source_id,
        filename=source.image_path.replace("\\", "/").rsplit("/", 1)[-1],
        height=image.height,
        width=image.width,
        objects=tuple(objects),
        original_format=image.original_format,
    )
    return annotation, tuple(rejects)


def _reject_object(source, item, reason, action, image):
    # What the box was compared with.
    size = f"image of {image.annotated_width}x{image.annotated_height}"
    detail = "" if reason in (UNKNOWN_CLASS, DUPLICATE) else size
    return Reject(
        source.file, source.source_id, reason, action, item.index, item.name, item.box, detail
    )


def _fit_object(source, item, image, labels, options):
    """(ObjectAnnotation or None, reason or "", action)."""
    if item.name not in labels:
        _refuse(options.unknown_classes, source, item, UNKNOWN_CLASS, image)
        return None, UNKNOWN_CLASS, DROPPED
    pixels = _clip(item.box, image.annotated_height, image.annotated_width)
    reason = item.flaw or _reason(item.box, pixels, image, options.box_tolerance)
    if reason not in ("", CLIPPED):
        _refuse(options.bad_boxes, source, item, reason, image)
        if reason != BEYOND_TOLERANCE or options.bad_boxes == "drop":
            return None, reason, DROPPED
    return _object(item, pixels, image, labels[item.name]), reason, CLIPPED


def _clip(box, height, width):
    return tuple(min(max(edge, 0.0), side) for edge, side in zip(box, (height, width) * 2))


def _fractions(pixels, image):
    # Rounded as records keep them, so that a box without area shows before it is written.
    sides = (image.annotated_height, image.annotated_width) * 2
    return tuple(float(np.float32(edge / side)) for edge, side in zip(pixels, sides))


def _reason(given, pixels, image, tolerance):
    if degeneracy(_fractions(pixels, image)):
        return OUTSIDE_IMAGE
    excess = max(abs(edge - inside) for edge, inside in zip(given, pixels))
    if excess == 0:
        return ""
    return CLIPPED if excess <= tolerance else BEYOND_TOLERANCE


def _object(item, pixels, image, label):
    area = (pixels[2] - pixels[0]) * (pixels[3] - pixels[1]) if item.area is None else item.area
    shrinkage = (image.height * image.width) / (image.annotated_height * image.annotated_width)
    return ObjectAnnotation(
        label=label,
        name=item.name,
        box=_fractions(pixels, image),
        difficult=item.difficult,
        truncated=item.truncated,
        occluded=item.occluded,
        crowd=item.crowd,
        area=area * shrinkage,
        pose=item.pose,
        annotation_id=item.annotation_id,
    )


def _refuse(policy, source, item, reason, image):
    """Raises InputError if ``policy`` is to fail."""
    if policy != "fail":
        return
    where = f"{source.file}: object {item.index} ({reprlib.repr(item.name)})"
    if reason == UNKNOWN_CLASS:
        raise InputError(f"{where}: must be a class of --classes; or pass --unknown_classes=drop")
    size = f"{image.annotated_width}x{image.annotated_height}"
    words = {
        ZERO_AREA: "covers nothing: xmax must be above xmin, and ymax above ymin",
        INVERTED: "is inverted: xmax must be above xmin, and ymax above ymin",
        NOT_FINITE: "must be of finite numbers of pixels",
        OUTSIDE_IMAGE: f"covers nothing of the image: must be inside {size}",
        BEYOND_TOLERANCE: f"must be inside {size}, up to --box_tolerance",
    }
    ymin, xmin, ymax, xmax = item.box
    raise InputError(
        f"{where}: box of x {xmin:.12g} to {xmax:.12g} and y {ymin:.12g} to {ymax:.12g}, pixels "
        f"from 0, {words[reason]}; fix it, or pass --bad_boxes=drop"
    )
