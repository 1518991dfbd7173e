"""What a source says about its images: the form that every reader returns and the writer accepts.

Boxes are [ymin, xmin, ymax, xmax] in pixels; nothing has been decoded yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ssd_tfrecord.records.rejects import DROPPED, Reject

# Spool keeps what is defined here, so it imports this file.
if TYPE_CHECKING:
    from ssd_tfrecord.records.sources.spool import Spool


@dataclass(frozen=True, slots=True)
class SourceObject:
    """One object as its file has it: ``box`` in pixels, edges counted from 0, not yet clipped.

    ``index`` is its number in the image, counted from 1; ``area`` is None if it is the box's;
    ``flaw`` is what the reader found wrong with the box (ZERO_AREA, INVERTED, NOT_FINITE), or "".
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
class SourceImage:
    """An image and its objects before decoding.

    ``file`` is the annotation file, for messages, with the image's id if the file holds many.
    ``size`` is (width, height) as claimed there, or None; floats if the file has floats. The image
    is the whole file ``image_path``, or, with ``num_bytes``, that many bytes of it from ``offset``;
    ``filename`` is the name that the record keeps, "" for that of ``image_path``.
    """

    source_id: str
    image_path: str
    file: str
    size: tuple[float, float] | None = None
    objects: tuple[SourceObject, ...] = ()
    offset: int = 0
    num_bytes: int = 0
    filename: str = ""


@dataclass(frozen=True, slots=True)
class SourceSet:
    """All images that become one record set.

    ``images``, and ``rejects`` for what the reader has dropped, are kept on disk (``spool.Spool``).
    ``category_ids`` is {name: the source's own id} in label order, empty if the source has no class
    list of its own; ``origin`` tells the manifest where the set comes from; ``notes`` are lines for
    the user. ``lost`` is {class name: objects} of the images that the reader has dropped.
    """

    images: "Spool[SourceImage]"
    origin: Mapping[str, object]
    pixel_origin: int = 0
    category_ids: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    rejects: Sequence[Reject] = ()
    lost: Mapping[str, int] = field(default_factory=dict)


def reject_image(
    source: SourceImage, reason: str, action: str = DROPPED, detail: str = ""
) -> Reject:
    """Makes the Reject of an image; ``reason``, ``action`` and ``detail`` become its own."""
    # Objects are lost only if their image is; a rotated one keeps them.
    num_objects = len(source.objects) if action == DROPPED else 0
    return Reject(
        source.file, source.source_id, reason, action, detail=detail, num_objects=num_objects
    )
