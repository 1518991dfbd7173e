"""Whole images for evaluation: every record once, warped to the network's input."""

from typing import NamedTuple

import tensorflow as tf

from ssd_tfrecord.data import order, rendering
from ssd_tfrecord.data.pipeline import PREFETCHED, check_counts, dataset_options
from ssd_tfrecord.records import schema
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.tracing import not_converted


class EvaluationBatch(NamedTuple):
    """B whole images to evaluate.

    ``images`` uint8 [B, S, S, 3] RGB, warped to a square; ``indices`` int64 [B] of the records;
    ``valid`` bool [B], False for the rows that fill up the last batch.
    """

    images: tf.Tensor
    indices: tf.Tensor
    valid: tf.Tensor


@not_converted
def evaluation_dataset(
    manifest: Manifest,
    *,
    input_size: int,
    batch_size: int,
    num_workers: int = 0,
    host: order.Host = order.Host(),
) -> tf.data.Dataset:
    """Every record once, in manifest order; the last batch is filled up and masked.

    Of several hosts, each has as many batches as ``num_evaluation_batches`` says.

    Args:
        manifest: of the set to evaluate on.
        input_size: side S of an image in pixels.
        batch_size: number B of images in a batch, of this host.
        num_workers: number of threads; 0: one per core.
        host: whose records.

    Returns:
        A dataset of ``EvaluationBatch``.

    Raises:
        InputError: ``input_size`` or ``batch_size`` is below 1.
    """
    check_counts(input_size=input_size, batch_size=batch_size)

    def sample(index: tf.Tensor, serialized: tf.Tensor) -> EvaluationBatch:
        record = schema.parse_example(serialized)
        size = tf.stack([record["height"], record["width"]])
        image = rendering.render_whole(record["encoded"], size, output_size=input_size)
        return EvaluationBatch(image, index, tf.constant(True))

    # Full batches only: one shape is one graph, and replicas get equal shares.
    num_batches = num_evaluation_batches(manifest, batch_size, host.count)
    filling = num_batches * batch_size - len(order.share(manifest.num_records, host))
    nothing = EvaluationBatch(
        images=tf.zeros([input_size, input_size, 3], tf.uint8),
        indices=tf.constant(-1, tf.int64),
        valid=tf.constant(False),
    )
    dataset = order.records_in_order([manifest], host).map(sample, tf.data.AUTOTUNE)
    dataset = dataset.concatenate(tf.data.Dataset.from_tensors(nothing).repeat(filling))
    dataset = dataset.batch(batch_size, drop_remainder=True)
    dataset = dataset.prefetch(PREFETCHED)
    return dataset.with_options(dataset_options(num_workers))


def num_evaluation_batches(manifest: Manifest, batch_size: int, num_hosts: int = 1) -> int:
    """How many batches ``evaluation_dataset`` makes on each of ``num_hosts`` hosts.

    Args:
        manifest: of the set to evaluate on.
        batch_size: number of images in a host's batch.
        num_hosts: that share the set.
    """
    largest = -(-manifest.num_records // num_hosts)
    return -(-largest // batch_size)
