"""An exported file against the Detector: the same boxes, scores, classes and AP?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.evaluation.average_precision import average_precisions
from ssd_tfrecord.evaluation.metrics import mean_ap
from ssd_tfrecord.evaluation.overlaps import find_overlaps
from ssd_tfrecord.evaluation.scored_set import score_set
from ssd_tfrecord.exporting.exported_file import Tolerance
from ssd_tfrecord.options import DetectionOptions

# Corners that are further apart, as fractions of the image, are not those of one detection.
_SAME = 0.05


@dataclass(frozen=True)
class Parity:
    """How a file's detections compare with the Detector's on some images.

    ``num_reference`` and ``num_found`` count all detections, ``num_unmatched`` those that only one
    of the two has, without those whose score lies on a threshold. ``box`` and ``score`` are the
    largest differences of those that both have: of a corner, as a fraction of the image, and of a
    score. ``ap_reference`` and ``ap`` are VOC07 mAP; None without objects.
    """

    num_images: int
    num_reference: int
    num_found: int
    num_unmatched: int
    box: float
    score: float
    ap_reference: float | None
    ap: float | None

    @property
    def unmatched(self) -> float:
        """The share of detections that only one of the two has."""
        return self.num_unmatched / max(1, self.num_reference + self.num_found)

    def faults(self, tolerance: Tolerance) -> list[str]:
        """What is further apart than ``tolerance`` allows, in words; empty if nothing is."""
        found = []
        if tolerance.box is not None and self.box > tolerance.box:
            found.append(f"boxes differ by {self.box:.2g} of the image (at most {tolerance.box:g})")
        if tolerance.score is not None and self.score > tolerance.score:
            found.append(f"scores differ by {self.score:.2g} (at most {tolerance.score:g})")
        if tolerance.box is not None and self.unmatched > tolerance.unmatched:
            found.append(
                f"{self.num_unmatched} of {self.num_reference + self.num_found} detections are of "
                f"only one of the two (at most {tolerance.unmatched:.2%})"
            )
        aps = (self.ap or 0.0, self.ap_reference or 0.0)
        below = aps[1] - aps[0]
        # An integer model is another one: where its mAP is higher, there is nothing to refuse.
        if (below if tolerance.box is None else abs(below)) > tolerance.ap:
            found.append(f"mAP is {aps[0]:.4f} instead of {aps[1]:.4f} (at most {tolerance.ap:g})")
        return found


def compare(
    reference: Sequence[Detections],
    found: Sequence[Detections],
    truths: Sequence[GroundTruth],
    class_names: Sequence[str],
    options: DetectionOptions,
    tolerance: Tolerance,
) -> Parity:
    """Compares the detections of the same images.

    Args:
        reference: the Detector's.
        found: the exported file's.
        truths: the images' objects.
        class_names: of the labels 1, 2, ….
        options: thresholds of both.
        tolerance: how far a score may be from a threshold for the detection not to count as one
            that is missing.
    """
    rows = [
        _pairs(one, other, options, tolerance.score or 0.01)
        for one, other in zip(reference, found, strict=True)
    ]
    return Parity(
        num_images=len(reference),
        num_reference=sum(len(item.scores) for item in reference),
        num_found=sum(len(item.scores) for item in found),
        num_unmatched=sum(row.unmatched for row in rows),
        box=max((row.box for row in rows), default=0.0),
        score=max((row.score for row in rows), default=0.0),
        ap_reference=voc07_map(truths, reference, class_names),
        ap=voc07_map(truths, found, class_names),
    )


def voc07_map(
    truths: Sequence[GroundTruth], detections: Sequence[Detections], class_names: Sequence[str]
) -> float | None:
    """VOC07 mAP, as in metrics.json; None where no object counts."""
    scored = score_set(truths, detections, class_names)
    return mean_ap(average_precisions(scored, find_overlaps(scored))[0])


@dataclass(frozen=True)
class _Pairs:
    box: float
    score: float
    unmatched: int


def _pairs(
    reference: Detections, found: Detections, options: DetectionOptions, margin: float
) -> _Pairs:
    """Pairs the detections of one image: of each of the reference the nearest of its label."""
    boxes, scores = [0.0], [0.0]
    free = np.ones(len(found.scores), bool)
    missed = []
    for box, score, label in zip(reference.boxes, reference.scores, reference.labels):
        distances = np.abs(found.boxes - box).max(axis=1, initial=0.0)
        distances[~free | (found.labels != label)] = np.inf
        best = int(distances.argmin()) if len(distances) else -1
        if best < 0 or distances[best] > _SAME:
            missed.append(score)
            continue
        free[best] = False
        boxes.append(float(distances[best]))
        scores.append(abs(float(found.scores[best]) - float(score)))
    # What one of the two has just above a threshold, the other may have just below.
    unmatched = np.count_nonzero(np.array(missed) > _lowest(found, options) + margin)
    unmatched += np.count_nonzero(found.scores[free] > _lowest(reference, options) + margin)
    return _Pairs(max(boxes), max(scores), int(unmatched))


def _lowest(detections: Detections, options: DetectionOptions) -> float:
    """The score above which an image's detection must be among ``detections``."""
    if len(detections.scores) < options.max_detections:
        return options.score_threshold
    return max(options.score_threshold, float(detections.scores.min()))
