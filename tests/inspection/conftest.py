"""Record sets made of a few pictures."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tfrecord.inspection.index import write_manifest
from ssd_tfrecord.records.annotation import ImageAnnotation, ObjectAnnotation
from ssd_tfrecord.records.schema import to_example

CLASSES = ("cat", "dog")


@pytest.fixture(scope="session")
def scene():
    """A function: a number, and quality and size of the JPEG -> a picture of patches of colour."""

    def draw(seed, quality=90, size=(120, 90)):
        patches = np.random.default_rng(seed).integers(0, 256, [9, 12, 3], np.uint8)
        target = io.BytesIO()
        picture = Image.fromarray(patches).resize((120, 90), Image.Resampling.BICUBIC).resize(size)
        picture.save(target, "JPEG", quality=quality)
        return target.getvalue()

    return draw


@pytest.fixture(scope="session")
def write_set():
    """A function: folder, [(source_id, JPEG, [(label, box) or (label, box, "crowd")])] -> Manifest.

    Two images per shard, as far as there are some.
    """

    def write(folder, images):
        folder.mkdir(parents=True)
        (folder / "map.pbtxt").write_text(
            "".join(f"item {{ id: {i} name: '{name}' }}\n" for i, name in enumerate(CLASSES, 1))
        )
        for start in range(0, len(images), 2):
            with tf.io.TFRecordWriter(str(folder / f"{start // 2}.record")) as writer:
                for item in images[start : start + 2]:
                    writer.write(_example(*item))
        return write_manifest(str(folder), "*record", str(folder / "map.pbtxt"))

    return write


def _example(source_id, encoded, objects):
    width, height = Image.open(io.BytesIO(encoded)).size
    annotations = tuple(
        ObjectAnnotation(label, CLASSES[label - 1], box, crowd=bool(crowd))
        for label, box, *crowd in objects
    )
    return to_example(ImageAnnotation(source_id, "", height, width, annotations), encoded)
