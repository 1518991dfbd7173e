"""What conversion costs in CPU time, part by part, beside bare JPEG decoding."""

import dataclasses
import os
import tempfile

import numpy as np
import tensorflow as tf

from ssd_tfrecord.benchmark import rounds
from ssd_tfrecord.options import BoxOptions, ImageOptions
from ssd_tfrecord.records import schema
from ssd_tfrecord.records.images.stored_image import read_image
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceObject
from ssd_tfrecord.records.sources.spool import IMAGES, Spool
from ssd_tfrecord.records.writing import shard_writer, shards

PARTS = ("reading", "verifying", "writing")


def measure_convert(manifests, *, num_images: int, num_rounds: int, verify: str = "decode") -> dict:
    """Measures how images become a shard, in this process: one worker of many.

    The images of ``manifests`` are written to files of a temporary folder, which are read from
    memory then, and converted with default flags and ``verify`` (``decode`` or ``header``). Parts
    take turns in each of ``num_rounds`` rounds, after one that is not counted, so that a noise of
    seconds meets all of them. Figures are medians over the rounds, a ratio is the median of the
    rounds' ratios, and a ``…spread`` is half of what lies between the quartiles, as a share of the
    median.

    Returns:
        A dict: ``images`` (some again and again where the sets have fewer), ``images_per_s`` of
        one
        worker, ``cpu_ms_per_image`` (user + system of the whole process), the same two of
        ``bare_decode`` (tf.io.decode_jpeg of the same files, read before), ``ratio_to_decode``,
        and by ``PARTS`` ``part_cpu_ms_per_image`` and ``shares``, which sum to 1. Verifying is
        reading's rest of ``read_image``; writing is all that comes after it.
    """
    with tempfile.TemporaryDirectory() as folder:
        sources = _repeated(unpack(manifests, folder, num_images), num_images)
        names = sorted({item.name for source in sources for item in source.objects})
        labels = {name: label for label, name in enumerate(names, 1)}
        recipe = shards.Recipe(folder, labels, ImageOptions(verify=verify), BoxOptions())
        images = Spool(IMAGES, sources)
        (plan,) = shards.plan(images, "measured", 1, 0, folder)
        contents = [_read(source) for source in sources]
        measured = rounds.measure(
            {
                "bare_decode": lambda: _each(_decode, contents),
                "reading": lambda: _each(_read, sources),
                "read_image": lambda: _each(read_image, sources, recipe.images),
                "whole": lambda: shard_writer.write(plan, recipe, lambda: None),
            },
            num_rounds,
        )
    costs = {name: [cost.over(len(sources)) for cost in row] for name, row in measured.items()}
    chains = dict(zip(PARTS, (costs["reading"], costs["read_image"], costs["whole"])))
    return {
        "images": len(sources),
        **rounds.rate_figures(costs["whole"]),
        "bare_decode": rounds.rate_figures(costs["bare_decode"]),
        **rounds.ratio_figures(costs["whole"], costs["bare_decode"]),
        **rounds.part_figures(chains),
    }


def unpack(manifests, folder, num_images: int) -> list[SourceImage]:
    """The first ``num_images`` records as SourceImages, whose JPEGs are written to ``folder``."""
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


def _repeated(sources, num_images):
    """``num_images`` of ``sources``, which begin again and have names of their own."""
    return [
        dataclasses.replace(sources[index % len(sources)], source_id=str(index))
        for index in range(num_images)
    ]


def _each(function, items, *arguments):
    for item in items:
        function(item, *arguments)


def _decode(content):
    tf.io.decode_jpeg(content, channels=3)


def _read(source):
    with open(source.image_path, "rb") as file:
        return file.read()
