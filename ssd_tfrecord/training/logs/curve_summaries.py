"""TensorBoard's PR curves, from those of an evaluation."""

from collections.abc import Iterator, Sequence

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.pr_curve.metadata import create_summary_metadata
from tensorboard.util.tensor_util import make_tensor_proto

from ssd_tfrecord.evaluation.analysis.answers import Curves
from ssd_tfrecord.training.logs.flag_tables import plain

GROUP = "Precision-recall"
# Of more classes than this, only the curve of all together: each is a chart of its own.
MAX_CLASSES = 20
# Evenly from 0 to 1, as the plugin expects them.
_NUM_THRESHOLDS = 201


def curve_summaries(
    curves: Curves, class_names: Sequence[str], positives: Sequence[int]
) -> Iterator[Summary]:
    """The curve of all classes together, and of each of them that has objects.

    Args:
        curves: of the evaluation.
        class_names: of the labels 1, 2, ….
        positives: number of objects of each class that are to be found.
    """
    places = np.searchsorted(curves.thresholds, np.linspace(0, 1, _NUM_THRESHOLDS))
    places = np.minimum(places, len(curves.thresholds) - 1)
    precision, recall = curves.overall_precision[places], curves.overall_recall[places]
    yield _summary("all classes", precision, recall, sum(positives))
    if len(class_names) > MAX_CLASSES:
        return
    classes = zip(class_names, positives, curves.precision, curves.recall)
    for name, count, precision, recall in classes:
        if count:
            yield _summary(plain(name), precision[places], recall[places], count)


def _summary(name: str, precision: np.ndarray, recall: np.ndarray, positives: int) -> Summary:
    # Where nothing is detected, precision is undefined; the plugin draws it as 1.
    precision, recall = np.nan_to_num(precision, nan=1.0), np.nan_to_num(recall)
    # Whole numbers: the plugin cuts the curve where these two are 0. Detection has no true
    # negatives.
    true = np.round(recall * positives)
    false = np.round(true * (1 / np.maximum(precision, 1e-9) - 1))
    # In the plugin's order: true and false positives, true and false negatives.
    rows = (true, false, np.zeros_like(recall), positives - true, precision, recall)
    value = Summary.Value(
        tag=f"{GROUP}/{name}",
        tensor=make_tensor_proto(np.stack(rows).astype(np.float32)),
        metadata=create_summary_metadata(
            display_name=name, description="", num_thresholds=_NUM_THRESHOLDS
        ),
    )
    return Summary(value=[value])
