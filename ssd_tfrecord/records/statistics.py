"""Counts and histograms of a record set, gathered while it is written."""

import bisect
import math
from collections import Counter

# Lower edges; the last bin is open.
EDGES = {
    # Square root of the box's share of the image.
    "box_side": [0.0, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
    # Width to height, in pixels.
    "box_aspect": [0.0, 0.25, 0.33, 0.5, 0.67, 0.8, 1.25, 1.5, 2.0, 3.0, 4.0],
    "objects_per_image": [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128],
    # Longer side, in pixels.
    "image_side": [0, 128, 256, 384, 512, 640, 800, 1024, 1536, 2048, 4096],
}

_COUNTERS = ("formats", "notes", "rejects", "actions")


class Statistics:
    """What the manifest says of a set's images; fed one record at a time, or a shard's counts."""

    def __init__(self, class_names):
        kinds = ("objects", "difficult", "crowd", "images")
        self.per_class = {name: dict.fromkeys(kinds, 0) for name in class_names}
        self.histograms = {
            name: {"edges": edges, "counts": [0] * len(edges)} for name, edges in EDGES.items()
        }
        self.formats = Counter()
        self.notes = Counter()
        self.rejects = Counter()
        self.actions = Counter()
        self.max_objects = 0
        self.num_pixels = 0

    def add(self, annotation, notes=()):
        """Counts one ImageAnnotation, and ``notes`` of what was done with its image."""
        self.formats[annotation.original_format] += 1
        self.notes.update(notes)
        self.max_objects = max(self.max_objects, len(annotation.objects))
        self.num_pixels += annotation.height * annotation.width
        self._bin("objects_per_image", len(annotation.objects))
        self._bin("image_side", max(annotation.height, annotation.width))
        for item in annotation.objects:
            self._add_object(item, annotation.height, annotation.width)
        for name in {item.name for item in annotation.objects}:
            self.per_class[name]["images"] += 1

    def add_rejects(self, rejects):
        """Counts Rejects by their reason, and images and objects by what was done with them."""
        for item in rejects:
            self.rejects[item.reason] += 1
            kind = "objects" if item.object else "images"
            self.actions[f"{kind} {item.action}: {item.reason}"] += 1
            if item.num_objects:
                self.actions["objects dropped: with their image"] += item.num_objects

    def counts(self) -> dict:
        """All that was counted, as JSON keeps it; ``merge`` takes it."""
        return {
            "max_objects": self.max_objects,
            "num_pixels": self.num_pixels,
            "per_class": self.per_class,
            "histograms": self.histograms,
            **{name: dict(sorted(getattr(self, name).items())) for name in _COUNTERS},
        }

    def merge(self, counts: dict):
        """Adds the ``counts()`` of another part of the set, of the same classes."""
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

    def total(self, kind):
        """Sum over the classes of ``objects``, ``difficult`` or ``crowd``."""
        return sum(counts[kind] for counts in self.per_class.values())

    def _add_object(self, item, image_height, image_width):
        counts = self.per_class[item.name]
        counts["objects"] += 1
        counts["difficult"] += item.difficult
        counts["crowd"] += item.crowd
        height, width = item.box[2] - item.box[0], item.box[3] - item.box[1]
        self._bin("box_side", math.sqrt(height * width))
        self._bin("box_aspect", (width * image_width) / (height * image_height))

    def _bin(self, name, value):
        histogram = self.histograms[name]
        histogram["counts"][bisect.bisect_right(histogram["edges"], value) - 1] += 1
