"""The periodic evaluation: the metrics, and the training loss on the evaluation set."""

from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.passes import Passes
from ssd_tfrecord.data.pipeline import Batch
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.detection import pictures
from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.detector import Detector
from ssd_tfrecord.detection.ground_truth import read_ground_truths
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.evaluation.image_ids import image_ids
from ssd_tfrecord.evaluation.metrics import compute_metrics
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import losses
from ssd_tfrecord.options import ColorOptions, FramingOptions, InputOptions, ReadOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training.step import assign_targets


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
        self._model = model
        self._detector = Detector(
            model,
            anchors,
            manifest.class_names,
            config.detection,
            original_ids=manifest.original_ids,
            strategy=strategy,
        )
        self._anchors = anchors
        self._manifest = manifest
        self._config = config
        self._strategy = strategy
        self._ground_truths = read_ground_truths(manifest)
        self._detections: list[Detections] = []
        # Made once: each would be traced anew at every evaluation.
        self._images = self._detector.passes(
            manifest,
            batch_size=config.global_batch_size,
            num_workers=config.input.reading.num_workers,
        )
        self._samples = Passes(
            lambda: loss_dataset(manifest, config), num_loss_batches(manifest, config), strategy
        )
        self._loss_sums = tf.function(self._replica_loss_sums, autograph=False)

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
        # Sums, not means of batches: the last batch has fewer objects, and replicas differ too.
        sums = tf.zeros([2])
        for batch in self._samples:
            sums += self._loss_sums(batch)
        total, positives = (float(value) for value in sums)
        return total / positives if positives else 0.0

    def waiting(self) -> float:
        """For how many seconds an evaluation has waited for a batch; for any thread."""
        return max(self._images.wait.seconds(), self._samples.wait.seconds())

    def pictures(self, count: int) -> list[Image.Image]:
        """At most ``count`` pictures: detections of the last ``metrics`` beside ground truth."""
        # The first point of a run comes before its first evaluation.
        if not self._detections:
            return []
        drawn = pictures.record_pictures(
            self._manifest, self._ground_truths, self._detections, count
        )
        return [picture for _, picture in drawn]

    def _replica_loss_sums(self, batch: Batch) -> tf.Tensor:
        """(weighted loss, positives) summed over the batch and all replicas: float32 [2]."""

        def replica_fn(batch: Batch) -> tf.Tensor:
            # Without augmentation no colours change, whatever the options.
            images = pipeline.network_images(batch, ColorOptions())
            anchors = tf.constant(self._anchors)
            targets, _ = assign_targets(batch.boxes, batch.labels, anchors)
            options = self._config.loss
            outputs = self._model(images, training=False)
            class_sum, box_sum, positives = losses.multibox_sums(outputs, targets, anchors, options)
            return tf.stack([class_sum + options.box_loss_weight * box_sum, positives])

        sums = self._strategy.run(replica_fn, args=(batch,))
        return self._strategy.reduce("SUM", sums, axis=None)


def loss_dataset(manifest: Manifest, config: TrainConfig) -> tf.data.Dataset:
    """Full batches without augmentation that contain the objects of every record once.

    The last batch is filled up with records of the next epoch, whose labels are set to 0: they add
    nothing to the sums.

    Args:
        manifest: the evaluation set.
        config: of the run.
    """
    batch_size = config.global_batch_size

    def keep_first_epoch(number: tf.Tensor, batch: Batch) -> Batch:
        position = number * batch_size + tf.range(batch_size, dtype=tf.int64)
        first = position < manifest.num_records
        return batch._replace(labels=tf.where(first[:, tf.newaxis], batch.labels, 0))

    dataset = pipeline.batches(
        RecordReader((manifest,)),
        InputOptions(
            framing=FramingOptions(augmentation="none"),
            reading=ReadOptions(num_workers=config.input.reading.num_workers),
        ),
        input_size=config.model.input_size,
        batch_size=batch_size,
        seed=0,
    )
    dataset = dataset.take(num_loss_batches(manifest, config))
    return dataset.enumerate().map(keep_first_epoch)


def num_loss_batches(manifest: Manifest, config: TrainConfig) -> int:
    """The number of batches of ``loss_dataset``."""
    return -(-manifest.num_records // config.global_batch_size)
