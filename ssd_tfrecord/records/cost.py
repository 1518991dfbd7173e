"""What conversion costs in CPU time, part by part, beside bare JPEG decoding."""

import itertools
import os
import resource
import statistics
import tempfile
import time

import numpy as np
import tensorflow as tf

from ssd_tfrecord.options import BoxOptions, ImageOptions
from ssd_tfrecord.records import schema, shard_writer, shards
from ssd_tfrecord.records.annotation import SourceImage, SourceObject
from ssd_tfrecord.records.images import read_image

PARTS = ("reading", "verifying", "writing")
# Parts take turns, so that a noise of seconds meets all of them; the median forgets it.
_ROUNDS = 7


def measure_convert(manifests, *, num_images: int, verify: str = "decode") -> dict:
    """Measures how images become a shard, in this process: one worker of many.

    The images of ``manifests`` are written to files of a temporary folder, which are read from
    memory then, and converted with default flags and ``verify`` (``decode`` or ``header``).

    Returns:
      A dict of floats: ``images`` (fewer than ``num_images`` where the sets have fewer),
      ``images_per_s`` of one worker, ``cpu_ms_per_image`` (user + system of the whole process),
      ``decode_cpu_ms_per_image`` (bare tf.io.decode_jpeg of the same files, read before),
      ``ratio_to_decode``, and by ``PARTS`` ``part_cpu_ms_per_image`` and ``shares``, which sum to
      1. Verifying is reading's rest of ``read_image``; writing is all that comes after it.
    """
    with tempfile.TemporaryDirectory() as folder:
        sources = _unpack(manifests, folder, num_images)
        names = sorted({item.name for source in sources for item in source.objects})
        labels = {name: label for label, name in enumerate(names, 1)}
        recipe = shards.Recipe(folder, labels, ImageOptions(verify=verify), BoxOptions())
        (plan,) = shards.plan(sources, "measured", 1, 0)
        contents = [_read(source) for source in sources]
        measured = _medians(
            {
                "decode": lambda: _each(_decode, contents),
                "reading": lambda: _each(_read, sources),
                "read_image": lambda: _each(read_image, sources, recipe.images),
                "whole": lambda: shard_writer.write(plan, recipe, lambda: None),
            }
        )
    costs = {name: cpu * 1000 / len(sources) for name, (cpu, _) in measured.items()}
    ends = (0.0, costs["reading"], costs["read_image"], costs["whole"])
    parts = {name: end - start for name, (start, end) in zip(PARTS, itertools.pairwise(ends))}
    return {
        "images": len(sources),
        "images_per_s": len(sources) / measured["whole"][1],
        "cpu_ms_per_image": costs["whole"],
        "decode_cpu_ms_per_image": costs["decode"],
        "ratio_to_decode": costs["whole"] / costs["decode"],
        "part_cpu_ms_per_image": parts,
        "shares": {name: part / costs["whole"] for name, part in parts.items()},
    }


def _each(function, items, *arguments):
    for item in items:
        function(item, *arguments)


def _decode(content):
    tf.io.decode_jpeg(content, channels=3)


def _medians(functions):
    """{name: (CPU seconds, wall seconds)}, medians of rounds after a first one."""
    seconds = {name: [] for name in functions}
    for _ in range(1 + _ROUNDS):
        for name, function in functions.items():
            wall, cpu = time.perf_counter(), _cpu_seconds()
            function()
            seconds[name].append((_cpu_seconds() - cpu, time.perf_counter() - wall))
    return {
        name: tuple(map(statistics.median, zip(*rounds[1:]))) for name, rounds in seconds.items()
    }


def _cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _read(source):
    with open(source.image_path, "rb") as file:
        return file.read()


def _unpack(manifests, folder, num_images):
    """SourceImages of the first records, whose files are in ``folder``."""
    classes = manifests[0].class_names
    paths = [path for manifest in manifests for path in manifest.shard_paths]
    records = tf.data.TFRecordDataset(paths).take(num_images).map(schema.parse_example)
    found = []
    for index, record in enumerate(records.as_numpy_iterator()):
        path = os.path.join(folder, f"{index}.jpg")
        with open(path, "wb") as file:
            file.write(record["encoded"])
        height, width = int(record["height"]), int(record["width"])
        boxes = (record["boxes"] * np.float32([height, width] * 2)).tolist()
        objects = tuple(
            SourceObject(number, classes[label - 1], tuple(box))
            for number, (label, box) in enumerate(zip(record["labels"].tolist(), boxes), 1)
        )
        found.append(SourceImage(str(index), path, path, (width, height), objects))
    return found
