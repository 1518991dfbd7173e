"""What all objects of a set have in common, found in one pass over its annotations."""

import collections
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from ssd_tfrecord.records.sources.source_set import SourceImage, SourceObject, SourceSet

# How many images with a size are kept to look at: enough to tell a rule from a stray.
_SAMPLE = 20
# Of the sides that are compared: below, all coordinates are small anyway.
_SMALL_SIDE = 200


@dataclass
class Found:
    """Objects of one kind: how many, and where the first is ("a.xml: object 3")."""

    count: int = 0
    first: str = ""

    def add(self, image: SourceImage, item: SourceObject) -> None:
        """Counts an object."""
        if not self.count:
            self.first = f"{image.file}: object {item.index}"
        self.count += 1


@dataclass
class Survey:
    """What one pass over a SourceSet found.

    ``classes`` is {class name: its objects}. ``sound`` counts boxes without a flaw, and ``nearest``
    and ``farthest`` are the smallest low and the largest high edge of those, in the file's units
    from 0. ``beyond`` and ``beyond_percent`` count sound boxes with a high edge above 1.1 and 110,
    which no fraction and no percentage has; ``before_first`` those with an edge one pixel ahead of
    the first. ``large_images`` counts images with objects whose annotated sides both are at least
    200 pixels. ``sized`` are some images whose annotations state that the sides differ.
    """

    num_images: int = 0
    num_objects: int = 0
    classes: dict[str, Found] = field(default_factory=lambda: collections.defaultdict(Found))
    sound: int = 0
    nearest: float = float("inf")
    farthest: float = float("-inf")
    beyond: int = 0
    beyond_percent: int = 0
    before_first: Found = field(default_factory=Found)
    large_images: int = 0
    sized: list[SourceImage] = field(default_factory=list)

    @property
    def names(self) -> Sequence[str]:
        """The class names, sorted, without that of objects that have none."""
        return sorted(name for name in self.classes if name)


def survey(sources: SourceSet) -> Survey:
    """Surveys ``sources``; reads all their annotations once, and no image."""
    seen = Survey()
    for image in sources.images:
        seen.num_images += 1
        seen.num_objects += len(image.objects)
        for item in image.objects:
            seen.classes[item.name].add(image, item)
            if item.flaw:
                continue
            ymin, xmin, ymax, xmax = item.box
            low, high = min(ymin, xmin), max(ymax, xmax)
            seen.sound += 1
            seen.nearest, seen.farthest = min(seen.nearest, low), max(seen.farthest, high)
            seen.beyond += high > 1.1
            seen.beyond_percent += high > 110
            if low == -1:
                seen.before_first.add(image, item)
        if image.size:
            seen.large_images += bool(image.objects) and min(image.size) >= _SMALL_SIDE
            if image.size[0] != image.size[1] and len(seen.sized) < _SAMPLE:
                seen.sized.append(dataclasses.replace(image, objects=()))
    return seen
