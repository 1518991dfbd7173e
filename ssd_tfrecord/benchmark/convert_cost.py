"""What conversion costs in CPU time, part by part, beside bare JPEG decoding."""

import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ssd_tfrecord.benchmark import rounds
from ssd_tfrecord.options import BoxOptions, ImageOptions
from ssd_tfrecord.records import schema
from ssd_tfrecord.records.images.stored_image import read_image
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceObject
from ssd_tfrecord.records.sources.spool import IMAGES, Spool
from ssd_tfrecord.records.writing import shard_writer, shards

PARTS = ("reading", "verifying", "writing")


def measure_convert(
    manifests: Sequence[Manifest], *, num_images: int, num_rounds: int, verify: str = "decode"
) -> dict[str, Any]:
    """Measures how images become a shard, in this process: the work of one worker.

    The images are written to a temporary folder, read from there (by then from the page cache), and
    converted with default flags except ``verify``. In each round the parts take turns, so that
    noise that lasts for seconds affects all of them. Figures are medians over the rounds, a ratio
    is the median of the ratios per round, and a ``…spread`` is half the interquartile range as a
    share of the median.

    Args:
        manifests: the sets whose images are converted.
        num_images: images per round; if the sets have fewer, they are repeated.
        num_rounds: rounds that are counted, after one that is not.
        verify: as --verify: ``decode`` or ``header``.

    Returns:
        A dict: ``images``; ``images_per_s`` of one worker; ``cpu_ms_per_image`` (user + system of
        the whole process); the same two of ``bare_decode`` (tf.io.decode_jpeg of the same files,
        which have been read before); ``ratio_to_decode``; and for each of ``PARTS``
        ``part_cpu_ms_per_image`` and ``shares``, which sum to 1. Verifying is what ``read_image``
        costs more than reading the file; writing is everything after it.
    """
    with tempfile.TemporaryDirectory() as folder:
        sources = _repeated(unpack(manifests, folder, num_images), num_images)
        names = sorted({item.name for source in sources for item in source.objects})
        labels = {name: label for label, name in enumerate(names, 1)}
        recipe = shards.Recipe(folder, labels, ImageOptions(verify=verify), BoxOptions())
        images = Spool(IMAGES, sources)
        # One shard, as a worker makes one at a time.
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
    # Each contains the one before: a part is the difference.
    chains = dict(zip(PARTS, (costs["reading"], costs["read_image"], costs["whole"])))
    return {
        "images": len(sources),
        **rounds.rate_figures(costs["whole"]),
        "bare_decode": rounds.rate_figures(costs["bare_decode"]),
        **rounds.ratio_figures(costs["whole"], costs["bare_decode"]),
        **rounds.part_figures(chains),
    }


def unpack(manifests: Sequence[Manifest], folder: str, num_images: int) -> list[SourceImage]:
    """Writes the JPEGs of the first records to files, and describes them as a converter's input.

    Args:
        manifests: the sets; the classes are those of the first.
        folder: exists.
        num_images: number of records, or all if the sets have fewer.
    """
    classes = manifests[0].class_names
    paths = [path for manifest in manifests for path in manifest.shard_paths]
    records = tf.data.TFRecordDataset(paths).take(num_images).map(schema.parse_example)
    found = []
    for index, record in enumerate(records.as_numpy_iterator()):
        path = os.path.join(folder, f"{index}.jpg")
        with open(path, "wb") as file:
            file.write(record["encoded"])
        height, width = int(record["height"]), int(record["width"])
        # From fractions back to pixels, as annotation files have them.
        boxes = (record["boxes"] * np.array([height, width] * 2, np.float32)).tolist()
        objects = tuple(
            SourceObject(number, classes[label - 1], tuple(box))
            for number, (label, box) in enumerate(zip(record["labels"].tolist(), boxes), 1)
        )
        found.append(SourceImage(str(index), path, path, (width, height), objects))
    return found


def _repeated(sources: Sequence[SourceImage], num_images: int) -> list[SourceImage]:
    """``num_images`` images that repeat ``sources``, with unique ids as a converter requires."""
    return [
        dataclasses.replace(sources[index % len(sources)], source_id=str(index))
        for index in range(num_images)
    ]


def _each(function: Callable[..., object], items: Iterable[object], *arguments: object) -> None:
    for item in items:
        function(item, *arguments)


def _decode(content: bytes) -> None:
    tf.io.decode_jpeg(content, channels=3)


def _read(source: SourceImage) -> bytes:
    with open(source.image_path, "rb") as file:
        return file.read()
