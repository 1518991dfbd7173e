"""What a record set was made from, in a few bytes: for going on, and for the manifest."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass

from ssd_tfrecord.records.sources.source_set import SourceImage


@dataclass(frozen=True)
class Fingerprint:
    """``inputs`` is the sha256 of some images in their order: annotations, paths, file times.

    ``content`` is the sum of a sha256 for each image, of its annotation and its file's size:
    equal wherever the files lie, in whatever order and shards.
    """

    inputs: str
    content: int


class Gathered:
    """The Fingerprint of images that are told one by one, before each is read."""

    def __init__(self):
        self._inputs, self._content = hashlib.sha256(), 0

    def add(self, image: SourceImage):
        """Looks at the image's file; it is not read."""
        size, time = _size_and_time(image.image_path)
        # repr of a float is exact.
        known = repr((image.source_id, size, image.size, image.objects)).encode()
        digest = hashlib.sha256(known).digest()
        self._inputs.update(digest)
        self._inputs.update(repr((image.image_path, time, image.file)).encode())
        self._content += int.from_bytes(digest, "big")

    def result(self) -> Fingerprint:
        """Of all images until now."""
        return Fingerprint(self._inputs.hexdigest(), self._content % 2**256)


def of_images(images: Iterable[SourceImage]) -> Fingerprint:
    """The Fingerprint of ``images``."""
    gathered = Gathered()
    for image in images:
        gathered.add(image)
    return gathered.result()


def _size_and_time(path):
    """(bytes, nanoseconds of the last change), of no file (-1, -1)."""
    try:
        status = os.stat(path)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns
