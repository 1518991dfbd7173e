"""The periodic evaluation: metrics.json's numbers, and the training loss on the evaluation set."""

import tensorflow as tf

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.detection import pictures
from ssd_tfrecord.detection.detector import Detector
from ssd_tfrecord.detection.ground_truth import read_ground_truths
from ssd_tfrecord.evaluation.metrics import compute_metrics
from ssd_tfrecord.model import losses
from ssd_tfrecord.options import ColorOptions, FramingOptions, InputOptions, ReadOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training.step import assign_targets


class Validator:
    """Evaluates ``model`` on ``manifest`` as ``config`` says."""

    def __init__(self, model, anchors, manifest: Manifest, config: TrainConfig, strategy):
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
        self._detections = []
        self._loss_sums = tf.function(self._replica_loss_sums, autograph=False)

    def metrics(self) -> dict:
        """Detects on every image once; the numbers of metrics.json but ``step``."""
        self._detections = self._detector.detect_records(
            self._manifest,
            self._ground_truths,
            batch_size=self._config.global_batch_size,
            num_workers=self._config.input.reading.num_workers,
        )
        return compute_metrics(
            self._ground_truths,
            self._detections,
            self._detector.class_names,
            self._detector.original_ids,
        )

    def loss(self) -> float:
        """The training loss without augmentation, over every image once; 0 without objects."""
        dataset = loss_dataset(self._manifest, self._config)
        sums = tf.zeros([2])
        for batch in self._strategy.experimental_distribute_dataset(dataset):
            sums += self._loss_sums(batch)
        total, positives = (float(value) for value in sums)
        return total / positives if positives else 0.0

    def pictures(self, count: int) -> list:
        """Detections of the last ``metrics`` beside ground truth: ``count`` Pillow images."""
        if not self._detections:
            return []
        drawn = pictures.record_pictures(
            self._manifest, self._ground_truths, self._detections, count
        )
        return [picture for _, picture in drawn]

    def _replica_loss_sums(self, batch):
        def replica_fn(batch):
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
    """Whole batches without augmentation that hold every record's objects once.

    The last batch is filled up from the next epoch; its labels are 0, which adds nothing.
    """
    batch_size = config.global_batch_size
    num_batches = -(-manifest.num_records // batch_size)

    def keep_first_epoch(number, batch):
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
    return dataset.take(num_batches).enumerate().map(keep_first_epoch)
