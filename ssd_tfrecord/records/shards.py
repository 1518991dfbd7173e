"""The files of a record set: written aside, and given their names once all are whole."""

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator

import tensorflow as tf

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import FILE_NAME, Shard

PARTIAL_FOLDER = ".partial"


@contextlib.contextmanager
def partial_folder(output_dir: str) -> Iterator[str]:
    """An empty folder in ``output_dir`` for unfinished files; gone at the end, come what may."""
    folder = os.path.join(output_dir, PARTIAL_FOLDER)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        os.makedirs(folder)
    except OSError as error:
        raise InputError(f"--output_dir={output_dir}: cannot be made: {error.strerror}") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_shards(
    folder: str, set_name: str, num_shards: int, num_records: int, records: Iterable[bytes]
) -> tuple[Shard, ...]:
    """Writes ``num_records`` serialized records in order, in shards that differ by one at most.

    There are ``num_shards``, or ``num_records`` where that is fewer.
    """
    num_shards = min(num_shards, num_records)
    records = iter(records)
    bounds = [num_records * shard // num_shards for shard in range(num_shards + 1)]
    return tuple(
        _write_shard(
            os.path.join(folder, f"{set_name}-{shard:05d}-of-{num_shards:05d}.tfrecord"),
            itertools.islice(records, bounds[shard + 1] - bounds[shard]),
        )
        for shard in range(num_shards)
    )


def _write_shard(path, records):
    lengths = []
    with tf.io.TFRecordWriter(path) as writer:
        for record in records:
            writer.write(record)
            lengths.append(len(record))
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return Shard(
        file=os.path.basename(path),
        num_records=len(lengths),
        bytes=os.path.getsize(path),
        sha256=digest.hexdigest(),
        record_bytes=tuple(lengths),
    )


def files_of_set(output_dir: str, set_name: str) -> list[str]:
    """Names in ``output_dir`` that a set called ``set_name`` would replace or mix with.

    That is the manifest, the shards it lists, and shards of the same name that have none.
    """
    names = sorted(os.listdir(output_dir)) if os.path.isdir(output_dir) else []
    pattern = re.compile(re.escape(set_name) + r"-\d{5}-of-\d{5}\.tfrecord")
    listed = _listed_shards(output_dir) if FILE_NAME in names else set()
    shards = [name for name in names if name in listed or pattern.fullmatch(name)]
    return [FILE_NAME, *shards] if FILE_NAME in names else shards


def _listed_shards(output_dir):
    try:
        with open(os.path.join(output_dir, FILE_NAME), encoding="utf-8") as file:
            return {shard["file"] for shard in json.load(file)["shards"]}
    except (ValueError, KeyError, TypeError):
        return set()


def publish(folder: str, output_dir: str, old_files: list[str]):
    """Gives the files of ``folder`` their place in ``output_dir``, instead of ``old_files``.

    The old manifest goes first: until the caller writes the new one, the set is incomplete.
    """
    for name in old_files:
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(output_dir, name))
    for name in sorted(os.listdir(folder)):
        os.replace(os.path.join(folder, name), os.path.join(output_dir, name))
