"""A trained model as exports take it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from ssd_tfrecord.backbones import MEAN_RGB
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.detection.detector import Detector
from ssd_tfrecord.geometry.anchors import anchor_boxes
from ssd_tfrecord.keras import keras
from ssd_tfrecord.options import DetectionOptions
from ssd_tfrecord.runs.loaded_run import load_run


@dataclass(frozen=True)
class Exportable:
    """A trained model, its anchors, classes and thresholds.

    ``anchors`` are float32 [A, 4] as [ymin, xmin, ymax, xmax] in [0, 1]; label i is
    ``class_names[i - 1]`` with ``original_ids[i - 1]``; ``input_size`` is the side S of the input
    in pixels. ``detector`` is what every export is compared with; ``run`` names the run, and
    ``config`` is its.
    """

    run: str
    step: int
    config: TrainConfig
    model: keras.Model
    anchors: np.ndarray
    class_names: tuple[str, ...]
    original_ids: tuple[int, ...]
    options: DetectionOptions
    detector: Detector

    @property
    def input_size(self) -> int:
        """Side of the square input, in pixels."""
        return int(self.model.input_shape[1])

    @property
    def num_classes(self) -> int:
        """Number of classes, without the background."""
        return len(self.class_names)

    def outputs(self, levels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The network on RGB levels, in plain operations that every converter knows.

        ``pixels.color.subtract_mean`` is compiled by XLA, which no other format can hold.

        Args:
            levels: float32 [B, S, S, 3], 0 to 255, as ``pixels.resampling.resample`` gives them.

        Returns:
            (offsets float32 [B, A, 4] as (ty, tx, th, tw), logits float32 [B, A, C + 1]).
        """
        found = self.model(levels - tf.constant(MEAN_RGB), training=False)
        return found["offsets"], found["logits"]


def load_exportable(run_dir: str, checkpoint: str, options: DetectionOptions) -> Exportable:
    """Loads the model of a run.

    Args:
        run_dir: the run folder.
        checkpoint: best, last or a path, as ``--checkpoint``.
        options: thresholds and counts of the exports.

    Raises:
        InputError: the folder is not a run's, or there is no such checkpoint.
    """
    run = load_run(run_dir, checkpoint)
    anchors = anchor_boxes(run.config.anchors, run.config.model.maps)
    ids: Sequence[int] = run.original_ids
    detector = Detector(
        run.model, anchors, run.class_names, options, original_ids=ids, step=run.step
    )
    return Exportable(
        run=run_dir,
        step=run.step,
        config=run.config,
        model=run.model,
        anchors=anchors,
        class_names=run.class_names,
        original_ids=run.original_ids,
        options=options,
        detector=detector,
    )
