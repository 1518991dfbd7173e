"""Whether scores are probabilities: the reliability diagram."""

import numpy as np

from ssd_tfrecord.evaluation.analysis.answers import Calibration
from ssd_tfrecord.evaluation.analysis.matches import Matches

NUM_BINS = 10
# Lower scores are so many, and mean so little to users, that they would decide the error alone.
MIN_SCORE = 0.1


def calibrate(
    matches: Matches, scores: np.ndarray, min_score: float = MIN_SCORE, num_bins: int = NUM_BINS
) -> Calibration:
    """Compares the scores of detections with how many of them are true, in bins of equal width.

    Detections that are neither true nor false do not count. A bin holds its lower edge, the last
    one also 1; scores above 1 are in the last, scores below 0 in none.

    Args:
        matches: of ``match``.
        scores: float32 [N], of all detections.
        min_score: at least 0, the lowest score that counts.
        num_bins: B.

    Returns:
        The diagram; its error is NaN where no detection counts.
    """
    edges = np.arange(num_bins + 1) / num_bins
    counted = (matches.true | matches.false) & (scores >= max(0.0, min_score))
    # In float32, in which 0.1 stands for the score 0.1.
    bins = np.searchsorted(edges.astype(np.float32)[1:-1], scores[counted], side="right")
    counts = np.bincount(bins, minlength=num_bins)
    sums = (
        np.bincount(bins, weights=values[counted].astype(np.float64), minlength=num_bins)
        for values in (scores, matches.true)
    )
    # NaN, without a warning, in bins without detections.
    mean_score, precision = (total / np.where(counts, counts, np.nan) for total in sums)
    used = counts > 0
    gaps = np.abs(precision - mean_score)[used]
    error = float(np.average(gaps, weights=counts[used])) if used.any() else float("nan")
    return Calibration(
        min_iou=matches.min_iou,
        min_score=min_score,
        edges=edges,
        counts=counts,
        mean_score=mean_score,
        precision=precision,
        error=error,
    )
