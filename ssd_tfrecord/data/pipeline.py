"""From record sets to batches: order -> read -> batch -> parse -> frame -> render."""

import tensorflow as tf

from ssd_tfrecord.data import coloring, framing, order, rendering
from ssd_tfrecord.pixels import color, resampling
from ssd_tfrecord.records import schema

# Random numbers of colour, and one of interpolation.
_NUM_PIXEL_UNIFORMS = coloring.NUM_UNIFORMS + 1

# What ``pixels.color`` takes of a batch.
_COLORING = ("images", "rectangles", "color", "mirrored")

# Batches that wait for the step. AUTOTUNE would let them grow as long as memory lasts.
_PREFETCHED = 4

# Objects of a batch are padded to one of these: a compiled function is compiled once for each.
_BUCKETS = [8 << power for power in range(16)]


# No function of the package branches on a tensor in Python, so AutoGraph has nothing to rewrite: to
# have it read them all takes a quarter of the CPU time of a run's start, 6 s of 22.
@tf.autograph.experimental.do_not_convert
def training_dataset(
    source, options, *, input_size, batch_size, seed, start_step=0, host=order.Host()
):
    """Endless batches from step ``start_step`` on; the same for any number of threads.

    Args:
        source: ``reading.RecordReader`` of the sets to train on, or a cache of it.
        options: ``InputOptions``.
        input_size: side S of a sample in pixels.
        batch_size: global batch, of all hosts; B is this host's share.
        seed: run seed; a sample's random numbers come from (seed, epoch, record index).
        start_step: steps already trained; their records are passed over.
        host: this machine's place among those that train together.

    Returns:
        A dataset of dicts: ``images`` uint8 [B, S, S, 3]; ``boxes`` float32 [B, M, 4] and
        ``labels`` int32 [B, M], 0 where there is no object, M the batch's largest number of
        objects rounded up to 8, 16, 32, …; ``rectangles`` int32 [B, 4], ``color`` float32 [B, 5]
        and ``mirrored`` bool [B] as ``pixels.color.prepare`` takes them; ``indices`` int64 [B];
        ``substituted`` bool [B], True where a damaged record was passed over.
    """

    def draw(epoch, asked, index, serialized):
        return index, index != asked, serialized, draw_uniforms(seed, epoch, asked, options)

    def samples(indices, substituted, serialized, uniforms):
        plan = draw_plan(schema.parse_batch(serialized), uniforms, input_size, options)
        batch = render_plan(plan, indices, source, input_size, options)
        if options.color.color_on == "host":
            painted = color.paint(*(batch[name] for name in _COLORING), options.color)
            batch = {**batch, "images": painted}
        return {**batch, "indices": indices, "substituted": substituted}

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
    """A batch of ``training_dataset`` as the network takes it: float32 [B, S, S, 3].

    Args:
        batch: dict of tensors.
        options: the ``ColorOptions`` that the dataset was made with.
    """
    if options.color_on == "host":
        return color.subtract_mean(batch["images"])
    return color.prepare(*(batch[name] for name in _COLORING), options)


@tf.autograph.experimental.do_not_convert
def evaluation_dataset(manifest, *, input_size, batch_size, num_workers=0):
    """Every record once, in manifest order; the last batch is filled up and masked.

    Returns:
        A dataset of dicts: ``images`` uint8 [B, S, S, 3], the whole picture warped; ``indices``
        int64 [B]; ``valid`` bool [B], False for the filling.
    """

    def sample(index, serialized):
        encoded = schema.parse_example(serialized)["encoded"]
        image = rendering.render_whole(encoded, output_size=input_size)
        return {"images": image, "indices": index, "valid": True}

    filling = -manifest.num_records % batch_size
    nothing = {
        "images": tf.zeros([input_size, input_size, 3], tf.uint8),
        "indices": tf.constant(-1, tf.int64),
        "valid": False,
    }
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


def draw_plan(parsed, uniforms_BK, input_size, options):
    """All that is drawn of a batch: ``parsed``, the dict of ``framing.frame``, ``color`` and
    ``interpolation``.

    Args:
        parsed: dict of ``schema.parse_batch``.
        uniforms_BK: float32 [B, K], ``draw_uniforms`` of each sample.
        input_size: side of a sample in pixels.
        options: ``InputOptions``.
    """
    plan = framing.frame(
        parsed["boxes"],
        parsed["labels"] > 0,
        parsed["size"],
        uniforms_BK[:, _NUM_PIXEL_UNIFORMS:],
        output_size=input_size,
        options=options.framing,
        reduces=options.rendering.decode == "reduced",
    )
    colors = tf.tile([color.IDENTITY], [tf.shape(uniforms_BK)[0], 1])
    if options.framing.augmentation == "ssd":
        colors = coloring.draw(uniforms_BK[:, : coloring.NUM_UNIFORMS])
    kinds = uniforms_BK[:, coloring.NUM_UNIFORMS] * len(resampling.KINDS)
    return {**parsed, **plan, "color": colors, "interpolation": tf.cast(kinds, tf.int32)}


def render_plan(plan, indices, source, input_size, options):
    """The pixels and targets of a batch, as ``training_dataset`` gives them."""
    # Crowd regions count for the crop's IoU but are not trained on; difficult objects are.
    labels = tf.where(plan["kept"] & ~plan["crowd"], plan["labels"], 0)
    boxes = tf.where(labels[:, :, tf.newaxis] > 0, plan["boxes"], 0.0)
    room = _bucket(tf.shape(labels)[1]) - tf.shape(labels)[1]
    pixels = pixel_plan(plan, indices, options.rendering)
    images = rendering.render_batch(pixels, source.window, output_size=input_size)
    return {
        "images": images,
        "boxes": tf.pad(boxes, [[0, 0], [0, room], [0, 0]]),
        "labels": tf.pad(labels, [[0, 0], [0, room]]),
        "rectangles": plan["rectangle"],
        "color": plan["color"],
        "mirrored": plan["mirrored"],
    }


def pixel_plan(plan, indices, options):
    """What of ``draw_plan`` decides over pixels, as ``rendering.render_batch`` takes it.

    Args:
        plan: dict of ``draw_plan``.
        indices: int64 [B], the records.
        options: ``RenderOptions``.
    """
    names = ["encoded", "size", "window", "placed"]
    names += ["reduction"] if options.decode == "reduced" else []
    names += ["interpolation"] if options.interpolation == "original" else []
    return {"indices": indices, **{name: plan[name] for name in names}}


def _bucket(num_objects):
    """The smallest of ``_BUCKETS`` that holds ``num_objects``."""
    return tf.gather(_BUCKETS, tf.searchsorted(_BUCKETS, num_objects[tf.newaxis])[0])


def records(source, options, then_fn, *, seed, start=0, host=order.Host()):
    """What ``then_fn`` makes of each record from position ``start`` on, in the run's order.

    Args:
        source: as in ``training_dataset``.
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
