"""What a source says of its images: the one form that every reader gives and every writer takes.

Boxes are [ymin, xmin, ymax, xmax] in pixels, before anything was decoded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ssd_tfrecord.records.rejects import DROPPED, Reject


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
