"""The boxes that the network sees in training: the records' own, framed as the run frames them.

Zoom-out and crop change sizes more than resizing does, so anchors are judged by what they leave. No
image is decoded: framing needs only boxes and sizes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.reading import RecordReader, first_damaged
from ssd_tfrecord.options import InputOptions
from ssd_tfrecord.records import schema
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.tracing import not_converted

# Enough for a share of them within half a percentage point, were they independent: its standard
# error is at most sqrt(0.25 / 20,000), 0.35 points.
LIMIT = 20_000
# Samples to draw. Fewer images are drawn several times: each time, the zoom is another.
_SAMPLES = 2_000
_MAX_EPOCHS = 20
# As a training batch: 350 windows are compared with each object, which takes 90 MB with a thousand
# objects in an image.
_SAMPLES_AT_ONCE = 64

# All published SSDs but MobileNetV3's halve their input three times before the finest map: one cell
# is 8 x 8 pixels.
LOST_SIDE = 8.0


class SeenBoxes(NamedTuple):
    """N boxes in training samples.

    ``boxes`` float32 [N, 4] as [ymin, xmin, ymax, xmax] in [0, 1] of the sample; ``images`` int64
    [N], the records that they come from, which run on from one set to the next; ``num_samples``,
    the samples that were drawn.
    """

    boxes: np.ndarray
    images: np.ndarray
    num_samples: int


def seen_boxes(
    manifests: Sequence[Manifest],
    options: InputOptions,
    *,
    input_size: int,
    seed: int = 0,
    limit: int = LIMIT,
) -> SeenBoxes:
    """Frames the samples of a run's first epochs, without their pixels.

    Of more than 2,000 records as many are read, evenly spaced, for one epoch; of fewer all are, for
    several epochs, 20 at most (one without augmentation, as all are the same). Each sample is the
    run's own: framing depends on the seed, the epoch and the record alone. Takes 1 CPU s.

    Args:
        manifests: of the sets to train on.
        options: of the run's input pipeline.
        input_size: side of a sample in pixels.
        seed: of the run.
        limit: the most boxes to return; of more, evenly spaced ones are returned.

    Returns:
        The boxes that are trained on: those that framing keeps, without crowds. Equal arguments
        give equal boxes.

    Raises:
        DamagedRecordError: a record is damaged, and ``options`` are not to skip it.
    """
    num_records = sum(manifest.num_records for manifest in manifests)
    count = min(num_records, _SAMPLES)
    epochs = min(_MAX_EPOCHS, -(-_SAMPLES // max(1, count)))
    if options.framing.augmentation == "none":
        epochs = 1  # the others are the same
    asked = np.arange(count) * num_records // max(1, count)
    boxes, images = [np.zeros([0, 4], np.float32)], [np.zeros([0], np.int64)]
    try:
        for group in _framed(manifests, options, asked, epochs, input_size=input_size, seed=seed):
            boxes.append(group[0].numpy())
            images.append(group[1].numpy())
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError):
        # TensorFlow does not say which record of which shard it is.
        if damaged := first_damaged(manifests):
            raise damaged from None
        raise
    all_boxes, all_images = np.concatenate(boxes), np.concatenate(images)
    taken = min(limit, len(all_boxes))
    evenly = np.arange(taken) * len(all_boxes) // max(1, taken)
    return SeenBoxes(all_boxes[evenly], all_images[evenly], count * epochs)


@not_converted
def _framed(
    manifests: Sequence[Manifest],
    options: InputOptions,
    asked: np.ndarray,
    epochs: int,
    *,
    input_size: int,
    seed: int,
) -> tf.data.Dataset:
    """A dataset of (boxes [N, 4], images [N]) of a few of the records ``asked`` at a time."""
    # A run that streams its records frames them alike.
    source = RecordReader(manifests, options.reading.on_bad_record)

    def boxes_of(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        _, serialized = source.read_batch(indices)
        parsed = schema.parse_batch(serialized)
        # The image is needed no more, and would be copied for every epoch.
        parsed = parsed._replace(encoded=tf.zeros_like(parsed.encoded))
        parsed = schema.Parsed(*(tf.repeat(item, epochs, axis=0) for item in parsed))
        images = tf.repeat(indices, epochs)
        epoch = tf.tile(tf.range(epochs, dtype=tf.int64), [tf.size(indices)])
        uniforms = pipeline.draw_uniforms(seed, epoch, images, options)
        frame = pipeline.draw_plan(parsed, uniforms, input_size, options).frame
        is_trained_on = frame.kept & ~parsed.crowd
        sample = tf.where(is_trained_on)[:, 0]
        return frame.boxes[is_trained_on], tf.gather(images, sample)

    return (
        tf.data.Dataset.from_tensor_slices(asked)
        .batch(max(1, _SAMPLES_AT_ONCE // epochs))
        .map(boxes_of, tf.data.AUTOTUNE)
        .with_options(pipeline.dataset_options(options.reading.num_workers))
    )


def lost_to_size(boxes: np.ndarray, input_size: int, side: float = LOST_SIDE) -> str:
    """One line on the boxes that are too small to be learned from.

    Args:
        boxes: float32 [N, 4], in [0, 1] of the sample.
        input_size: side of a sample in pixels.
        side: in pixels of the network's input; a box of an area below ``side`` x ``side`` is lost.
            The default is that of the finest map of all backbones but MobileNetV3, which has 16.
    """
    heights, widths = (boxes[:, 2:] - boxes[:, :2]).T * input_size
    lost, total = int(np.sum(heights * widths < side * side)), len(boxes)
    return (
        f"boxes lost to size: {lost:,} of {total:,} ({lost / max(1, total):.1%}) in samples as "
        f"training draws them are smaller than {side:g}x{side:g} of the {input_size}x{input_size} "
        "pixels"
    )
