"""What the input pipeline costs in CPU time, part by part, beside bare JPEG decoding."""

import collections
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from ssd_tfrecord.benchmark import rounds
from ssd_tfrecord.data import pipeline, rendering
from ssd_tfrecord.data.pipeline import Batch
from ssd_tfrecord.data.reading import RecordReader, RecordSource
from ssd_tfrecord.options import ColorOptions, InputOptions
from ssd_tfrecord.records import schema
from ssd_tfrecord.records.images.jpeg_header import read_header
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training.stopping import teardown

PARTS = ("reading", "geometry", "decoding", "resizing", "rest")


def measure_input(
    source: RecordSource,
    options: InputOptions,
    *,
    input_size: int,
    batch_size: int,
    num_batches: int,
    num_rounds: int,
    seed: int,
) -> dict[str, Any]:
    """Measures ``pipeline.batches``, bare decoding, and chains that stop after each of its parts.

    Every chain keeps one iterator, and all take turns (``rounds.measure``) on the same records.
    Figures are medians over the rounds, a ratio is the median of the ratios per round, and every
    ``…_spread`` is half the interquartile range as a share of the median. The cost of a part is
    that of the chain that ends with it minus that of the chain before, so on a noisy machine a
    cheap part may come out below 0.

    Args:
        source: of the records, from ``caching.opened``.
        options: of the pipeline.
        input_size: side of a sample in pixels.
        batch_size: images per batch.
        num_batches: batches that each chain makes per round.
        num_rounds: rounds that are counted, after one that is not.
        seed: run seed.

    Returns:
        A dict: ``images`` that each chain made; ``host_share``, where colour is left to the device,
        and ``same_work``, where colour and the conversion to float are done on the CPU too, each
        with ``images_per_s``, ``cpu_ms_per_image``, ``ratio_to_decode`` and
        ``cores_for_1000_images_per_s``; ``bare_decode`` with the first two; ``bare_eighth``, the
        same at 1/8 of the size, with the first three: what is left is entropy decoding, which
        nothing that decodes the whole file can avoid; for each of ``PARTS`` of the host share
        ``part_cpu_ms_per_image`` and ``shares``, which sum to 1; and ``jpegs``, see
        ``jpeg_facts``.
    """
    whole = pipeline.batches(
        source, options, input_size=input_size, batch_size=batch_size, seed=seed
    )
    # The first round is not counted.
    num_images = (num_rounds + 1) * num_batches * batch_size
    encoded = _encoded(source.manifests, options, seed, num_images)
    chains = {
        "bare_decode": _bare_decode(encoded, batch_size),
        "bare_eighth": _bare_decode(encoded, batch_size, ratio=8),
        "host_share": whole,
        "same_work": _same_work(whole, options.color),
        **_parts(source, options, input_size=input_size, batch_size=batch_size, seed=seed),
    }
    # The same threads for all, bare decoding included.
    threads = pipeline.dataset_options(options.reading.num_workers)
    takes = {
        name: _take(iter(chain.with_options(threads)), num_batches)
        for name, chain in chains.items()
    }
    teardown.spare(takes)
    num_images = num_batches * batch_size
    costs = {
        name: [cost.over(num_images) for cost in costs]
        for name, costs in rounds.measure(takes, num_rounds).items()
    }
    facts = jpeg_facts(encoded.numpy().tolist())
    return {"images": num_rounds * num_images, **_figures(costs), "jpegs": facts}


def jpeg_facts(encoded: Sequence[bytes]) -> dict[str, Any]:
    """What decides what N JPEGs cost to decode.

    Returns:
        ``kilobytes`` (1,000 bytes) and ``megapixels`` of an image in the mean; ``progressive``, the
        share of images that are; ``chroma``, {subsampling as in ``JpegHeader``: share}, the largest
        first.
    """
    headers = [header for item in encoded if (header := read_header(item))]
    count = max(1, len(headers))
    chroma = collections.Counter(header.chroma for header in headers)
    return {
        "kilobytes": sum(map(len, encoded)) / 1000 / max(1, len(encoded)),
        "megapixels": sum(header.height * header.width for header in headers) / 1e6 / count,
        "progressive": sum(header.progressive for header in headers) / count,
        "chroma": {name: number / count for name, number in chroma.most_common()},
    }


def _figures(costs: Mapping[str, Sequence[rounds.Cost]]) -> dict[str, Any]:
    """The figures of ``measure_input`` from the costs of one image in each chain, one per round."""
    bare, eighth = costs["bare_decode"], costs["bare_eighth"]
    figures: dict[str, Any] = {
        "bare_decode": rounds.rate_figures(bare),
        "bare_eighth": rounds.rate_figures(eighth) | rounds.ratio_figures(eighth, bare),
    }
    for name in ("host_share", "same_work"):
        row = rounds.rate_figures(costs[name])
        # n ms of CPU time per image are n cores at 1,000 images per second.
        row["cores_for_1000_images_per_s"] = row["cpu_ms_per_image"]
        figures[name] = row | rounds.ratio_figures(costs[name], bare)
    # The last part ends with the batch itself.
    chains = [*(costs[name] for name in PARTS[:-1]), costs["host_share"]]
    return figures | rounds.part_figures(dict(zip(PARTS, chains)))


def _take(iterator: Iterator[object], num_batches: int) -> Callable[[], None]:
    """A function that takes ``num_batches`` batches from ``iterator``."""

    def take() -> None:
        for _ in range(num_batches):
            next(iterator)

    return take


def _same_work(dataset: tf.data.Dataset, color_options: ColorOptions) -> tf.data.Dataset:
    """Batches of ``pipeline.batches`` in the form that the network needs, made on the CPU."""

    def prepare(batch: Batch) -> Batch:
        return batch._replace(images=pipeline.network_images(batch, color_options))

    return dataset.map(prepare, tf.data.AUTOTUNE).prefetch(2)


def _bare_decode(
    encoded: tf.Tensor | Sequence[bytes], batch_size: int, ratio: int = 1
) -> tf.data.Dataset:
    """Batches of the sizes of JPEGs decoded at 1/``ratio``; the pixels are dropped at once."""
    # Images differ in size: their pixels could not be batched without work that is not decoding.
    jpegs = tf.data.Dataset.from_tensor_slices(encoded).repeat()
    sizes = jpegs.map(
        lambda jpeg: tf.size(tf.io.decode_jpeg(jpeg, channels=3, ratio=ratio)), tf.data.AUTOTUNE
    )
    return sizes.batch(batch_size, drop_remainder=True).prefetch(2)


def _parts(
    source: RecordSource, options: InputOptions, *, input_size: int, batch_size: int, seed: int
) -> dict[str, tf.data.Dataset]:
    """{part: dataset of batches that are made up to its end}, for ``PARTS`` except the last."""

    def frame(records: pipeline.Records) -> dict[str, tf.Tensor]:
        uniforms = pipeline.draw_uniforms(seed, records.epochs, records.asked, options)
        parsed = schema.parse_batch(records.serialized)
        plan = pipeline.draw_plan(parsed, uniforms, input_size, options)
        return pipeline.pixel_plan(plan, records.indices, source, options.rendering)

    def decode(records: pipeline.Records) -> tf.Tensor:
        # One image at a time, as rendering does it: threads work on different batches.
        return tf.map_fn(
            lambda sample: tf.size(source.window(sample)),
            frame(records),
            fn_output_signature=tf.int32,
            parallel_iterations=1,
        )

    def resize(records: pipeline.Records) -> tf.Tensor:
        return rendering.render_batch(frame(records), source.window, output_size=input_size)

    read = pipeline.record_batches(source, options.reading, batch_size=batch_size, seed=seed)
    chains = [read, *(read.map(part, tf.data.AUTOTUNE) for part in (frame, decode, resize))]
    # A fixed buffer: one of AUTOTUNE need not be as full after a round as before.
    return {name: chain.prefetch(2) for name, chain in zip(PARTS, chains)}


def _encoded(
    manifests: Sequence[Manifest], options: InputOptions, seed: int, count: int
) -> tf.Tensor:
    """The JPEGs of the first ``count`` positions, at most one epoch, in memory: string [N]."""
    # From the shards: a cache of decoded images has no JPEGs.
    reader = RecordReader(manifests, options.reading.on_bad_record)
    batches = pipeline.record_batches(
        reader, options.reading, batch_size=min(count, len(reader)), seed=seed
    )
    return schema.parse_batch(next(iter(batches)).serialized).encoded
