"""A manifest for records that other tools have written, so that training takes them."""

import glob
import os
from collections.abc import Callable

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.inspection import frames
from ssd_tfrecord.records.inspection.label_map import fill_gaps, read_label_map
from ssd_tfrecord.records.inspection.record_check import check
from ssd_tfrecord.records.manifest import FILE_NAME, SCHEMA_VERSION, Manifest, Shard
from ssd_tfrecord.records.shards import sha256_of
from ssd_tfrecord.records.statistics import Statistics


def write_manifest(
    directory: str,
    pattern: str,
    label_map: str = "",
    *,
    flag_lines=(),
    advance: Callable[[int], None] = lambda count: None,
) -> Manifest:
    """Reads every record of the TFRecord files ``pattern`` in ``directory``, and describes them.

    Args:
      label_map: a .pbtxt; "": the names that the records themselves have.

    Raises: InputError for a manifest that is there already, and for the first record that training
      could not take.
    """
    if os.path.exists(os.path.join(directory, FILE_NAME)):
        raise InputError(f"{directory}: has a {FILE_NAME} already: remove it to make another")
    paths = sorted(path for path in glob.glob(os.path.join(directory, pattern)))
    paths = [path for path in paths if os.path.isfile(path)]
    if not paths:
        raise InputError(f"--pattern={pattern}: no such file in {directory}")
    classes = read_label_map(label_map) if label_map else _named_by_records(paths)
    class_names = [item.name for item in classes]
    statistics = Statistics(class_names)
    shards = tuple(_shard(path, class_names, statistics, advance) for path in paths)
    manifest = Manifest(
        directory=directory,
        schema_version=SCHEMA_VERSION,
        tool="inspect_tfrecords",
        name=os.path.basename(os.path.abspath(directory)),
        classes=classes,
        pixel_origin=0,
        num_records=sum(shard.num_records for shard in shards),
        num_objects=statistics.total("objects"),
        num_difficult=statistics.total("difficult"),
        num_crowd=statistics.total("crowd"),
        shards=shards,
        flags=tuple(flag_lines),
        source={"pattern": pattern, "label_map": label_map},
        **statistics.counts(),
    )
    manifest.save()
    return manifest


def _shard(path, class_names, statistics, advance):
    lengths = []
    for frame, checked in _checked(path, class_names):
        if checked.damages:
            raise InputError(f"{path}: record {frame.index}: {checked.damages[0]}")
        statistics.add(checked.annotation)
        lengths.append(frame.length)
        advance(1)
    return Shard(
        file=os.path.basename(path),
        num_records=len(lengths),
        bytes=os.path.getsize(path),
        sha256=sha256_of(path),
        record_bytes=tuple(lengths),
    )


def _checked(path, class_names):
    with open(path, "rb") as file:
        for frame in frames.scan(path):
            if damage := frames.damage(file, frame):
                raise InputError(f"{path}: record {frame.index} (byte {frame.offset} on): {damage}")
            yield frame, check(frames.read(file, frame), class_names)


def _named_by_records(paths):
    names = {}
    for path in paths:
        for frame, checked in _checked(path, None):
            labels = (
                [item.label for item in checked.annotation.objects] if checked.annotation else ()
            )
            if len(checked.texts) != len(labels):
                raise InputError(
                    f"{path}: record {frame.index}: has no class names: pass --label_map"
                )
            for label, name in zip(labels, checked.texts):
                if label < 1 or names.setdefault(label, name) != name:
                    raise InputError(
                        f"{path}: record {frame.index}: label {label} is {name!r}, before "
                        f"{names.get(label)!r}: must be 1 or more, of one name; pass --label_map"
                    )
    if not names:
        raise InputError(f"{paths[0]}: no record has an object: pass --label_map")
    return fill_gaps(names)
