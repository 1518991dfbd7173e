"""What the input pipeline costs in CPU time, part by part, beside bare JPEG decoding."""

import tensorflow as tf

from ssd_tfrecord.benchmark import rounds
from ssd_tfrecord.data import pipeline, rendering
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.records import schema

PARTS = ("reading", "geometry", "decoding", "resizing", "rest")


def measure_input(source, options, *, input_size, batch_size, num_batches, num_rounds, seed):
    """Measures ``pipeline.batches``, bare decoding and chains that stop at its parts.

    Every chain keeps one iterator, and all take turns (``rounds.measure``) on the same records.
    Figures are medians over the rounds, a ratio is the median of the rounds' ratios, and every
    ``…_spread`` is half of what lies between the quartiles, as a share of the median. A part's cost
    is that of the chain that ends with it, less that of the chain before: where the machine is
    noisy, a cheap part may come out below 0.

    Args:
        source: of the records, from ``caching.opened``.
        options: ``InputOptions``.
        input_size: side of a sample in pixels.
        batch_size: images a batch.
        num_batches: batches that a chain makes in a round.
        num_rounds: rounds that are counted, after one that is not.
        seed: run seed.

    Returns:
        A dict: ``images`` that a chain made; ``host_share``, where colour is left to the device,
        and ``same_work``, where colour and the conversion to float are done on the CPU too, each
        with ``images_per_s``, ``cpu_ms_per_image``, ``ratio_to_decode`` and
        ``cores_for_1000_images_per_s``; ``bare_decode`` with the first two; and by ``PARTS`` of
        the host share ``part_cpu_ms_per_image`` and ``shares``, which sum to 1.
    """
    settings = {"input_size": input_size, "batch_size": batch_size, "seed": seed}
    whole = pipeline.batches(source, options, **settings)
    # A round that is not counted comes first.
    num_images = (num_rounds + 1) * num_batches * batch_size
    chains = {
        "bare_decode": _bare_decode(
            _encoded(source.manifests, options, seed, num_images), batch_size
        ),
        "host_share": whole,
        "same_work": _same_work(whole, options.color),
        **_parts(source, options, **settings),
    }
    threads = pipeline.dataset_options(options.reading.num_workers)
    takes = {
        name: _take(iter(chain.with_options(threads)), num_batches)
        for name, chain in chains.items()
    }
    num_images = num_batches * batch_size
    costs = {
        name: [cost.over(num_images) for cost in costs]
        for name, costs in rounds.measure(takes, num_rounds).items()
    }
    return {"images": num_rounds * num_images, **_figures(costs)}


def _figures(costs):
    """The figures of ``measure_input`` from each chain's costs of an image, one a round."""
    figures = {"bare_decode": rounds.rate_figures(costs["bare_decode"])}
    for name in ("host_share", "same_work"):
        row = rounds.rate_figures(costs[name])
        # n ms of CPU an image are n cores at 1,000 images a second.
        row["cores_for_1000_images_per_s"] = row["cpu_ms_per_image"]
        figures[name] = row | rounds.ratio_figures(costs[name], costs["bare_decode"])
    chains = [*(costs[name] for name in PARTS[:-1]), costs["host_share"]]
    return figures | rounds.part_figures(dict(zip(PARTS, chains)))


def _take(iterator, num_batches):
    """A function that takes ``num_batches`` batches."""

    def take():
        for _ in range(num_batches):
            next(iterator)

    return take


def _same_work(dataset, color_options):
    """Batches of ``pipeline.batches`` as the network takes them, made on the CPU."""

    def prepare(batch):
        return batch._replace(images=pipeline.network_images(batch, color_options))

    return dataset.map(prepare, tf.data.AUTOTUNE).prefetch(2)


def _bare_decode(encoded, batch_size):
    """Batches of the sizes of decoded JPEGs: the pixels themselves are dropped at once."""
    jpegs = tf.data.Dataset.from_tensor_slices(encoded).repeat()
    sizes = jpegs.map(lambda jpeg: tf.size(tf.io.decode_jpeg(jpeg, channels=3)), tf.data.AUTOTUNE)
    return sizes.batch(batch_size, drop_remainder=True).prefetch(2)


def _parts(source, options, *, input_size, batch_size, seed):
    """{part: dataset of batches made as far as it} of each of ``PARTS`` but the last."""

    def draw(epoch, asked, index, serialized):
        return index, serialized, pipeline.draw_uniforms(seed, epoch, asked, options)

    def frame(indices, serialized, uniforms):
        plan = pipeline.draw_plan(schema.parse_batch(serialized), uniforms, input_size, options)
        return pipeline.pixel_plan(plan, indices, options.rendering)

    def decode(*drawn):
        return tf.map_fn(
            lambda sample: tf.size(source.window(sample)),
            frame(*drawn),
            fn_output_signature=tf.int32,
            parallel_iterations=1,
        )

    def resize(*drawn):
        return rendering.render_batch(frame(*drawn), source.window, output_size=input_size)

    def batched(records):
        return records.batch(batch_size, drop_remainder=True)

    drawn = batched(pipeline.records(source, options.reading, draw, seed=seed))
    read = pipeline.records(
        source, options.reading, lambda epoch, asked, index, serialized: serialized, seed=seed
    )
    chains = [batched(read)]
    chains += [drawn.map(part, tf.data.AUTOTUNE) for part in (frame, decode, resize)]
    return {name: chain.prefetch(2) for name, chain in zip(PARTS, chains)}


def _encoded(manifests, options, seed, count):
    """The JPEGs of the first ``count`` positions, at most an epoch, string [N], in memory."""
    reader = RecordReader(manifests, options.reading.on_bad_record)  # a cache may have none
    images = pipeline.records(
        reader,
        options.reading,
        lambda epoch, asked, index, serialized: schema.parse_example(serialized)["encoded"],
        seed=seed,
    )
    return next(iter(images.batch(min(count, len(reader)))))
