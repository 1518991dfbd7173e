"""What is known of an image: as its source files say it in pixels, and as records keep it.

Boxes are [ymin, xmin, ymax, xmax] in both. ``fit`` takes one to the other, which needs the size
of the decoded image.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ssd_tfrecord.errors import InputError

ZERO_AREA = "zero_area"
INVERTED = "inverted"
OUTSIDE_IMAGE = "outside_image"
CLIPPED = "clipped"


@dataclass(frozen=True, slots=True)
class ObjectAnnotation:
    """One object of a record: ``label`` is 1…C, ``box`` float32 fractions of the image in [0, 1].

    ``area`` is in pixels²: COCO's own (of the mask), else the box's.
    """

    label: int
    name: str
    box: tuple[float, float, float, float]
    difficult: bool = False
    truncated: bool = False
    crowd: bool = False
    area: float = 0.0
    pose: str = ""


@dataclass(frozen=True, slots=True)
class ImageAnnotation:
    """One record without its pixels: ``height`` and ``width`` are of the decoded image."""

    source_id: str
    filename: str
    height: int
    width: int
    objects: tuple[ObjectAnnotation, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceObject:
    """One object as its file has it: ``box`` in pixels, edges counted from 0, not yet clipped.

    ``index`` counts the image's objects from 1; ``area`` None: the box's.
    """

    index: int
    name: str
    box: tuple[float, float, float, float]
    difficult: bool = False
    truncated: bool = False
    crowd: bool = False
    area: float | None = None
    pose: str = ""


@dataclass(frozen=True, slots=True)
class Reject:
    """An object that was clipped or dropped: a line of rejects.jsonl.

    ``object`` counts the image's objects from 1; ``box`` is the SourceObject's.
    """

    file: str
    source_id: str
    object: int
    name: str
    reason: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class SourceImage:
    """An image and its objects before decoding.

    ``file`` is the annotation's, for messages, with the image's id where it holds many; ``size``
    is (width, height) as it is claimed there, None where it is not; ``rejects`` are the objects
    that the reader has dropped.
    """

    source_id: str
    image_path: str
    file: str
    size: tuple[int, int] | None = None
    objects: tuple[SourceObject, ...] = ()
    rejects: tuple[Reject, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceSet:
    """All images that become one record set.

    ``category_ids`` is {name: the source's own id} in label order, empty where the source has no
    class list of its own; ``origin`` says in the manifest where the set comes from; ``notes`` are
    lines for the user.
    """

    images: tuple[SourceImage, ...]
    origin: Mapping[str, object]
    pixel_origin: int = 0
    category_ids: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def reject(source_id: str, file: str, item: SourceObject, reason: str) -> Reject:
    """The Reject of one object."""
    return Reject(file, source_id, item.index, item.name, reason, item.box)


def degeneracy(box) -> str:
    """The reason to drop ``box`` ([ymin, xmin, ymax, xmax] in any unit), or ""."""
    height, width = box[2] - box[0], box[3] - box[1]
    if height < 0 or width < 0:
        return INVERTED
    return "" if height and width else ZERO_AREA


def fit(source: SourceImage, height: int, width: int, labels: Mapping[str, int]):
    """The record of ``source`` whose image was decoded to ``height`` × ``width`` pixels.

    Boxes are clipped to the image; those left without area are dropped. Every class must be in
    ``labels`` (name -> label).

    Returns: (ImageAnnotation, tuple of Reject, the reader's included).
    Raises: InputError if the claimed size is another.
    """
    if source.size not in (None, (width, height)):
        # Annotation tools show a photograph upright; training's decoder does not turn it.
        swapped = source.size == (height, width)
        hint = " (rotated by EXIF? Turn the pixels themselves, as `mogrify -auto-orient` does)"
        raise InputError(
            f"{source.file}: says {source.size[0]}x{source.size[1]} (width x height), but "
            f"{source.image_path} decodes to {width}x{height}: must be the same"
            + (hint if swapped else "")
        )
    objects, rejects = [], list(source.rejects)
    for item in source.objects:
        pixels, box = _clip(item.box, height, width)
        reason = _reason(item.box, pixels, box)
        if reason:
            rejects.append(reject(source.source_id, source.file, item, reason))
        if reason != OUTSIDE_IMAGE:
            area = (pixels[2] - pixels[0]) * (pixels[3] - pixels[1])
            objects.append(
                ObjectAnnotation(
                    label=labels[item.name],
                    name=item.name,
                    box=box,
                    difficult=item.difficult,
                    truncated=item.truncated,
                    crowd=item.crowd,
                    area=area if item.area is None else item.area,
                    pose=item.pose,
                )
            )
    filename = source.image_path.replace("\\", "/").rsplit("/", 1)[-1]
    annotation = ImageAnnotation(source.source_id, filename, height, width, tuple(objects))
    return annotation, tuple(rejects)


def _clip(box, height, width):
    sides = (height, width, height, width)
    pixels = tuple(min(max(edge, 0.0), side) for edge, side in zip(box, sides))
    # Rounded as records keep them, so that a box without area shows before it is written.
    return pixels, tuple(float(np.float32(edge / side)) for edge, side in zip(pixels, sides))


def _reason(given, pixels, box):
    if degeneracy(box):
        return OUTSIDE_IMAGE
    return CLIPPED if pixels != given else ""
