"""What is known of an image: as its source files say it in pixels, and as records keep it.

Boxes are [ymin, xmin, ymax, xmax] in both. ``fit`` takes one to the other, which needs the size
of the decoded image.
"""

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import BoxOptions

# Reasons of object rejects.
ZERO_AREA = "zero_area"
INVERTED = "inverted"
NOT_FINITE = "not_finite"
OUTSIDE_IMAGE = "outside_image"
BEYOND_TOLERANCE = "beyond_tolerance"
CLIPPED = "clipped"
DUPLICATE = "duplicate"
UNKNOWN_CLASS = "unknown_class"
# What was done.
DROPPED = "dropped"
KEPT = "kept"

# Floats count single pixels up to here.
MAX_COORDINATE = 2.0**53


class DroppedImage(Exception):  # noqa: N818 - no error: --bad_images asks for it
    """An image that becomes no record, as --bad_images says: the message is a line for the user.

    ``reason`` and ``detail`` are the Reject's.
    """

    def __init__(self, reason: str, message: str, detail: str):
        super().__init__(message)
        self.reason, self.detail = reason, detail


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


@dataclass(frozen=True, slots=True)
class SourceObject:
    """One object as its file has it: ``box`` in pixels, edges counted from 0, not yet clipped.

    ``index`` counts the image's objects from 1; ``area`` None: the box's; ``flaw`` is what the
    reader found wrong with the box (ZERO_AREA, INVERTED, NOT_FINITE), or "".
    """

    index: int
    name: str
    box: tuple[float, float, float, float]
    difficult: bool = False
    truncated: bool = False
    occluded: bool = False
    crowd: bool = False
    area: float | None = None
    pose: str = ""
    annotation_id: int = -1
    flaw: str = ""


@dataclass(frozen=True, slots=True)
class Reject:
    """What was not taken as it is: a line of rejects.jsonl.

    ``action`` says what was done: dropped, clipped, kept, rotated, repaired. ``object`` counts the
    image's objects from 1 (-1: of an image that is unknown), and ``name`` and ``box`` are the
    SourceObject's; for the image itself they are 0, "" and None. ``detail`` says more of the
    reason, or is "". ``num_objects`` were dropped with the image.
    """

    file: str
    source_id: str
    reason: str
    action: str
    object: int = 0
    name: str = ""
    box: tuple[float, float, float, float] | None = None
    detail: str = ""
    num_objects: int = 0


@dataclass(frozen=True, slots=True)
class SourceImage:
    """An image and its objects before decoding.

    ``file`` is the annotation's, for messages, with the image's id where it holds many; ``size``
    is (width, height) as it is claimed there, None where it is not.
    """

    source_id: str
    image_path: str
    file: str
    size: tuple[int, int] | None = None
    objects: tuple[SourceObject, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceSet:
    """All images that become one record set.

    ``images``, and ``rejects`` of what the reader has dropped, lie on disk (``spool.Spool``).
    ``category_ids`` is {name: the source's own id} in label order, empty where the source has no
    class list of its own; ``origin`` says in the manifest where the set comes from; ``notes`` are
    lines for the user.
    """

    images: Sequence[SourceImage]
    origin: Mapping[str, object]
    pixel_origin: int = 0
    category_ids: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    rejects: Sequence[Reject] = ()


def reject_image(
    source: SourceImage, reason: str, action: str = DROPPED, detail: str = ""
) -> Reject:
    """The Reject of a whole image."""
    num_objects = len(source.objects) if action == DROPPED else 0
    return Reject(
        source.file, source.source_id, reason, action, detail=detail, num_objects=num_objects
    )


def degeneracy(box) -> str:
    """What is wrong with ``box`` ([ymin, xmin, ymax, xmax] in any unit) in itself, or ""."""
    if not all(abs(edge) <= MAX_COORDINATE for edge in box):  # as NaN is not
        return NOT_FINITE
    height, width = box[2] - box[0], box[3] - box[1]
    if height < 0 or width < 0:
        return INVERTED
    return "" if height and width else ZERO_AREA


def fit(source: SourceImage, image, labels: Mapping[str, int], options: BoxOptions):
    """The record of ``source``, and what was not taken as it is.

    Boxes are clipped to the image. A second object of the same class and box is kept and named.

    Args:
      image: an ``images.StoredImage``.
      labels: name -> label.

    Returns: (ImageAnnotation, tuple of Reject, those of ``image`` included).
    Raises: InputError for what ``options`` call an error.
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
