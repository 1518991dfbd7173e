"""What a record set was made from, in a few bytes: for resuming, and for the manifest."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass

from ssd_tfrecord.records.sources.source_set import SourceImage


@dataclass(frozen=True)
class Fingerprint:
    """What some images and their annotations were when they were read.

    ``inputs`` is the sha256 of the images in their order: annotations, paths, file times.
    ``content`` is the sum, modulo 2**256, of one sha256 per image, of its annotation and its file's
    size: equal wherever the files lie, in whatever order and shards.
    """

    inputs: str
    content: int

    @property
    def text(self) -> str:
        """``content``, as a manifest has it."""
        return f"{self.content:064x}"


class Gathered:
    """The Fingerprint of images that are added one by one, before each is read."""

    def __init__(self) -> None:
        self._inputs, self._content = hashlib.sha256(), 0

    def add(self, image: SourceImage) -> None:
        """Adds an image; its file is looked up, but not read."""
        size, time = _size_and_time(image.image_path)
        size = image.num_bytes or size
        # repr() of a float is exact: no two boxes are alike unless they are equal.
        known = repr((image.source_id, size, image.size, image.objects)).encode()
        digest = hashlib.sha256(known).digest()
        self._inputs.update(digest)
        self._inputs.update(repr((image.image_path, time, image.file)).encode())
        if image.num_bytes:
            self._inputs.update(b"%d" % image.offset)
        # A sum, since it depends on no order: shards can be added up, and sets compared whatever
        # their seeds and numbers of shards.
        self._content += int.from_bytes(digest, "big")

    def result(self) -> Fingerprint:
        """The Fingerprint of all images added so far."""
        return Fingerprint(self._inputs.hexdigest(), self._content % 2**256)


def of_images(images: Iterable[SourceImage]) -> Fingerprint:
    """The Fingerprint of ``images``."""
    gathered = Gathered()
    for image in images:
        gathered.add(image)
    return gathered.result()


def _size_and_time(path: str) -> tuple[int, int]:
    """(bytes, nanoseconds of the last change), or (-1, -1) if there is no such file."""
    try:
        status = os.stat(path)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns
