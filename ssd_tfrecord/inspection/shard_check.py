"""One shard, looked at record by record."""

import os
from collections.abc import Callable, Iterator

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.inspection import frames
from ssd_tfrecord.inspection.record_check import check
from ssd_tfrecord.records.manifest import Shard
from ssd_tfrecord.records.statistics import Statistics
from ssd_tfrecord.records.writing.shards import sha256_of


def check_shard(
    path: str, shard: Shard, class_names, advance: Callable[[], None] = lambda: None
) -> tuple[list, dict]:
    """Compares the file with ``shard``, and looks at all its records.

    A file whose checksum is right is not searched for damaged bytes. ``advance`` is called after
    each record.

    Returns:
        [(record, counted from 0, or None for the file; what is wrong)], and the Statistics of the
        whole records as counts.
    """
    statistics, damages = Statistics(class_names), []
    intact = sha256_of(path) == shard.sha256
    if not intact:
        damages.append((None, "sha256 is another than the manifest's"))
    with open(path, "rb") as file:
        for frame in frames.listed(shard.record_bytes):
            what = "" if intact else frames.damage(path, frame)
            if what:
                damages.append((frame.index, f"(byte {frame.offset} on) {what}"))
            else:
                checked = check(frames.read(file, frame), class_names)
                name = f"({checked.annotation.source_id}) " if checked.annotation else ""
                damages += [(frame.index, name + what) for what in checked.damages]
                if not checked.damages:
                    statistics.add(checked.annotation)
            advance()
    return damages, statistics.counts()


def describe_shard(
    path: str, class_names, advance: Callable[[], None] = lambda: None
) -> tuple[Shard, dict]:
    """The Shard of a file that has no manifest, and the Statistics of its records as counts.

    Raises:
        InputError for the first record that training could not take.
    """
    statistics, lengths = Statistics(class_names), []
    for frame, checked in _checked(path, class_names):
        if checked.damages:
            raise InputError(f"{path}: record {frame.index}: {checked.damages[0]}")
        statistics.add(checked.annotation)
        lengths.append(frame.length)
        advance()
    shard = Shard(
        file=os.path.basename(path),
        num_records=len(lengths),
        bytes=os.path.getsize(path),
        sha256=sha256_of(path),
        record_bytes=tuple(lengths),
    )
    return shard, statistics.counts()


def class_names_in(
    path: str, advance: Callable[[], None] = lambda: None
) -> dict[tuple[int, str], int]:
    """{(label, class name): the first record that has them} of the records of a file.

    Raises:
        InputError for the first record that cannot be read, or has no class names.
    """
    first = {}
    for frame, checked in _checked(path, None):
        labels = [item.label for item in checked.annotation.objects] if checked.annotation else ()
        if len(checked.texts) != len(labels):
            raise InputError(f"{path}: record {frame.index}: has no class names: pass --label_map")
        for pair in zip(labels, checked.texts):
            first.setdefault(pair, frame.index)
        advance()
    return first


def _checked(path, class_names) -> Iterator:
    with open(path, "rb") as file:
        for frame in frames.scan(path):
            if damage := frames.damage(path, frame):
                raise InputError(f"{path}: record {frame.index} (byte {frame.offset} on): {damage}")
            yield frame, check(frames.read(file, frame), class_names)
