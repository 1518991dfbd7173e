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


def curve_summaries(curves: Curves, class_names: Sequence[str]) -> Iterator[Summary]:
    """The curve of all classes together, and of each of them that has objects.

    Args:
        curves: of the evaluation.
        class_names: of the labels 1, 2, ….
    """
    places = np.searchsorted(curves.thresholds, np.linspace(0, 1, _NUM_THRESHOLDS))
    places = np.minimum(places, len(curves.thresholds) - 1)
    yield _summary("all classes", curves.overall_precision[places], curves.overall_recall[places])
    if len(class_names) > MAX_CLASSES:
        return
    for name, precision, recall in zip(class_names, curves.precision, curves.recall):
        if not np.isnan(recall).all():
            yield _summary(plain(name), precision[places], recall[places])


def _summary(name: str, precision: np.ndarray, recall: np.ndarray) -> Summary:
    # Where nothing is detected, precision is undefined; the plugin draws it as 1.
    precision, recall = np.nan_to_num(precision, nan=1.0), np.nan_to_num(recall)
    # The counts are shown beside the curve. Of detection there are no true negatives, and the
    # others would need the number of objects: shares of them serve.
    false = recall * (1 / np.maximum(precision, 1e-9) - 1)
    # In the plugin's order: true and false positives, true and false negatives.
    rows = (recall, false, np.zeros_like(recall), 1 - recall, precision, recall)
    value = Summary.Value(
        tag=f"{GROUP}/{name}",
        tensor=make_tensor_proto(np.stack(rows).astype(np.float32)),
        metadata=create_summary_metadata(
            display_name=name, description="", num_thresholds=_NUM_THRESHOLDS
        ),
    )
    return Summary(value=[value])
