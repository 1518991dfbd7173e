"""Places where the annotation may be wrong, rather than the model."""

from collections.abc import Iterator

import numpy as np

from ssd_tfrecord.evaluation.analysis.answers import CLASS_SWAP, NEVER_FOUND, UNANNOTATED, Doubt
from ssd_tfrecord.evaluation.analysis.matches import MIN_IOU, best_partners
from ssd_tfrecord.evaluation.overlaps import Overlaps
from ssd_tfrecord.evaluation.scored_set import ScoredSet

# A detection of this score is sure.
MIN_SCORE = 0.5
# Of each kind; more than that nobody looks through.
MAX_DOUBTS = 200


def find_doubts(
    scored: ScoredSet,
    overlaps: Overlaps,
    min_score: float = MIN_SCORE,
    min_iou: float = MIN_IOU,
    max_doubts: int = MAX_DOUBTS,
) -> tuple[Doubt, ...]:
    """Finds where model and annotation differ so much that the annotation may be at fault.

    - ``unannotated``: a detection of at least ``min_score`` that overlaps no object of any class
      (IoU below 0.1, and not in a crowd), by falling score. Of several on one place, the first.
    - ``class_swap``: a detection of at least ``min_score`` on an object of another class, with an
      IoU of at least ``min_iou``, by how much its score exceeds that of the best detection there of
      the object's class. Of several on one object, that of the highest score.
    - ``never_found``: an object that overlaps no detection of any class and score, by falling size.

    Difficult objects and crowds are not doubted.

    Args:
        scored: the set.
        overlaps: its pairs of an IoU of at least 0.1.
        min_score: of a sure detection.
        min_iou: from which a detection is on an object.
        max_doubts: the most to return of each kind.

    Returns:
        The doubts by kind, in the order above, then by falling severity, then by their place.
    """
    return (
        *_unannotated(scored, overlaps, min_score, min_iou, max_doubts),
        *_class_swaps(scored, overlaps, min_score, min_iou, max_doubts),
        *_never_found(scored, overlaps, max_doubts),
    )


def _unannotated(
    scored: ScoredSet, overlaps: Overlaps, min_score: float, min_iou: float, max_doubts: int
) -> Iterator[Doubt]:
    found = scored.found
    alone = found.scores >= min_score
    alone[overlaps.found] = False
    rows = np.flatnonzero(alone)
    rows = rows[np.argsort(-found.scores[rows], kind="stable")]
    # {image: boxes of its doubts so far}
    taken: dict[int, list[np.ndarray]] = {}
    count = 0
    for row in rows.tolist():
        if count == max_doubts:
            return
        image, box = int(found.image[row]), found.boxes[row]
        boxes = taken.setdefault(image, [])
        if boxes and _ious(box, np.stack(boxes)).max() >= min_iou:
            continue
        boxes.append(box)
        count += 1
        score, name = float(found.scores[row]), scored.class_names[found.labels[row] - 1]
        yield Doubt(
            kind=UNANNOTATED,
            severity=score,
            image=image,
            found=row,
            object=-1,
            value=score,
            explanation=f"{name} detected with a score of {score:.2f} where nothing is annotated: "
            "was it forgotten?",
        )


def _class_swaps(
    scored: ScoredSet, overlaps: Overlaps, min_score: float, min_iou: float, max_doubts: int
) -> Iterator[Doubt]:
    found, objects = scored.found, scored.objects
    near = (overlaps.ious >= min_iou) & ~objects.ignored[overlaps.objects]
    one, other = overlaps.found[near], overlaps.objects[near]
    scores = found.scores[one].astype(np.float64)
    same = found.labels[one] == objects.labels[other]
    own = np.zeros(len(objects.labels))
    np.maximum.at(own, other[same], scores[same])
    swaps = ~same & (scores >= min_score) & (scores > own[other])
    best = best_partners(other[swaps], one[swaps], scores[swaps], len(own))
    items = np.flatnonzero(best >= 0)
    excess = found.scores[best[items]] - own[items]
    items, excess = _severest(items, excess, max_doubts)
    for item, severity in zip(items.tolist(), excess.tolist()):
        row = int(best[item])
        score = float(found.scores[row])
        name = scored.class_names[objects.labels[item] - 1]
        better = f"only {own[item]:.2f}" if own[item] else "not at all"
        yield Doubt(
            kind=CLASS_SWAP,
            severity=severity,
            image=int(objects.image[item]),
            found=row,
            object=item,
            value=score,
            explanation=f"annotated as {name}, but detected as "
            f"{scored.class_names[found.labels[row] - 1]} with a score of {score:.2f} (as {name} "
            f"{better}): is the annotated class right?",
        )


def _never_found(scored: ScoredSet, overlaps: Overlaps, max_doubts: int) -> Iterator[Doubt]:
    objects = scored.objects
    untouched = ~objects.ignored
    untouched[overlaps.objects] = False
    items = np.flatnonzero(untouched)
    areas = (objects.boxes[items, 2:] - objects.boxes[items, :2]).prod(axis=1)
    shares = areas / np.maximum(scored.sizes[objects.image[items]].prod(axis=1), 1)
    items, shares = _severest(items, shares, max_doubts)
    for item, share in zip(items.tolist(), shares.tolist()):
        name = scored.class_names[objects.labels[item] - 1]
        yield Doubt(
            kind=NEVER_FOUND,
            severity=share,
            image=int(objects.image[item]),
            found=-1,
            object=item,
            value=share,
            explanation=f"{name} that covers {100 * share:.2g} % of the image, but nothing is "
            "detected on it, at whatever score: is it there?",
        )


def _severest(
    items: np.ndarray, severities: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The ``count`` items of the highest severities, by falling severity."""
    order = np.argsort(-severities, kind="stable")[:count]
    return items[order], severities[order]


def _ious(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU of ``box`` [4] with each of ``others`` [K, 4]."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = np.maximum(sides, 0.0).prod(axis=1)
    areas = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1)
    return common / np.maximum(areas - common, 1e-9)
