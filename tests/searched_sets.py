"""Record sets as a search sees them, without files."""

import numpy as np

from ssd_tfrecord.inspection.facts import Facts, SearchedSet
from ssd_tfrecord.records.manifest import ClassLabel, Manifest

NAMES = ("cat", "dog", "unused-3")
# Ten sound objects of each class, so that none is rare: each in an image of its own.
SOUND = [(image, 1 + image % 2, (0.25, 0.25, 0.75, 0.75)) for image in range(20)]


def make_set(objects=SOUND, name="train", num_images=30, size=(200, 100), **changes):
    """A set of ``objects`` (image, label, box) without duplicate images."""
    unique = np.random.default_rng(len(name)).integers(0, 2**64, num_images, np.uint64)
    facts = {
        "source_ids": tuple(f"{name}-{image}" for image in range(num_images)),
        "digests": tuple(f"{name}-{image:02}".ljust(32).encode() for image in range(num_images)),
        "hashes": unique,
        "thumbnails": np.tile(np.arange(256), (num_images, 1)).astype(np.uint8),
        "comparable": np.ones(num_images, bool),
        "sizes": np.tile(np.int32(size), (num_images, 1)),
        "image": np.array([item[0] for item in objects], np.int64),
        "labels": np.array([item[1] for item in objects], np.int32),
        "boxes": np.array([item[2] for item in objects], np.float32).reshape(-1, 4),
    }
    manifest = Manifest(
        directory=name,
        schema_version=2,
        tool="test",
        name=name,
        classes=tuple(ClassLabel(number, text, number) for number, text in enumerate(NAMES, 1)),
        pixel_origin=0,
        num_records=num_images,
        num_objects=len(objects),
        num_difficult=0,
        num_crowd=0,
        max_objects=1,
        num_pixels=0,
        per_class={},
        histograms={},
        shards=(),
        rejects={},
        flags=(),
        source={},
    )
    return SearchedSet(name, manifest, Facts(**facts | changes))
