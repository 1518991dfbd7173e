"""rejects.jsonl: what was not taken as it is, an image or object a line."""

import json
import math
from collections.abc import Iterable

from ssd_tfrecord.records.annotation import Reject


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
