"""From record sets to batches: shards -> order -> parse -> frame -> render -> batch."""

import tensorflow as tf

from ssd_tfrecord.data import coloring, framing, order, rendering
from ssd_tfrecord.pixels import color
from ssd_tfrecord.records import schema


def training_dataset(
    manifests, *, input_size, batch_size, seed, framing_options, read_options, start_step=0
):
    """Endless batches from step ``start_step`` on; the same for any number of threads.

    Args:
        manifests: record sets to train on, joined.
        input_size: side S of a sample in pixels.
        batch_size: global batch B.
        seed: run seed; a sample's random numbers come from (seed, epoch, record index).
        framing_options: ``FramingOptions``.
        read_options: ``ReadOptions``.
        start_step: steps already trained; their records are passed over without decoding.

    Returns:
        A dataset of dicts: ``images`` uint8 [B, S, S, 3]; ``boxes`` float32 [B, M, 4] and
        ``labels`` int32 [B, M], 0 where there is no object, M the largest number of objects of any
        record; ``rectangles`` int32 [B, 4] and ``color`` float32 [B, 5] as ``pixels.color.prepare``
        takes them; ``indices`` int64 [B].
    """
    max_objects = max(1, *(manifest.max_objects for manifest in manifests))

    def sample(epoch, index, serialized):
        record = schema.parse_example(serialized)
        plan = draw_plan(
            record, (seed, epoch, index), input_size=input_size, options=framing_options
        )
        return _training_sample(record, index, plan, input_size)

    def pad(sample):
        room = max_objects - tf.shape(sample["labels"])[0]
        boxes, labels = (
            tf.pad(sample["boxes"], [[0, room], [0, 0]]),
            tf.pad(sample["labels"], [[0, room]]),
        )
        return {
            **sample,
            "boxes": tf.ensure_shape(boxes, [max_objects, 4]),
            "labels": tf.ensure_shape(labels, [max_objects]),
        }

    dataset = order.shuffled_records(
        manifests, seed=seed, start=start_step * batch_size, options=read_options
    )
    dataset = dataset.map(lambda *record: pad(sample(*record)), tf.data.AUTOTUNE)
    dataset = dataset.batch(batch_size, drop_remainder=True)
    dataset = dataset.prefetch(tf.data.AUTOTUNE)
    return dataset.with_options(dataset_options(read_options))


def evaluation_dataset(manifest, *, input_size, batch_size, options):
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
    dataset = dataset.prefetch(tf.data.AUTOTUNE)
    return dataset.with_options(dataset_options(options))


def source_ids(manifests, indices):
    """The ``source_id`` of each record index, by reading the shards through; for error messages."""
    wanted = {int(index) for index in indices}
    found = {
        int(index): schema.parse_example(serialized)["source_id"].numpy().decode()
        for index, serialized in order.records_in_order(manifests)
        if int(index) in wanted
    }
    return [found[int(index)] for index in indices]


def draw_plan(record, key, *, input_size, options):
    """All that is drawn of one training sample, a function of its record's boxes and size and key.

    Args:
        record: dict of ``schema.parse_example``.
        key: run seed (int), epoch and record index (int64).
        input_size: side of the sample in pixels.
        options: ``FramingOptions``.

    Returns:
        The dict of ``framing.frame`` with ``size`` int32 [2], the picture's height and width, and
        ``color`` float32 [5].
    """
    size = tf.stack([record["height"], record["width"]])
    uniforms = _uniforms(*key, options)
    drawn = uniforms[coloring.NUM_UNIFORMS :]
    plan = framing.frame(record["boxes"], size, drawn, output_size=input_size, options=options)
    colors = tf.constant(color.IDENTITY)
    if options.augmentation == "ssd":
        colors = coloring.draw(uniforms[: coloring.NUM_UNIFORMS])
    return {**plan, "size": size, "color": colors}


def dataset_options(read_options):
    """The ``tf.data.Options`` of every dataset here: batches in order, ``num_workers`` threads."""
    options = tf.data.Options()
    options.deterministic = True
    if read_options.num_workers:
        options.threading.private_threadpool_size = read_options.num_workers
    return options


def _uniforms(seed, epoch, index, options):
    """All random numbers of one sample, a function of (seed, epoch, index) alone."""
    count = framing.num_uniforms(options) + coloring.NUM_UNIFORMS
    key = tf.stack([tf.constant(seed * 2**32, tf.int64) + epoch, index])
    return tf.random.stateless_uniform([count], key, alg="philox")


def _training_sample(record, index, plan, input_size):
    # Crowd regions count for the crop's IoU but are not trained on; difficult objects are.
    labels = tf.where(plan["kept"] & ~record["crowd"], record["labels"], 0)
    return {
        "images": rendering.render(
            record["encoded"], plan, size=plan["size"], output_size=input_size
        ),
        "boxes": tf.where(labels[:, tf.newaxis] > 0, plan["boxes"], 0.0),
        "labels": labels,
        "rectangles": plan["rectangle"],
        "color": plan["color"],
        "indices": index,
    }
