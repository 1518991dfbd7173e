"""Counts and histograms of a record set, gathered while it is written."""

import bisect
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ssd_tfrecord.records.annotation import ImageAnnotation, ObjectAnnotation
from ssd_tfrecord.records.rejects import Reject

# Lower edges of the bins; the last bin is open.
EDGES: dict[str, list[float]] = {
    # Square root of the fraction of the image that the box covers.
    "box_side": [0.0, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
    # Width / height, in pixels.
    "box_aspect": [0.0, 0.25, 0.33, 0.5, 0.67, 0.8, 1.25, 1.5, 2.0, 3.0, 4.0],
    "objects_per_image": [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128],
    # Longer side, in pixels.
    "image_side": [0, 128, 256, 384, 512, 640, 800, 1024, 1536, 2048, 4096],
}

# The key of ``Statistics.actions`` for objects that are lost because their image is.
WITH_IMAGE = "objects dropped: with their image"

_COUNTERS = ("formats", "notes", "rejects", "actions")


def action_of(item: Reject) -> str:
    """The key under which ``Statistics.actions`` counts a Reject."""
    # Object 0 stands for the image itself.
    return f"{'objects' if item.object else 'images'} {item.action}: {item.reason}"


class Statistics:
    """What the manifest says about a set, gathered from records or from the counts of shards."""

    def __init__(self, class_names: Iterable[str]) -> None:
        kinds = ("objects", "difficult", "crowd", "images")
        self.per_class = {name: dict.fromkeys(kinds, 0) for name in class_names}
        self.histograms: dict[str, dict[str, list[float]]] = {
            name: {"edges": edges, "counts": [0] * len(edges)} for name, edges in EDGES.items()
        }
        self.formats: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.rejects: Counter[str] = Counter()
        self.actions: Counter[str] = Counter()
        self.max_objects = 0
        self.num_pixels = 0

    def add(self, annotation: ImageAnnotation, notes: Iterable[str] = ()) -> None:
        """Counts a record.

        Args:
            annotation: the record without its pixels.
            notes: what was done with its image.
        """
        self.formats[annotation.original_format] += 1
        self.notes.update(notes)
        self.max_objects = max(self.max_objects, len(annotation.objects))
        self.num_pixels += annotation.height * annotation.width
        self._bin("objects_per_image", len(annotation.objects))
        self._bin("image_side", max(annotation.height, annotation.width))
        for item in annotation.objects:
            self._add_object(item, annotation.height, annotation.width)
        # A set, as an image counts once for a class however many objects of it there are.
        for name in {item.name for item in annotation.objects}:
            self.per_class[name]["images"] += 1

    def add_rejects(self, rejects: Iterable[Reject]) -> None:
        """Counts ``rejects`` by reason, and images and objects by what was done with them."""
        for item in rejects:
            self.rejects[item.reason] += 1
            self.actions[action_of(item)] += 1
            if item.num_objects:
                self.actions[WITH_IMAGE] += item.num_objects

    def counts(self) -> dict[str, Any]:
        """Returns all counts in a form that JSON can hold and ``merge`` accepts."""
        return {
            "max_objects": self.max_objects,
            "num_pixels": self.num_pixels,
            "per_class": self.per_class,
            "histograms": self.histograms,
            # Sorted, since a Counter keeps the order in which its keys first came.
            **{name: dict(sorted(getattr(self, name).items())) for name in _COUNTERS},
        }

    def merge(self, counts: Mapping[str, Any]) -> None:
        """Adds the ``counts()`` of another part of the set, which has the same classes."""
        self.max_objects = max(self.max_objects, counts["max_objects"])
        self.num_pixels += counts["num_pixels"]
        for name in _COUNTERS:
            getattr(self, name).update(counts[name])
        for name, kinds in counts["per_class"].items():
            for kind, count in kinds.items():
                self.per_class[name][kind] += count
        for name, histogram in counts["histograms"].items():
            mine = self.histograms[name]["counts"]
            mine[:] = [one + other for one, other in zip(mine, histogram["counts"])]

    def total(self, kind: str) -> int:
        """Sums ``objects``, ``difficult`` or ``crowd`` (``kind``) over the classes."""
        return sum(counts[kind] for counts in self.per_class.values())

    def _add_object(self, item: ObjectAnnotation, image_height: int, image_width: int) -> None:
        counts = self.per_class[item.name]
        counts["objects"] += 1
        counts["difficult"] += item.difficult
        counts["crowd"] += item.crowd
        height, width = item.box[2] - item.box[0], item.box[3] - item.box[1]
        self._bin("box_side", math.sqrt(height * width))
        self._bin("box_aspect", (width * image_width) / (height * image_height))

    def _bin(self, name: str, value: float) -> None:
        histogram = self.histograms[name]
        # To the right of equal edges: a bin begins with its own edge.
        histogram["counts"][bisect.bisect_right(histogram["edges"], value) - 1] += 1
