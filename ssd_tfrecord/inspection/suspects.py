"""Images and boxes that people should look at: twins, doubled boxes, tiny, huge and odd ones."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssd_tfrecord.inspection import near_duplicates
from ssd_tfrecord.inspection.facts import Facts, SearchedSet

DUPLICATE, NEAR_DUPLICATE = "duplicate", "near_duplicate"
TWO_CLASSES, TWICE = "same_box_two_classes", "same_box_twice"
TINY, WHOLE_IMAGE = "tiny_box", "whole_image_box"
ASPECT, RARE = "aspect_outlier", "rare_class"
# Those that ``evaluate`` finds with a model (evaluation.analysis.answers.Doubt).
MODEL_KINDS = ("unannotated", "class_swap", "never_found")
# In the order in which they are listed: what spoils most comes first.
KINDS = (
    *(DUPLICATE, NEAR_DUPLICATE, *MODEL_KINDS),
    *(TWO_CLASSES, TWICE, TINY, WHOLE_IMAGE, ASPECT, RARE),
)

MIN_IOU = 0.95
# In pixels: an annotator cannot mean a box that is narrower.
MIN_SIDE = 2.0
# Share of the image's area.
WHOLE_SHARE = 0.99
# Fewer objects than this neither teach nor measure a class.
MIN_OBJECTS = 10
# Robust deviations of log(width / height) from the median of its class. 5 finds 26 of the 31,561
# boxes of VOC2012, 3.5 (the usual bound for numbers that are distributed normally) 209.
MAX_DEVIATIONS = 5.0
# A median of fewer objects says little.
_ENOUGH_OBJECTS = 20
# A robust deviation is 1.4826 times the median of the absolute deviations, which for a normal
# distribution is its standard deviation; at least a tenth, as classes of squares would have none.
_DEVIATION_OF_MAD, _MIN_DEVIATION = 1.4826, 0.1


@dataclass(frozen=True, slots=True)
class Suspect:
    """Something to look at; the greater ``severity``, the sooner.

    ``place`` is (set, record of the set), counted from 0, and ``other`` that of the other image or
    box of a pair. ``name`` is the class; ``box`` is [ymin, xmin, ymax, xmax] in [0, 1]. ``value``
    is the number in question: bits, IoU, pixels, share, deviations, or objects. Of a rare class,
    the largest object is shown; if it has none, the record is -1.
    """

    kind: str
    severity: float
    place: tuple[int, int]
    value: float
    explanation: str
    name: str = ""
    box: tuple[float, ...] | None = None
    other: tuple[int, int] | None = None
    other_name: str = ""


@dataclass(frozen=True)
class _Part:
    """One of the sets, with its number, from 0."""

    number: int
    name: str
    classes: Sequence[str]
    facts: Facts

    def suspect(
        self,
        kind: str,
        item: int,
        value: float,
        explanation: str,
        *,
        rises: bool = True,
        **more: Any,
    ) -> Suspect:
        """The suspect of object ``item``, the more severe the greater (or smaller) ``value``."""
        record = int(self.facts.image[item])
        return Suspect(
            kind=kind,
            severity=float(value if rises else -value),
            place=(self.number, record),
            value=float(value),
            explanation=explanation,
            name=self.class_of(item),
            box=tuple(self.facts.boxes[item].tolist()),
            **more,
        )

    def class_of(self, item: int) -> str:
        """The class name of object ``item``."""
        return self.classes[self.facts.labels[item] - 1]


def find_suspects(sets: Sequence[SearchedSet]) -> list[Suspect]:
    """Finds all suspects of some sets.

    Args:
        sets: of ``gather``.

    Returns:
        The suspects by kind, in the order of ``KINDS``, then by severity, then by place.
    """
    found = [*_twins(sets)]
    for number, one in enumerate(sets):
        part = _Part(number, one.name, one.manifest.class_names, one.facts)
        for find in (_doubled_boxes, _tiny_boxes, _huge_boxes, _odd_aspects, _rare_classes):
            found += find(part)
    return in_order(found)


def in_order(suspects: Iterable[Suspect]) -> list[Suspect]:
    """The suspects by kind, in the order of ``KINDS``, then by severity, then by place."""
    order = {kind: number for number, kind in enumerate(KINDS)}
    return sorted(suspects, key=lambda item: (order[item.kind], -item.severity, item.place))


def _twins(searched: Sequence[SearchedSet]) -> Iterator[Suspect]:
    """Images that are there twice, within a set or in two."""
    facts = [one.facts for one in searched]
    sets = np.repeat(np.arange(len(facts)), [len(part.source_ids) for part in facts])
    starts = np.cumsum([0, *(len(part.source_ids) for part in facts)])
    digests = [digest for part in facts for digest in part.digests]

    def twin(kind: str, pair: np.ndarray, distance: int) -> Suspect:
        (one, record), (other, other_record) = (
            (int(sets[image]), int(image - starts[sets[image]])) for image in pair
        )
        return Suspect(
            kind=kind,
            # Pairs of two sets first: they make scores untrue.
            severity=(near_duplicates.HASH_BITS if one != other else 0) - distance,
            place=(one, record),
            other=(other, other_record),
            value=distance,
            explanation=_explain_twins(kind, distance, one != other),
        )

    for pair in near_duplicates.equal_pairs(digests, sets):
        yield twin(DUPLICATE, pair, 0)
    images = np.flatnonzero(np.concatenate([part.comparable for part in facts]))
    hashes = np.concatenate([part.hashes for part in facts])[images]
    thumbnails = np.concatenate([part.thumbnails for part in facts])[images]
    pairs, distances = near_duplicates.similar_pairs(hashes, thumbnails, sets[images])
    for pair, distance in zip(images[pairs], distances):
        if digests[pair[0]] != digests[pair[1]]:
            yield twin(NEAR_DUPLICATE, pair, int(distance))


def _explain_twins(kind: str, distance: int, in_two_sets: bool) -> str:
    what = "the same image file"
    if kind == NEAR_DUPLICATE:
        what = (
            f"nearly the same picture ({distance} of {near_duplicates.HASH_BITS} bits differ): a "
            "copy or the next frame of a film"
        )
    if in_two_sets:
        return f"{what}, in two sets: if one trains and the other tests, scores come out too high"
    return f"{what}, twice in one set"


def _doubled_boxes(part: _Part) -> Iterator[Suspect]:
    """Boxes with nearly the edges of an earlier one of their image.

    Of a box, the most similar one of its class is taken, and the most similar one of another.
    """
    boxes, labels = part.facts.boxes.astype(np.float64), part.facts.labels
    best, partner = np.zeros([2, len(boxes)]), np.zeros([2, len(boxes)], np.int64)
    for one, other in near_duplicates.grouped_pairs(part.facts.image):
        overlaps = _iou(boxes[one], boxes[other])
        same = (labels[one] == labels[other]).astype(np.int64)
        better = (overlaps >= MIN_IOU) & (overlaps > best[same, other])
        best[same[better], other[better]] = overlaps[better]
        partner[same[better], other[better]] = one[better]
    for same, item in np.argwhere(best > 0).tolist():
        overlap, earlier = best[same, item], int(partner[same, item])
        names = part.class_of(earlier), part.class_of(item)
        box = f"the same box (IoU {overlap:.2f})"
        yield part.suspect(
            TWICE if same else TWO_CLASSES,
            item,
            overlap,
            f"{box} twice, both times {names[0]}: one too many?"
            if same
            else f"{box} is {names[0]} and {names[1]}: is one of them wrong?",
            other=(part.number, int(part.facts.image[item])),
            other_name=names[0],
        )


def _iou(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU [P] of boxes [P, 4]; all have an area."""
    sides = np.minimum(ones[:, 2:], others[:, 2:]) - np.maximum(ones[:, :2], others[:, :2])
    common = np.maximum(sides, 0.0).prod(axis=1)
    return common / (_areas(ones) + _areas(others) - common)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)


def _tiny_boxes(part: _Part) -> Iterator[Suspect]:
    sides = part.facts.sides
    shortest = sides.min(axis=1)
    # A hundredth of a pixel: edges are fractions, rounded to float32.
    for item in np.flatnonzero(shortest < MIN_SIDE - 0.01).tolist():
        height, width = sides[item]
        explanation = f"{width:.1f} pixels wide and {height:.1f} high: a slip of the mouse?"
        yield part.suspect(TINY, item, shortest[item], explanation, rises=False)


def _huge_boxes(part: _Part) -> Iterator[Suspect]:
    shares = _areas(part.facts.boxes.astype(np.float64))
    for item in np.flatnonzero(shares >= WHOLE_SHARE).tolist():
        explanation = f"covers {100 * shares[item]:.1f} % of the image: a placeholder?"
        yield part.suspect(WHOLE_IMAGE, item, shares[item], explanation)


def _odd_aspects(part: _Part) -> Iterator[Suspect]:
    """Boxes much wider or higher than those of their class usually are."""
    sides = part.facts.sides
    aspects = np.log(sides[:, 1] / sides[:, 0])
    for label in np.unique(part.facts.labels):
        items = np.flatnonzero(part.facts.labels == label)
        if len(items) < _ENOUGH_OBJECTS:
            continue
        median = np.median(aspects[items])
        spread = _DEVIATION_OF_MAD * np.median(np.abs(aspects[items] - median))
        deviations = np.abs(aspects[items] - median) / max(spread, _MIN_DEVIATION)
        for item, deviation in zip(items.tolist(), deviations):
            if deviation > MAX_DEVIATIONS:
                yield part.suspect(
                    ASPECT,
                    item,
                    deviation,
                    f"width / height is {np.exp(aspects[item]):.2g}, usual for "
                    f"{part.class_of(item)} is {np.exp(median):.2g} ({deviation:.1f} robust "
                    "deviations): several objects, a part of one, or wrong edges?",
                )


def _rare_classes(part: _Part) -> Iterator[Suspect]:
    labels = part.facts.labels
    counts = np.bincount(labels, minlength=len(part.classes) + 1)[1:]
    # A set without annotations says nothing about its classes.
    rare = np.flatnonzero(counts < MIN_OBJECTS).tolist() if len(labels) else []
    for label in (index + 1 for index in rare):
        name, count = part.classes[label - 1], int(counts[label - 1])
        few = f"only {count} objects, such as this one," if count > 1 else "only this object"
        what = f"{few} in {part.name}: too few to learn or to measure the class"
        if count:
            items = np.flatnonzero(labels == label)
            largest = int(items[np.argmax(_areas(part.facts.boxes[items]))])
            yield part.suspect(RARE, largest, count, what, rises=False)
        # A gap of a label map (label_map.fill_gaps) is no class.
        elif name != f"unused-{label}":
            yield Suspect(RARE, 0.0, (part.number, -1), 0.0, f"no object in {part.name}", name)
