"""changed_names.json: which names of classes and images our files of detections do not spell."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.layouts.yolo_labels import read_text

CHANGED_NAMES = "changed_names.json"
# Room for 200,000 images.
_MAX_BYTES = 2**25


@dataclass(frozen=True)
class ChangedNames:
    """{name in the files: name of the class}, and {name in the files: source_id}."""

    classes: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)


def read_changed_names(folder: str) -> ChangedNames:
    """Reads the list that ``write_detections`` puts into ``folder``; without one, none is changed.

    Args:
        folder: of the files.

    Raises:
        InputError: it is there, but is not such a list.
    """
    path = os.path.join(folder, CHANGED_NAMES)
    if not os.path.lexists(path):
        return ChangedNames()
    text = read_text(path, _MAX_BYTES)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict):
        classes, images = content.get("classes", {}), content.get("images", {})
        if _maps_names(classes) and _maps_names(images):
            return ChangedNames(classes, images)
    raise InputError(
        f"{path}: must be {{classes: {{name in the files: class}}, images: {{name in the files: "
        "image}}, as written beside detections; remove it if the names are right without it"
    )


def _maps_names(content: object) -> bool:
    # The keys of JSON are strings.
    return isinstance(content, dict) and all(isinstance(name, str) for name in content.values())
