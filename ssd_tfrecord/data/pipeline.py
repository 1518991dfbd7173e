"""From record sets to batches: order -> read -> batch -> parse -> frame -> render."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from ssd_tfrecord.data import caching, coloring, framing, order, rendering
from ssd_tfrecord.data.reading import RecordSource
from ssd_tfrecord.options import ColorOptions, InputOptions
from ssd_tfrecord.pixels import color, resampling
from ssd_tfrecord.records import schema
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.tracing import not_converted

# Random numbers of colour, and one of interpolation.
_NUM_PIXEL_UNIFORMS = coloring.NUM_UNIFORMS + 1

# Batches that wait for the step. AUTOTUNE would let them grow as long as memory lasts.
_PREFETCHED = 4

# Objects of a batch are padded to one of these: a compiled function is compiled once for each.
_BUCKETS = [8 << power for power in range(16)]


# Samples that need nothing of the device.
READY = InputOptions(color=ColorOptions(color_on="host"))


class Batch(NamedTuple):
    """B samples to train on.

    ``images`` uint8 [B, S, S, 3] RGB; ``boxes`` float32 [B, M, 4] as [ymin, xmin, ymax, xmax] in
    [0, 1] of the sample and ``labels`` int32 [B, M] from 1, 0 where there is no object, M the
    batch's largest number of objects rounded up to 8, 16, 32, …; ``rectangles`` int32 [B, 4],
    ``color`` float32 [B, 5] and ``mirrored`` bool [B] as ``pixels.color.prepare`` takes them;
    ``indices`` int64 [B], the records'; ``substituted`` bool [B], True where a damaged record was
    passed over.
    """

    images: tf.Tensor
    boxes: tf.Tensor
    labels: tf.Tensor
    rectangles: tf.Tensor
    color: tf.Tensor
    mirrored: tf.Tensor
    indices: tf.Tensor
    substituted: tf.Tensor


class EvaluationBatch(NamedTuple):
    """B whole pictures: ``images`` uint8 [B, S, S, 3] RGB, warped; ``indices`` int64 [B], the
    records'; ``valid`` bool [B], False for what fills the last batch.
    """

    images: tf.Tensor
    indices: tf.Tensor
    valid: tf.Tensor


class Plan(NamedTuple):
    """All that is drawn of a batch: ``color`` float32 [B, 5] as ``coloring.draw`` gives it,
    ``interpolation`` int32 [B] as ``resampling.KINDS`` are numbered.
    """

    parsed: schema.Parsed
    frame: framing.Frame
    color: tf.Tensor
    interpolation: tf.Tensor


@not_converted
def training_dataset(
    manifests: Sequence[Manifest],
    options: InputOptions = READY,
    *,
    input_size: int,
    batch_size: int,
    seed: int = 0,
    start_step: int = 0,
) -> tf.data.Dataset:
    """SSD's training samples, for a training loop of your own: endless batches.

    Args:
        manifests: of the sets to train on, whose class lists agree.
        options: of the pipeline; by default ``images`` are finished on the host: distorted,
            mirrored, and filled with the mean around them.
        input_size: side S of a sample in pixels.
        batch_size: samples in a batch, B.
        seed: of order and augmentation: equal seeds give equal batches.
        start_step: batches that are passed over, at no cost.

    Returns:
        A dataset of ``Batch``.
    """
    source = caching.opened(manifests, options.reading)
    return batches(
        source,
        options,
        input_size=input_size,
        batch_size=batch_size,
        seed=seed,
        start_step=start_step,
    )


@not_converted
def batches(
    source: RecordSource,
    options: InputOptions,
    *,
    input_size: int,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    host: order.Host = order.Host(),
) -> tf.data.Dataset:
    """Endless batches from step ``start_step`` on; the same for any number of threads.

    Args:
        source: of the records to train on.
        options: ``InputOptions``.
        input_size: side S of a sample in pixels.
        batch_size: global batch, of all hosts; B is this host's share.
        seed: run seed; a sample's random numbers come from (seed, epoch, record index).
        start_step: steps already trained; their records are passed over.
        host: this machine's place among those that train together.

    Returns:
        A dataset of ``Batch``.
    """

    def draw(epoch, asked, index, serialized):
        return index, index != asked, serialized, draw_uniforms(seed, epoch, asked, options)

    def samples(indices, substituted, serialized, uniforms):
        plan = draw_plan(schema.parse_batch(serialized), uniforms, input_size, options)
        batch = render_plan(plan, indices, substituted, source, input_size, options)
        if options.color.color_on == "host":
            batch = batch._replace(images=color.paint(*_coloring(batch), options.color))
        return batch

    start = start_step * batch_size
    dataset = records(source, options.reading, draw, seed=seed, start=start, host=host)
    dataset = dataset.batch(batch_size // host.count, drop_remainder=True)
    dataset = dataset.map(samples, tf.data.AUTOTUNE)
    if options.reading.data_service:
        dataset = dataset.apply(
            tf.data.experimental.service.distribute(
                tf.data.experimental.service.ShardingPolicy.DYNAMIC, options.reading.data_service
            )
        )
    dataset = dataset.prefetch(_PREFETCHED)
    return dataset.with_options(dataset_options(options.reading.num_workers))


def network_images(batch, options):
    """A batch as the network takes it: float32 [B, S, S, 3].

    Args:
        batch: a ``Batch``.
        options: the ``ColorOptions`` that the dataset was made with.
    """
    if options.color_on == "host":
        return color.subtract_mean(batch.images)
    return color.prepare(*_coloring(batch), options)


def _coloring(batch):
    """What ``pixels.color`` takes of a batch."""
    return batch.images, batch.rectangles, batch.color, batch.mirrored


@not_converted
def evaluation_dataset(
    manifest: Manifest, *, input_size: int, batch_size: int, num_workers: int = 0
) -> tf.data.Dataset:
    """Every record once, in manifest order; the last batch is filled up and masked.

    Returns:
        A dataset of ``EvaluationBatch``.
    """

    def sample(index, serialized):
        encoded = schema.parse_example(serialized)["encoded"]
        image = rendering.render_whole(encoded, output_size=input_size)
        return EvaluationBatch(image, index, tf.constant(True))

    filling = -manifest.num_records % batch_size
    nothing = EvaluationBatch(
        images=tf.zeros([input_size, input_size, 3], tf.uint8),
        indices=tf.constant(-1, tf.int64),
        valid=tf.constant(False),
    )
    dataset = order.records_in_order([manifest]).map(sample, tf.data.AUTOTUNE)
    dataset = dataset.concatenate(tf.data.Dataset.from_tensors(nothing).repeat(filling))
    dataset = dataset.batch(batch_size, drop_remainder=True)
    dataset = dataset.prefetch(_PREFETCHED)
    return dataset.with_options(dataset_options(num_workers))


def source_ids(manifests, indices):
    """The ``source_id`` of each record index, by reading the shards through; for error messages."""
    wanted = {int(index) for index in indices}
    found = {
        int(index): schema.parse_example(serialized)["source_id"].numpy().decode()
        for index, serialized in order.records_in_order(manifests)
        if int(index) in wanted
    }
    return [found[int(index)] for index in indices]


def draw_uniforms(seed, epoch, index, options):
    """All random numbers of one sample, a function of (seed, epoch, index): float32 [K]."""
    count = _NUM_PIXEL_UNIFORMS + framing.num_uniforms(options.framing)
    key = tf.stack([tf.constant(seed * 2**32, tf.int64) + epoch, index])
    return tf.random.stateless_uniform([count], key, alg="philox")


def draw_plan(parsed: schema.Parsed, uniforms_BK, input_size, options) -> Plan:
    """Draws a batch, of which no pixel is made yet.

    Args:
        parsed: of ``schema.parse_batch``.
        uniforms_BK: float32 [B, K], ``draw_uniforms`` of each sample.
        input_size: side of a sample in pixels.
        options: ``InputOptions``.
    """
    frame = framing.frame(
        parsed.boxes,
        parsed.labels > 0,
        parsed.size,
        uniforms_BK[:, _NUM_PIXEL_UNIFORMS:],
        output_size=input_size,
        options=options.framing,
        reduces=options.rendering.decode == "reduced",
    )
    colors = tf.tile([color.IDENTITY], [tf.shape(uniforms_BK)[0], 1])
    if options.framing.augmentation == "ssd":
        colors = coloring.draw(uniforms_BK[:, : coloring.NUM_UNIFORMS])
    kinds = uniforms_BK[:, coloring.NUM_UNIFORMS] * len(resampling.KINDS)
    return Plan(parsed, frame, color=colors, interpolation=tf.cast(kinds, tf.int32))


def render_plan(plan: Plan, indices, substituted, source, input_size, options) -> Batch:
    """The pixels and targets of a batch."""
    # Crowd regions count for the crop's IoU but are not trained on; difficult objects are.
    labels = tf.where(plan.frame.kept & ~plan.parsed.crowd, plan.parsed.labels, 0)
    boxes = tf.where(labels[:, :, tf.newaxis] > 0, plan.frame.boxes, 0.0)
    room = _bucket(tf.shape(labels)[1]) - tf.shape(labels)[1]
    pixels = pixel_plan(plan, indices, options.rendering)
    return Batch(
        images=rendering.render_batch(pixels, source.window, output_size=input_size),
        boxes=tf.pad(boxes, [[0, 0], [0, room], [0, 0]]),
        labels=tf.pad(labels, [[0, 0], [0, room]]),
        rectangles=plan.frame.rectangle,
        color=plan.color,
        mirrored=plan.frame.mirrored,
        indices=indices,
        substituted=substituted,
    )


def pixel_plan(plan: Plan, indices, options) -> dict[str, tf.Tensor]:
    """What of ``plan`` decides over pixels, as ``rendering.render_batch`` takes it.

    What the options leave unused is left out: each tensor costs its slice for each sample.

    Args:
        plan: of ``draw_plan``.
        indices: int64 [B], the records.
        options: ``RenderOptions``.
    """
    pixels = {
        "indices": indices,
        "encoded": plan.parsed.encoded,
        "size": plan.parsed.size,
        "window": plan.frame.window,
        "placed": plan.frame.placed,
    }
    if options.decode == "reduced":
        pixels["reduction"] = plan.frame.reduction
    if options.interpolation == "original":
        pixels["interpolation"] = plan.interpolation
    return pixels


def _bucket(num_objects):
    """The smallest of ``_BUCKETS`` that holds ``num_objects``."""
    return tf.gather(_BUCKETS, tf.searchsorted(_BUCKETS, num_objects[tf.newaxis])[0])


def records(source, options, then_fn, *, seed, start=0, host=order.Host()):
    """What ``then_fn`` makes of each record from position ``start`` on, in the run's order.

    Args:
        source: as in ``batches``.
        options: ``ReadOptions``.
        then_fn: (epoch, record index asked for, index read, serialized example) -> tensors; in one
            call with the reading, for a call of a function costs 0.03 ms an image.
        seed: run seed.
        start: first position of all hosts.
        host: whose positions.
    """
    if options.shuffle_buffer_mb:
        streamed = order.streamed_records(
            source.manifests, seed=seed, start=start, options=options, host=host
        )
        return streamed.map(
            lambda epoch, index, serialized: then_fn(epoch, index, index, serialized),
            tf.data.AUTOTUNE,
        )
    indices = order.shuffled_indices(len(source), seed=seed, start=start, host=host)
    return indices.map(
        lambda epoch, index: then_fn(epoch, index, *source.read(index)), tf.data.AUTOTUNE
    )


def dataset_options(num_workers):
    """The ``tf.data.Options`` of every dataset here: batches in order, ``num_workers`` threads."""
    options = tf.data.Options()
    options.deterministic = True
    # Images are shared out among threads, not the pixels of one.
    options.threading.max_intra_op_parallelism = 1
    if num_workers:
        options.threading.private_threadpool_size = num_workers
    return options
