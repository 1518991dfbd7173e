"""The files of a record set: which images each holds, and how they get their final names."""

import contextlib
import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ssd_tfrecord.options import BoxOptions, ImageOptions
from ssd_tfrecord.records.manifest import FILE_NAME
from ssd_tfrecord.records.sources import spool
from ssd_tfrecord.records.sources.source_set import SourceImage
from ssd_tfrecord.records.sources.spool import Spool

# Bytes that are hashed at once.
_BLOCK = 2**18


@dataclass(frozen=True)
class ShardPlan:
    """A shard to write.

    ``file`` is its final name; ``path`` is a file with one line for each of its images, so that a
    plan is small to send to a worker.
    """

    file: str
    path: str
    num_images: int

    @property
    def images(self) -> Iterator[SourceImage]:
        """The images in record order, read from ``path``."""
        with open(self.path, encoding="ascii") as file:
            yield from map(spool.IMAGES.from_line, file)


@dataclass(frozen=True)
class Recipe:
    """What all shards of a set have in common.

    ``folder`` is where they are written, "" to write nothing; ``labels`` is {class name: 1…C};
    ``pixel_origin`` is that of the SourceSet.
    """

    folder: str
    labels: Mapping[str, int]
    images: ImageOptions
    boxes: BoxOptions
    pixel_origin: int = 0


def plan(
    images: Spool[SourceImage], set_name: str, num_shards: int, seed: int, folder: str
) -> tuple[ShardPlan, ...]:
    """Plans the shards of ``images``: shuffled, and of sizes that differ by at most one.

    Args:
        images: the images of the set.
        set_name: the first part of the shards' names.
        num_shards: shards to write; there are fewer if there are fewer images.
        seed: of the shuffled order.
        folder: where the plans' own files are written.
    """

    # A hash rather than a random generator: the order depends neither on the order in which images
    # were listed nor on a library's version.
    def rank(source_id: bytes) -> bytes:
        return hashlib.sha256(b"%d/%s" % (seed, source_id)).digest()

    lines = images.lines_by(rank)
    num_shards = min(num_shards, len(images))
    bounds = [len(images) * shard // num_shards for shard in range(num_shards + 1)]
    plans = []
    for shard, (first, end) in enumerate(itertools.pairwise(bounds)):
        name = f"{set_name}-{shard:05d}-of-{num_shards:05d}.tfrecord"
        plans.append(ShardPlan(name, os.path.join(folder, name + ".images"), end - first))
        with open(plans[-1].path, "w", encoding="ascii") as file:
            file.writelines(line + "\n" for line in itertools.islice(lines, end - first))
    return tuple(plans)


def files_of_set(output_dir: str, set_name: str) -> list[str]:
    """Names in ``output_dir`` that a set called ``set_name`` would replace or be mixed up with.

    These are the manifest, the shards that it lists, and shards of the same name without one.
    """
    names = sorted(os.listdir(output_dir)) if os.path.isdir(output_dir) else []
    pattern = re.compile(re.escape(set_name) + r"-\d{5}-of-\d{5}\.tfrecord")
    # Also shards of another set name, since the manifest that lists them is replaced.
    listed = _listed_shards(output_dir) if FILE_NAME in names else set()
    shards = [name for name in names if name in listed or pattern.fullmatch(name)]
    return [FILE_NAME, *shards] if FILE_NAME in names else shards


def _listed_shards(output_dir: str) -> set[str]:
    try:
        with open(os.path.join(output_dir, FILE_NAME), encoding="utf-8") as file:
            return {shard["file"] for shard in json.load(file)["shards"]}
    # Whatever is wrong with a manifest that is going to be replaced does not matter.
    except (ValueError, KeyError, TypeError, RecursionError):
        return set()


def publish(
    folder: str, output_dir: str, new_files: Sequence[str], old_files: Sequence[str]
) -> None:
    """Moves ``new_files`` from ``folder`` to ``output_dir``, instead of ``old_files``.

    May be called again after an interruption: files that were already moved stay.

    Args:
        folder: where the new files are.
        output_dir: where they go.
        new_files: names, in the order in which they are moved; the manifest must be the last.
        old_files: names, in the order in which they are removed; the manifest must be the first.
    """
    # A folder without a manifest holds no set: at no moment does one describe shards of another.
    for name in old_files:
        if name not in new_files or name == FILE_NAME:
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(output_dir, name))
    for name in new_files:
        with contextlib.suppress(FileNotFoundError):
            os.replace(os.path.join(folder, name), os.path.join(output_dir, name))
    sync(output_dir)


def sync(path: str) -> None:
    """Waits until ``path``, a file or a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: str) -> str:
    """The hex digest of a file."""
    # One buffer for all reads: hashlib.file_digest, which does the same, is not in Python 3.10.
    digest, block = hashlib.sha256(), memoryview(bytearray(_BLOCK))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(block):
            digest.update(block[:count])
    return digest.hexdigest()
