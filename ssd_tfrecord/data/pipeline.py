"""From record sets to batches: order -> batch -> read -> parse -> frame -> render."""

import numbers
from collections.abc import Collection, Sequence
from typing import NamedTuple

import tensorflow as tf

from ssd_tfrecord.data import caching, coloring, framing, order, rendering
from ssd_tfrecord.data.reading import RecordSource
from ssd_tfrecord.errors import InputError
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


class Records(NamedTuple):
    """B records as they are read.

    ``epochs`` int64 [B]; ``asked`` and ``indices`` int64 [B], the records asked for and those that
    were read, which differ where a damaged one is skipped; ``serialized`` string [B].
    """

    epochs: tf.Tensor
    asked: tf.Tensor
    indices: tf.Tensor
    serialized: tf.Tensor


class Plan(NamedTuple):
    """All that is drawn for a batch, before any pixel is decoded.

    ``color`` float32 [B, 5] as ``coloring.draw`` returns it; ``interpolation`` int32 [B], indices
    into ``resampling.KINDS``.
    """

    parsed: schema.Parsed
    frame: framing.Frame
    color: tf.Tensor
    interpolation: tf.Tensor


def check_counts(**counts: int) -> None:
    """Checks arguments that count something.

    Args:
        counts: values by the arguments' names.

    Raises:
        InputError: one is no whole number, or below 1.
    """
    for name, value in counts.items():
        if not isinstance(value, numbers.Integral) or value < 1:
            raise InputError(f"{name}={value}: must be a whole number of at least 1")


@not_converted
def training_dataset(
    manifests: Manifest | Sequence[Manifest],
    options: InputOptions = READY,
    *,
    input_size: int,
    batch_size: int,
    seed: int = 0,
    start_step: int = 0,
) -> tf.data.Dataset:
    """SSD's training samples, for a training loop of your own: endless batches.

    Args:
        manifests: of the sets to train on, or of one; their class lists must agree.
        options: of the pipeline; by default ``images`` are finished on the host: distorted,
            mirrored, and filled with the mean around them.
        input_size: side S of a sample in pixels.
        batch_size: number B of samples in a batch.
        seed: of order and augmentation: equal seeds make equal batches.
        start_step: number of batches to skip, at no cost.

    Returns:
        A dataset of ``Batch``.

    Raises:
        InputError: there is no set, a set has no images or other classes than the first, or
            ``input_size`` or ``batch_size`` is below 1.
    """
    check_counts(input_size=input_size, batch_size=batch_size)
    if isinstance(manifests, Manifest):
        manifests = [manifests]
    if not manifests:
        raise InputError("manifests: must be those of one record set at least")
    for manifest in manifests:
        if not manifest.num_records:
            raise InputError(f"{manifest.directory}: the set has no images; convert it again")
        if manifest.class_names != manifests[0].class_names:
            raise InputError(
                f"{manifest.directory}: must have the classes of {manifests[0].directory}, in "
                "their order"
            )
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

    def samples(records: Records) -> Batch:
        # By the index asked for: two damaged records with one substitute are framed differently.
        uniforms = draw_uniforms(seed, records.epochs, records.asked, options)
        plan = draw_plan(schema.parse_batch(records.serialized), uniforms, input_size, options)
        substituted = records.indices != records.asked
        batch = render_plan(plan, records.indices, substituted, source, input_size, options)
        if options.color.color_on == "host":
            batch = batch._replace(images=color.paint(*_coloring(batch), options.color))
        return batch

    dataset = record_batches(
        source,
        options.reading,
        batch_size=batch_size // host.count,
        seed=seed,
        start=start_step * batch_size,
        host=host,
    )
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
    seed: int, epochs: tf.Tensor, indices: tf.Tensor, options: InputOptions
) -> tf.Tensor:
    """All random numbers of B samples: float32 [B, K].

    Those of a sample are a function of ``seed`` and its own of ``epochs`` and ``indices``, int64
    [B].
    """
    count = _NUM_PIXEL_UNIFORMS + framing.num_uniforms(options.framing)
    # A key is two words of 64 bits: seed and epoch share the first.
    keys = tf.stack([tf.constant(seed * 2**32, tf.int64) + epochs, indices], axis=1)
    return tf.map_fn(
        lambda key: tf.random.stateless_uniform([count], key, alg="philox"),
        keys,
        fn_output_signature=tf.TensorSpec([count], tf.float32),
        parallel_iterations=1,
    )


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
    pixels = pixel_plan(plan, indices, source, options.rendering)
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


def pixel_plan(
    plan: Plan, indices: tf.Tensor, source: RecordSource, options: RenderOptions
) -> dict[str, tf.Tensor]:
    """The part of ``plan`` that determines the pixels, as ``rendering.render_batch`` takes it.

    Args:
        plan: of ``draw_plan``.
        indices: int64 [B], the records.
        source: that the pixels are read from.
        options: of rendering.
    """
    # Only what the options use: each tensor is sliced once per sample.
    asked = {
        "indices": indices,
        "encoded": plan.parsed.encoded,
        "size": plan.parsed.size,
        "window": plan.frame.window,
    }
    if options.decode == "reduced":
        asked["reduction"] = plan.frame.reduction
    pixels = source.cuts(asked) | {"placed": plan.frame.placed}
    if options.interpolation == "original":
        pixels["interpolation"] = plan.interpolation
    return pixels


def _bucket(num_objects: tf.Tensor) -> tf.Tensor:
    """The smallest of ``_BUCKETS`` that holds ``num_objects``."""
    return tf.gather(_BUCKETS, tf.searchsorted(_BUCKETS, num_objects[tf.newaxis])[0])


def record_batches(
    source: RecordSource,
    options: ReadOptions,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    host: order.Host = order.Host(),
) -> tf.data.Dataset:
    """Batches of the records from position ``start`` on, in the run's order, still serialized.

    Args:
        source: as in ``batches``.
        options: of reading.
        batch_size: number B of records in a batch, of this host.
        seed: run seed.
        start: first position of all hosts.
        host: whose positions.

    Returns:
        A dataset of ``Records``.
    """
    # Batched first: a call of a function costs 0.03 ms, whether for one record or for all of them.
    # The records have no end, so no remainder is lost; without the argument the batch size would
    # not be static.
    if options.shuffle_buffer_mb:
        streamed = order.streamed_records(
            source.manifests, seed=seed, start=start, options=options, host=host
        )
        # A stream has no substitutes: the index read is the index asked for.
        return streamed.batch(batch_size, drop_remainder=True).map(
            lambda epochs, indices, serialized: Records(epochs, indices, indices, serialized)
        )
    indices = order.shuffled_indices(len(source), seed=seed, start=start, host=host)
    # Reading is a step of its own, so that batches are read while others are decoded.
    return indices.batch(batch_size, drop_remainder=True).map(
        lambda epochs, asked: Records(epochs, asked, *source.read_batch(asked)), tf.data.AUTOTUNE
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
