"""What was not taken as it is: reasons, and rejects.jsonl with one line per image or object."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass

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


class DroppedImage(Exception):  # noqa: N818 - no error: --bad_images asks for it
    """An image that becomes no record, as --bad_images says: the message is a line for the user.

    ``reason`` and ``detail`` are the Reject's.
    """

    def __init__(self, reason: str, message: str, detail: str):
        super().__init__(message)
        self.reason, self.detail = reason, detail


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


def to_lines(rejects: Iterable[Reject]) -> bytes:
    """The lines of ``rejects``, each with its end."""
    lines = (json.dumps(_content(item), ensure_ascii=False) + "\n" for item in rejects)
    # Names on disk may be no UTF-8: what is not is escaped.
    return "".join(lines).encode(errors="backslashreplace")


def _content(item):
    return {
        "file": item.file,
        "source_id": item.source_id,
        "object": item.object,
        "class": item.name,
        "reason": item.reason,
        "action": item.action,
        "detail": item.detail,
        "num_objects": item.num_objects,
        # JSON has no infinity and no NaN.
        "box": item.box and [edge if math.isfinite(edge) else str(edge) for edge in item.box],
    }
