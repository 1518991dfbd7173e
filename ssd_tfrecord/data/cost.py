"""What the input pipeline costs in CPU time, part by part, beside bare JPEG decoding."""

import resource
import time
from dataclasses import dataclass

import tensorflow as tf

from ssd_tfrecord.data import order, pipeline, rendering
from ssd_tfrecord.records import schema

PARTS = ("reading", "parsing", "geometry", "decoding", "resizing", "rest")

# Batches that are not counted: they trace, fill the shuffle buffer and let tf.data choose its
# parallelism.
_WARMUP_BATCHES = 5


@dataclass(frozen=True)
class Cost:
    """CPU milliseconds (user + system of the whole process) and wall milliseconds an image."""

    cpu_ms: float
    wall_ms: float


def measure_input(
    manifests, *, input_size, batch_size, num_batches, seed, framing_options, read_options
):
    """Measures ``pipeline.training_dataset``, and chains that stop at each of its parts.

    Each chain is run on the same records from a new iterator. A part's cost is that of the chain
    that ends with it, less that of the chain before: where the machine is noisy, a cheap part may
    come out below 0. Bare decoding (the same JPEGs, in memory) is measured right before and right
    after the whole.

    Args:
        manifests: record sets, joined.
        input_size: side of a sample in pixels.
        batch_size: images a batch.
        num_batches: batches that are counted, after a warm-up.
        seed: run seed.
        framing_options: ``FramingOptions``.
        read_options: ``ReadOptions``.

    Returns:
        A dict of floats: ``images``, ``images_per_s``, ``cpu_ms_per_image``,
        ``decode_cpu_ms_per_image`` (the mean of ``decode_cpu_ms_before`` and
        ``decode_cpu_ms_after``), ``ratio_to_decode``, ``cores_for_1000_images_per_s``, and by
        ``PARTS`` ``part_cpu_ms_per_image`` and ``shares``, which sum to 1.
    """
    settings = {"seed": seed, "input_size": input_size, "options": framing_options}
    start = _WARMUP_BATCHES * batch_size

    def measured(dataset):
        return _measure(dataset.with_options(pipeline.dataset_options(read_options)), num_batches)

    def cost_of(records, part):
        # Windows hold a part's tensors, of whatever shapes, as they are; a batch would copy them.
        dataset = records.map(part, tf.data.AUTOTUNE).window(batch_size, drop_remainder=True)
        return measured(dataset.prefetch(tf.data.AUTOTUNE)).cpu_ms / batch_size

    records = order.shuffled_records(manifests, seed=seed, start=0, options=read_options)
    parts = _chains(**settings)
    cost_of(records, parts[0])  # the first chain of a process also pays for TensorFlow's start
    chains = [cost_of(records, part) for part in parts]

    encoded = _encoded(manifests, seed, start, num_batches * batch_size, read_options)
    jpegs = tf.data.Dataset.from_tensor_slices(encoded).repeat()
    before = cost_of(jpegs, _decode)
    whole = measured(
        pipeline.training_dataset(
            manifests,
            input_size=input_size,
            batch_size=batch_size,
            seed=seed,
            framing_options=framing_options,
            read_options=read_options,
        )
    )
    after = cost_of(jpegs, _decode)
    whole = Cost(whole.cpu_ms / batch_size, whole.wall_ms / batch_size)
    return {"images": num_batches * batch_size, **_figures(whole, chains, before, after)}


def _figures(whole, chains, before, after):
    ends = [*chains, whole.cpu_ms]
    parts = [end - start for start, end in zip([0.0, *chains], ends)]
    decode = (before + after) / 2
    return {
        "images_per_s": 1000 / whole.wall_ms,
        "cpu_ms_per_image": whole.cpu_ms,
        "decode_cpu_ms_per_image": decode,
        "decode_cpu_ms_before": before,
        "decode_cpu_ms_after": after,
        "ratio_to_decode": whole.cpu_ms / decode,
        # n ms of CPU an image are n cores at 1,000 images a second.
        "cores_for_1000_images_per_s": whole.cpu_ms,
        "part_cpu_ms_per_image": dict(zip(PARTS, parts)),
        "shares": {name: part / whole.cpu_ms for name, part in zip(PARTS, parts)},
    }


def _measure(dataset, num_batches):
    """The ``Cost`` of a batch of an endless ``dataset``."""
    iterator = iter(dataset)
    for _ in range(_WARMUP_BATCHES):
        next(iterator)
    wall, cpu = time.perf_counter(), _cpu_seconds()
    for _ in range(num_batches):
        next(iterator)
    cpu, wall = _cpu_seconds() - cpu, time.perf_counter() - wall
    return Cost(1000 * cpu / num_batches, 1000 * wall / num_batches)


def _cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _chains(*, seed, input_size, options):
    """Functions of a record that stop after each of ``PARTS`` but the last."""

    def read(epoch, index, serialized):
        return epoch, index, serialized

    def parse(epoch, index, serialized):
        record = schema.parse_example(serialized)
        used = ("encoded", "height", "width", "boxes", "labels", "crowd")
        return {name: record[name] for name in used}

    def frame(epoch, index, serialized):
        record = parse(epoch, index, serialized)
        key = (seed, epoch, index)
        return record, pipeline.draw_plan(record, key, input_size=input_size, options=options)

    def decode(*key_and_serialized):
        record, plan = frame(*key_and_serialized)
        pixels = rendering.decode_window(record["encoded"], plan["window"], plan["size"])
        return record, plan, pixels

    def resize(*key_and_serialized):
        record, plan = frame(*key_and_serialized)
        pixels = rendering.render_rectangle(record["encoded"], plan, size=plan["size"])
        return record, plan, pixels

    return read, parse, frame, decode, resize


def _decode(encoded):
    return tf.io.decode_jpeg(encoded, channels=3)


def _encoded(manifests, seed, start, count, read_options):
    """The JPEGs of ``count`` records from position ``start`` on, string [count], in memory."""
    records = order.shuffled_records(manifests, seed=seed, start=start, options=read_options)
    images = records.map(
        lambda epoch, index, serialized: schema.parse_example(serialized)["encoded"],
        tf.data.AUTOTUNE,
    )
    return next(iter(images.batch(count)))
