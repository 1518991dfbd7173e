"""From record sets to batches: order -> read -> batch -> parse -> frame -> render."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from ssd_tfrecord.data import caching, coloring, framing, order, rendering
from ssd_tfrecord.data.reading import RecordSource
from ssd_tfrecord.options import ColorOptions, InputOptions, ReadOptions, RenderOptions
from ssd_tfrecord.pixels import color, resampling
from ssd_tfrecord.records import schema
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.tracing import not_converted

# Random numbers for colour, and one for interpolation.
_NUM_PIXEL_UNIFORMS = coloring.NUM_UNIFORMS + 1

# Batches kept ready for the step. AUTOTUNE would let their number grow until memory runs out.
PREFETCHED = 4

# Objects of a batch are padded to one of these numbers: XLA compiles a function again for each.
_BUCKETS = [8 << power for power in range(16)]

# Samples whose colours are finished on the host.
READY = InputOptions(color=ColorOptions(color_on="host"))


class Batch(NamedTuple):
    """B samples to train on.

    ``images`` uint8 [B, S, S, 3] RGB; ``boxes`` float32 [B, M, 4] as [ymin, xmin, ymax, xmax] in
    [0, 1] of the sample and ``labels`` int32 [B, M] from 1, 0 where there is no object, M being the
    batch's largest number of objects rounded up to 8, 16, 32, …; ``rectangles`` int32 [B, 4],
    ``color`` float32 [B, 5] and ``mirrored`` bool [B] as ``pixels.color.prepare`` takes them;
    ``indices`` int64 [B] of the records; ``substituted`` bool [B], True where a damaged record was
    replaced by another.
    """

    images: tf.Tensor
    boxes: tf.Tensor
    labels: tf.Tensor
    rectangles: tf.Tensor
    color: tf.Tensor
    mirrored: tf.Tensor
    indices: tf.Tensor
    substituted: tf.Tensor


class Plan(NamedTuple):
    """All that is drawn for a batch, before any pixel is decoded.

    ``color`` float32 [B, 5] as ``coloring.draw`` returns it; ``interpolation`` int32 [B], indices
    into ``resampling.KINDS``.
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
        manifests: of the sets to train on; their class lists must agree.
        options: of the pipeline; by default ``images`` are finished on the host: distorted,
            mirrored, and filled with the mean around them.
        input_size: side S of a sample in pixels.
        batch_size: number B of samples in a batch.
        seed: of order and augmentation: equal seeds make equal batches.
        start_step: number of batches to skip, at no cost.

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
        options: of the pipeline.
        input_size: side S of a sample in pixels.
        batch_size: global batch size, of all hosts; B is this host's share.
        seed: run seed; a sample's random numbers are a function of (seed, epoch, record index).
        start_step: number of steps already trained; their records are skipped.
        host: this machine's place among those that train together.

    Returns:
        A dataset of ``Batch``.
    """

    def draw(
        epoch: tf.Tensor, asked: tf.Tensor, index: tf.Tensor, serialized: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        # By the index asked for: two damaged records with one substitute are framed differently.
        return index, index != asked, serialized, draw_uniforms(seed, epoch, asked, options)

    def samples(
        indices: tf.Tensor, substituted: tf.Tensor, serialized: tf.Tensor, uniforms: tf.Tensor
    ) -> Batch:
        plan = draw_plan(schema.parse_batch(serialized), uniforms, input_size, options)
        batch = render_plan(plan, indices, substituted, source, input_size, options)
        if options.color.color_on == "host":
            batch = batch._replace(images=color.paint(*_coloring(batch), options.color))
        return batch

    start = start_step * batch_size
    dataset = records(source, options.reading, draw, seed=seed, start=start, host=host)
    # Batched while still serialized: one call then parses and draws all B samples. The records have
    # no end, so no remainder is lost; without the argument the batch size would not be static.
    dataset = dataset.batch(batch_size // host.count, drop_remainder=True)
    dataset = dataset.map(samples, tf.data.AUTOTUNE)
    if options.reading.data_service:
        # DYNAMIC hands each chunk to one worker; without sharding every worker would make them all.
        dataset = dataset.apply(
            tf.data.experimental.service.distribute(
                tf.data.experimental.service.ShardingPolicy.DYNAMIC, options.reading.data_service
            )
        )
    # With the service, everything up to here runs on its workers.
    dataset = dataset.prefetch(PREFETCHED)
    return dataset.with_options(dataset_options(options.reading.num_workers))


def network_images(batch: Batch, options: ColorOptions) -> tf.Tensor:
    """The images of a batch as the network takes them: float32 [B, S, S, 3].

    Args:
        batch: of ``batches``.
        options: those that the dataset was made with.
    """
    if options.color_on == "host":
        return color.subtract_mean(batch.images)
    return color.prepare(*_coloring(batch), options)


def _coloring(batch: Batch) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """The part of a batch that ``pixels.color`` takes."""
    return batch.images, batch.rectangles, batch.color, batch.mirrored


def source_ids(manifests: Sequence[Manifest], indices: Collection[int] | tf.Tensor) -> list[str]:
    """The ``source_id`` of each record index, for error messages: reads through all shards."""
    wanted = {int(index) for index in indices}
    found = {
        int(index): schema.parse_example(serialized)["source_id"].numpy().decode()
        for index, serialized in order.records_in_order(manifests)
        if int(index) in wanted
    }
    return [found[int(index)] for index in indices]


def draw_uniforms(
    seed: int, epoch: tf.Tensor, index: tf.Tensor, options: InputOptions
) -> tf.Tensor:
    """All random numbers of one sample, a function of (seed, epoch, index): float32 [K]."""
    count = _NUM_PIXEL_UNIFORMS + framing.num_uniforms(options.framing)
    # A key is two words of 64 bits: seed and epoch share the first.
    key = tf.stack([tf.constant(seed * 2**32, tf.int64) + epoch, index])
    return tf.random.stateless_uniform([count], key, alg="philox")


def draw_plan(
    parsed: schema.Parsed, uniforms_BK: tf.Tensor, input_size: int, options: InputOptions
) -> Plan:
    """Draws a batch, before any pixel is decoded.

    Args:
        parsed: of ``schema.parse_batch``.
        uniforms_BK: float32 [B, K], ``draw_uniforms`` of each sample.
        input_size: side of a sample in pixels.
        options: of the pipeline.
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


def render_plan(
    plan: Plan,
    indices: tf.Tensor,
    substituted: tf.Tensor,
    source: RecordSource,
    input_size: int,
    options: InputOptions,
) -> Batch:
    """The pixels and targets of a batch.

    Args:
        plan: of ``draw_plan``.
        indices: int64 [B], the records.
        substituted: bool [B], where a damaged record was replaced.
        source: that the pixels are read from.
        input_size: side of a sample in pixels.
        options: of the pipeline.
    """
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


def pixel_plan(plan: Plan, indices: tf.Tensor, options: RenderOptions) -> dict[str, tf.Tensor]:
    """The part of ``plan`` that determines the pixels, as ``rendering.render_batch`` takes it.

    Args:
        plan: of ``draw_plan``.
        indices: int64 [B], the records.
        options: of rendering.
    """
    # Only what the options use: each tensor is sliced once per sample.
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


def _bucket(num_objects: tf.Tensor) -> tf.Tensor:
    """The smallest of ``_BUCKETS`` that holds ``num_objects``."""
    return tf.gather(_BUCKETS, tf.searchsorted(_BUCKETS, num_objects[tf.newaxis])[0])


def records(
    source: RecordSource,
    options: ReadOptions,
    then_fn: Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], Any],
    *,
    seed: int,
    start: int = 0,
    host: order.Host = order.Host(),
) -> tf.data.Dataset:
    """What ``then_fn`` makes of each record from position ``start`` on, in the run's order.

    Args:
        source: as in ``batches``.
        options: of reading.
        then_fn: (epoch, record index asked for, index read, serialized example) -> any structure of
            tensors. It runs in the same call as the reading, because each call of a function costs
            0.03 ms per image.
        seed: run seed.
        start: first position of all hosts.
        host: whose positions.

    Returns:
        A dataset of what ``then_fn`` returns.
    """
    if options.shuffle_buffer_mb:
        streamed = order.streamed_records(
            source.manifests, seed=seed, start=start, options=options, host=host
        )
        # A stream has no substitutes: the index read is the index asked for.
        return streamed.map(
            lambda epoch, index, serialized: then_fn(epoch, index, index, serialized),
            tf.data.AUTOTUNE,
        )
    indices = order.shuffled_indices(len(source), seed=seed, start=start, host=host)
    return indices.map(
        lambda epoch, index: then_fn(epoch, index, *source.read(index)), tf.data.AUTOTUNE
    )


def dataset_options(num_workers: int) -> tf.data.Options:
    """The options of all datasets: batches in order, ``num_workers`` threads (0: one per core)."""
    options = tf.data.Options()
    options.deterministic = True
    # One thread per batch (or image, in evaluation): the pixels of one image are not shared out.
    options.threading.max_intra_op_parallelism = 1
    if num_workers:
        options.threading.private_threadpool_size = num_workers
    return options
