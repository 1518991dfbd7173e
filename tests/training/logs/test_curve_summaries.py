"""PR curves as TensorBoard's own reader finds them."""

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from ssd_tfrecord.evaluation.analysis.curves import curves
from ssd_tfrecord.evaluation.analysis.matches import Matches
from ssd_tfrecord.training.logs import curve_summaries
from ssd_tfrecord.training.logs.summaries import Summaries


def _curves(num_classes=2):
    """Of class 1, scores 0.9 (right), 0.6 (wrong), 0.3 (right) of 4 objects; others have none."""
    matches = Matches(
        min_iou=0.5,
        true=np.array([True, False, True]),
        false=np.array([False, True, False]),
        objects=np.array([0, -1, 1]),
        order=np.arange(3),
        starts=np.array([0, *[3] * num_classes]),
        positives=np.array([4, *[0] * (num_classes - 1)]),
    )
    return curves(matches, np.float32([0.9, 0.6, 0.3]))


def test_tensorboard_reads_the_curves(tmp_path):
    summaries = Summaries(tmp_path, "voc07_map")
    summaries.curves(7, _curves(), ("cat", "no objects"), (4, 0))
    summaries.close()
    events = EventAccumulator(str(tmp_path / "eval"))
    events.Reload()
    names = events.PluginTagToContent("pr_curves")
    # A class without objects has no curve.
    assert set(names) == {"Precision-recall/all classes", "Precision-recall/cat"}
    (event,) = events.Tensors("Precision-recall/cat")
    assert event.step == 7
    values = make_ndarray(event.tensor_proto)
    assert values.shape == (6, 201)
    precision, recall = values[4], values[5]
    # Right, wrong and missed at these; TensorBoard cuts a curve where the first two are 0.
    np.testing.assert_array_equal(values[[0, 1, 3]][:, [0, 100, 140, 200]].T[0], [2, 1, 2])
    np.testing.assert_array_equal(values[[0, 1, 3]][:, [0, 100, 140, 200]].T[2], [1, 0, 3])
    # At thresholds 0, 0.5, 0.7 and 1: 2 of 3 right, 1 of 2, 1 of 1, nothing left.
    np.testing.assert_allclose(recall[[0, 100, 140, 200]], [0.5, 0.25, 0.25, 0])
    np.testing.assert_allclose(precision[[0, 100, 140, 200]], [2 / 3, 0.5, 1, 1])


def test_of_many_classes_only_the_curve_of_all_is_written():
    many = curve_summaries.MAX_CLASSES + 1
    made = list(curve_summaries.curve_summaries(_curves(many), ["x"] * many, [4] * many))
    assert [summary.value[0].tag for summary in made] == ["Precision-recall/all classes"]
