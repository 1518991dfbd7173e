"""What was dropped, changed, or kept although suspicious: reasons, and lines of rejects.jsonl."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass

# Reasons for rejecting an object.
ZERO_AREA = "zero_area"
INVERTED = "inverted"
NOT_FINITE = "not_finite"
OUTSIDE_IMAGE = "outside_image"
BEYOND_TOLERANCE = "beyond_tolerance"
CLIPPED = "clipped"
DUPLICATE = "duplicate"
UNKNOWN_CLASS = "unknown_class"
# Reasons for an image that more than one reader gives; others are defined where they are found.
MISSING_IMAGE, UNANNOTATED = "missing_image", "unannotated"
# Reasons for a box that is not the annotation's own: it surrounds a turned rectangle or a polygon.
ROTATION, POLYGON = "rotation", "polygon"
# Actions.
DROPPED = "dropped"
KEPT = "kept"
REORDERED = "reordered"
ENCLOSED = "enclosed"


class DroppedImage(Exception):  # noqa: N818 - not an error: --bad_images asks for it
    """An image that is left out, as --bad_images asks; the message is a line for the user.

    ``reason`` and ``detail`` are those of its Reject.
    """

    def __init__(self, reason: str, message: str, detail: str) -> None:
        super().__init__(message)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class Reject:
    """An image or object dropped, changed, or kept although suspicious: a line of rejects.jsonl.

    ``action`` is what was done: dropped, clipped, reordered (the corners of a box), enclosed (a
    turned rectangle, a polygon), kept, skipped (what is no box), rotated or repaired. ``object`` is
    the object's number in its image, counted from 1 (-1 if its image is unknown), and ``name`` and
    ``box`` are the SourceObject's; for an image they are 0, "" and None. ``detail`` explains the
    reason further, or is "". ``num_objects`` is how many objects were dropped with the image.
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


def to_lines(rejects: Iterable[Reject]) -> bytes:
    """Serializes ``rejects``, one line of JSON each, ending with a line break."""
    lines = (json.dumps(_content(item), ensure_ascii=False) + "\n" for item in rejects)
    # File names on disk need not be UTF-8; bytes that are not are escaped.
    return "".join(lines).encode(errors="backslashreplace")


def _content(item: Reject) -> dict[str, object]:
    return {
        "file": item.file,
        "source_id": item.source_id,
        "object": item.object,
        "class": item.name,
        "reason": item.reason,
        "action": item.action,
        "detail": item.detail,
        "num_objects": item.num_objects,
        # JSON has neither infinity nor NaN.
        "box": item.box and [edge if math.isfinite(edge) else str(edge) for edge in item.box],
    }
