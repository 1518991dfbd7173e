"""The periodic evaluation: the metrics, and the training loss on the evaluation set."""

from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.detection import pictures
from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.detector import Detector
from ssd_tfrecord.detection.ground_truth import read_ground_truths
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.evaluation.image_ids import image_ids
from ssd_tfrecord.evaluation.metrics import compute_metrics
from ssd_tfrecord.evaluation.set_loss import SetLoss
from ssd_tfrecord.keras import keras
from ssd_tfrecord.records.manifest import Manifest


class Validator:
    """Evaluates a model while it is being trained.

    Args:
        model: with its current weights at each call.
        anchors: float32 [A, 4].
        manifest: the evaluation set.
        config: of the run.
        strategy: the one that ``model`` was built under.

    Raises:
        InputError: the set has no images.
    """

    def __init__(
        self,
        model: keras.Model,
        anchors: np.ndarray,
        manifest: Manifest,
        config: TrainConfig,
        strategy: tf.distribute.Strategy,
    ) -> None:
        if not manifest.num_records:
            raise InputError(f"--eval_records={manifest.directory}: the set has no images")
        self._detector = Detector(
            model,
            anchors,
            manifest.class_names,
            config.detection,
            original_ids=manifest.original_ids,
            strategy=strategy,
        )
        self._manifest = manifest
        self._config = config
        self._ground_truths = read_ground_truths(manifest)
        self._detections: list[Detections] = []
        # Made once: each would be traced anew at every evaluation.
        self._images = self._detector.passes(
            manifest,
            batch_size=config.global_batch_size,
            num_workers=config.input.reading.num_workers,
        )
        self._loss = SetLoss(
            model,
            anchors,
            manifest,
            config.loss,
            strategy,
            batch_size=config.global_batch_size,
            num_workers=config.input.reading.num_workers,
        )

    @property
    def has_objects(self) -> bool:
        """Whether the set has an object that counts for ``best_metric``, which else is None."""
        # VOC's metrics ignore difficult objects and crowds; COCO's ignore crowds.
        is_voc = self._config.checkpoints.best_metric.startswith("voc")
        return any(
            (~(truth.crowd | (truth.difficult & is_voc))).any() for truth in self._ground_truths
        )

    def metrics(self) -> dict[str, Any]:
        """Detects on every image once; returns the numbers of metrics.json without ``step``."""
        self._detections = self._detector.detect_pass(
            self._images, self._manifest, self._ground_truths
        )
        return compute_metrics(
            self._ground_truths,
            self._detections,
            self._detector.class_names,
            self._detector.original_ids,
            image_ids=image_ids(
                [truth.source_id for truth in self._ground_truths],
                strings=self._manifest.has_string_ids,
            ),
        )

    def loss(self) -> float:
        """The training loss over every image once, without augmentation; 0 without any object."""
        return self._loss.measure()

    def waiting(self) -> float:
        """For how many seconds an evaluation has waited for a batch; for any thread."""
        return max(self._images.wait.seconds(), self._loss.waiting())

    def pictures(self, count: int) -> list[Image.Image]:
        """At most ``count`` pictures: detections of the last ``metrics`` beside ground truth."""
        # The first point of a run comes before its first evaluation.
        if not self._detections:
            return []
        drawn = pictures.record_pictures(
            self._manifest, self._ground_truths, self._detections, count
        )
        return [picture for _, picture in drawn]
