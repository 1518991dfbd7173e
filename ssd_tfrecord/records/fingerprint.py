"""What a record set was made from, in a few bytes: for going on, and for the manifest."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass

from ssd_tfrecord.records.annotation import SourceImage


@dataclass(frozen=True)
class Fingerprint:
    """``inputs`` is the sha256 of some images in their order: annotations, paths, file times.

    ``content`` is the sum of a sha256 for each image, of its annotation and its file's size:
    equal wherever the files lie, in whatever order and shards.
    """

    inputs: str
    content: int


def of_images(images: Iterable[SourceImage]) -> Fingerprint:
    """The Fingerprint of ``images``; their files are looked at, not read."""
    inputs, content = hashlib.sha256(), 0
    for image in images:
        size, time = _size_and_time(image.image_path)
        # repr of a float is exact.
        known = repr((image.source_id, size, image.size, image.objects)).encode()
        digest = hashlib.sha256(known).digest()
        inputs.update(digest)
        inputs.update(repr((image.image_path, time, image.file)).encode())
        content += int.from_bytes(digest, "big")
    return Fingerprint(inputs.hexdigest(), content % 2**256)


def _size_and_time(path):
    """(bytes, nanoseconds of the last change), of no file (-1, -1)."""
    try:
        status = os.stat(path)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns
