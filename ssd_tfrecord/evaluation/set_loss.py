"""The training loss on an evaluation set: every image once, without augmentation."""

import numpy as np
import tensorflow as tf

from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.order import Host
from ssd_tfrecord.data.passes import Passes
from ssd_tfrecord.data.pipeline import Batch
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import losses
from ssd_tfrecord.model.targets import assign_targets
from ssd_tfrecord.options import (
    ColorOptions,
    FramingOptions,
    InputOptions,
    LossOptions,
    ReadOptions,
)
from ssd_tfrecord.records.manifest import Manifest


class SetLoss:
    """Measures the loss of a model on a set, however often, with one pipeline.

    Args:
        model: with its current weights at each call; made in the scope of ``strategy``.
        anchors_A4: float32 [A, 4].
        manifest: the evaluation set.
        options: of the loss.
        strategy: whose replicas share a batch.
        batch_size: images per batch over all replicas, a multiple of their number.
        num_workers: threads of the input pipeline; 0: one per core.
        host: whose share of the images.
    """

    def __init__(
        self,
        model: keras.Model,
        anchors_A4: np.ndarray,
        manifest: Manifest,
        options: LossOptions,
        strategy: tf.distribute.Strategy,
        *,
        batch_size: int,
        num_workers: int = 0,
        host: Host = Host(),
    ) -> None:
        self._model = model
        self._anchors = anchors_A4
        self._options = options
        self._strategy = strategy
        self._batches = Passes(
            lambda: loss_dataset(manifest, model.input_shape[1], batch_size, num_workers, host),
            num_loss_batches(manifest, batch_size),
            strategy,
        )
        self._sums = tf.function(self._replica_sums, autograph=False)

    def measure(self) -> float:
        """The loss per positive anchor, as in training; 0 without any object."""
        return mean_loss(self.sums())

    def sums(self) -> np.ndarray:
        """(weighted loss, positives), summed over the images of this host: float32 [2]."""
        # Sums, not means of batches: the last batch has fewer objects, and replicas differ too.
        sums = tf.zeros([2])
        for batch in self._batches:
            sums += self._sums(batch)
        return sums.numpy()

    def waiting(self) -> float:
        """For how many seconds it has waited for a batch; for any thread."""
        return self._batches.wait.seconds()

    def _replica_sums(self, batch: Batch) -> tf.Tensor:
        """(weighted loss, positives) summed over the batch and this host's replicas: [2]."""

        def replica_fn(batch: Batch) -> tf.Tensor:
            # Without augmentation no colours change, whatever the options.
            images = pipeline.network_images(batch, ColorOptions())
            anchors = tf.constant(self._anchors)
            targets, _ = assign_targets(batch.boxes, batch.labels, anchors)
            outputs = self._model(images, training=False)
            class_sum, box_sum, positives = losses.multibox_sums(
                outputs, targets, anchors, self._options
            )
            total = class_sum + self._options.box_loss_weight * box_sum
            return tf.stack([total, positives])

        sums = self._strategy.run(replica_fn, args=(batch,))
        # Not the strategy's reduce, which would wait for other hosts.
        return tf.add_n(self._strategy.experimental_local_results(sums))


def mean_loss(sums: np.ndarray) -> float:
    """The loss per positive anchor; 0 without any object.

    Args:
        sums: of ``SetLoss.sums``, of all hosts together.
    """
    total, positives = (float(value) for value in sums)
    return total / positives if positives else 0.0


def loss_dataset(
    manifest: Manifest,
    input_size: int,
    batch_size: int,
    num_workers: int = 0,
    host: Host = Host(),
) -> tf.data.Dataset:
    """Full batches without augmentation that contain the objects of every record once.

    The last batch is filled up with records of the next epoch, whose labels are set to 0: they add
    nothing to the sums.

    Args:
        manifest: the evaluation set.
        input_size: side of the images in pixels.
        batch_size: number of images in a batch of all hosts.
        num_workers: threads of the input pipeline; 0: one per core.
        host: whose share of each batch.
    """

    def keep_first_epoch(number: tf.Tensor, batch: Batch) -> Batch:
        place = tf.range(host.index, batch_size, host.count, dtype=tf.int64)
        position = number * batch_size + place
        first = position < manifest.num_records
        return batch._replace(labels=tf.where(first[:, tf.newaxis], batch.labels, 0))

    dataset = pipeline.batches(
        RecordReader((manifest,)),
        InputOptions(
            framing=FramingOptions(augmentation="none"),
            reading=ReadOptions(num_workers=num_workers),
        ),
        input_size=input_size,
        batch_size=batch_size,
        seed=0,
        host=host,
    )
    dataset = dataset.take(num_loss_batches(manifest, batch_size))
    return dataset.enumerate().map(keep_first_epoch)


def num_loss_batches(manifest: Manifest, batch_size: int) -> int:
    """The number of batches of ``loss_dataset``."""
    return -(-manifest.num_records // batch_size)
