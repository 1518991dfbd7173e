"""All answers of a set."""

import numpy as np

from ssd_tfrecord.evaluation.analysis.anchorless import find_anchorless
from ssd_tfrecord.evaluation.analysis.answers import Answers
from ssd_tfrecord.evaluation.analysis.calibration import calibrate
from ssd_tfrecord.evaluation.analysis.confusion import confuse
from ssd_tfrecord.evaluation.analysis.curves import curves, kept_at_best
from ssd_tfrecord.evaluation.analysis.doubts import find_doubts
from ssd_tfrecord.evaluation.analysis.error_split import split_errors
from ssd_tfrecord.evaluation.analysis.intervals import NUM_SAMPLES, intervals
from ssd_tfrecord.evaluation.analysis.matches import match
from ssd_tfrecord.evaluation.analysis.worst_images import worst_images
from ssd_tfrecord.evaluation.overlaps import Overlaps
from ssd_tfrecord.evaluation.scored_set import ScoredSet


def answer(
    scored: ScoredSet,
    overlaps: Overlaps,
    *,
    bootstrap: int = NUM_SAMPLES,
    seed: int = 0,
    anchors: np.ndarray | None = None,
) -> Answers:
    """Everything that the boxes of a set answer beyond its metrics.

    5,000 images with 100 detections of 80 classes take some 2 s, and intervals of 1,000 samples
    another 4 s, of one core.

    Args:
        scored: the set.
        overlaps: of ``find_overlaps``, of it.
        bootstrap: samples for the intervals, or 0 for none; see ``intervals``.
        seed: of these samples.
        anchors: float32 [A, 4] in [0, 1], of the network, if it has any.
    """
    matches = match(scored, overlaps)
    found = curves(matches, scored.found.scores)
    kept = kept_at_best(found, scored.found.labels, scored.found.scores)
    true, false = matches.true & kept, matches.false & kept
    missed = ~scored.objects.ignored
    missed[matches.objects[true]] = False
    return Answers(
        curves=found,
        confusion=confuse(scored, overlaps),
        errors=split_errors(scored, overlaps),
        calibration=calibrate(matches, scored.found.scores),
        worst=worst_images(scored, matches, false, missed),
        doubts=find_doubts(scored, overlaps),
        true=true,
        false=false,
        missed=missed,
        intervals=intervals(scored, overlaps, bootstrap, seed),
        anchorless=None if anchors is None else find_anchorless(scored, anchors),
    )
