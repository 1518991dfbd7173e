"""One shard, checked record by record."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.inspection import frames
from ssd_tfrecord.inspection.index import BOXES_CLIPPED
from ssd_tfrecord.inspection.record_check import INSIDE, TOLERATED, CheckedRecord, check
from ssd_tfrecord.records.annotation import ImageAnnotation
from ssd_tfrecord.records.manifest import Shard
from ssd_tfrecord.records.sources.layouts.tfrecords import record_frames
from ssd_tfrecord.records.sources.layouts.tfrecords.record_frames import Frame
from ssd_tfrecord.records.statistics import Statistics
from ssd_tfrecord.records.writing.shards import sha256_of


def check_shard(
    path: str,
    shard: Shard,
    class_names: Sequence[str],
    advance: Callable[[], None] = lambda: None,
    *,
    is_indexed: bool = False,
) -> tuple[list[tuple[int | None, str]], dict[str, Any]]:
    """Compares a file with ``shard``, and checks all its records.

    Args:
        path: of the file.
        shard: what the manifest says about it. If its checksum is correct, the file is not searched
            for damaged bytes.
        class_names: of the set, in label order.
        advance: called after each record.
        is_indexed: whether another tool made the file; its boxes may reach beyond the image.

    Returns:
        [(record, counted from 0, or None for the file; what is wrong)], and the counts of a
        ``Statistics`` of the intact records.
    """
    statistics = Statistics(class_names)
    damages: list[tuple[int | None, str]] = []
    intact = sha256_of(path) == shard.sha256
    limits = TOLERATED if is_indexed else INSIDE
    if not intact:
        damages.append((None, "sha256 does not match the manifest"))
    with open(path, "rb") as file:
        # By the manifest's lengths: a damaged one in the file does not hide the records behind it.
        for frame in frames.listed(shard.record_bytes):
            # With the right checksum for the file, those of its frames are right too.
            what = "" if intact else frames.damage(path, frame)
            if what:
                damages.append((frame.index, f"at byte {frame.offset}: {what}"))
            else:
                checked = check(frames.read(file, frame), class_names, limits)
                # The source id, by which the image is found in the annotations.
                name = f"({checked.annotation.source_id}) " if checked.annotation else ""
                damages += [(frame.index, name + what) for what in checked.damages]
                if checked.annotation and not checked.damages:
                    _count(statistics, checked.annotation, checked.num_clipped)
            advance()
    return damages, statistics.counts()


def describe_shard(
    path: str, class_names: Sequence[str], advance: Callable[[], None] = lambda: None
) -> tuple[Shard, dict[str, Any]]:
    """Describes a file that has no manifest.

    Args:
        path: of the file.
        class_names: of the set, in label order.
        advance: called after each record.

    Returns:
        The Shard, and the counts of a ``Statistics`` of its records.

    Raises:
        InputError: a record cannot be trained on; the first one is reported.
    """
    statistics, lengths = Statistics(class_names), []
    for frame, checked in _checked(path, class_names):
        _count(statistics, _annotation(path, frame, checked), checked.num_clipped)
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
    """The class names that the records of a file contain.

    Args:
        path: of the file.
        advance: called after each record.

    Returns:
        {(label, class name): the first record that has them, counted from 0}.

    Raises:
        InputError: a record cannot be read, or has no class names; the first one is reported.
    """
    first: dict[tuple[int, str], int] = {}
    for frame, checked in _checked(path, None):
        labels = [item.label for item in checked.annotation.objects] if checked.annotation else []
        # Other tools may write labels without names.
        if len(checked.texts) != len(labels):
            raise InputError(f"{path}: record {frame.index} has no class names; pass --label_map")
        for pair in zip(labels, checked.texts):
            first.setdefault(pair, frame.index)
        advance()
    return first


def _count(statistics: Statistics, annotation: ImageAnnotation, num_clipped: int) -> None:
    statistics.add(annotation)
    # A count of 0 would be a line of the manifest.
    if num_clipped:
        statistics.actions[BOXES_CLIPPED] += num_clipped


def _annotation(path: str, frame: Frame, checked: CheckedRecord) -> ImageAnnotation:
    # A record that cannot be parsed has no annotation, but a damage that says so.
    if checked.damages or checked.annotation is None:
        raise InputError(f"{path}: record {frame.index}: {''.join(checked.damages[:1])}")
    return checked.annotation


def _checked(path: str, class_names: Sequence[str] | None) -> Iterator[tuple[Frame, CheckedRecord]]:
    with open(path, "rb") as file:
        for frame in record_frames.scan(path):
            if damage := frames.damage(path, frame):
                raise InputError(f"{path}: record {frame.index} at byte {frame.offset}: {damage}")
            yield frame, check(frames.read(file, frame), class_names, TOLERATED)
