"""From ground truth and detections to all that is known about them."""

from ssd_tfrecord.evaluation import measurement
from ssd_tfrecord.evaluation.analysis.answering import answer
from ssd_tfrecord.evaluation.average_precision import average_precisions
from ssd_tfrecord.evaluation.evaluated_set import EvaluatedSet
from ssd_tfrecord.evaluation.metrics import mean_ap, measure
from ssd_tfrecord.evaluation.origins import Outcome
from ssd_tfrecord.evaluation.overlaps import find_overlaps
from ssd_tfrecord.evaluation.scored_set import score_set


def judge(outcome: Outcome, *, bootstrap: int = 1000) -> EvaluatedSet:
    """Computes metrics and answers.

    Args:
        outcome: the detections on a set.
        bootstrap: number of samples for the intervals; 0: none.
    """
    annotated, measured = outcome.annotated, outcome.measured
    scored = score_set(annotated.truths, outcome.detections, annotated.class_names)
    overlaps = find_overlaps(scored)
    metrics = measure(scored, overlaps, annotated.original_ids, annotated.image_ids)
    answers = answer(scored, overlaps, bootstrap=bootstrap, anchors=outcome.anchors)
    best = answers.curves.overall_best
    metrics |= {
        "voc12_map75": mean_ap(average_precisions(scored, overlaps, 0.75)[1]),
        "best_threshold": best.threshold,
        "precision": best.precision,
        "recall": best.recall,
        "f1": best.f1,
        "intervals": {name: list(ends) for name, ends in answers.intervals.items()},
        **({} if outcome.loss is None else {"loss": outcome.loss}),
        "step": measured.get("step"),
        "measured": dict(measured),
    }
    return EvaluatedSet(
        name=annotated.name,
        scored=scored,
        overlaps=overlaps,
        metrics=metrics,
        answers=answers,
        facts=measurement.facts(measured),
        read_images=annotated.read_images,
        locate_record=annotated.locate_record if annotated.manifest else None,
    )
