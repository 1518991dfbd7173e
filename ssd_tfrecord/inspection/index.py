"""A manifest for records that other tools have written, so that they can be trained on."""

import functools
import glob
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import FILE_NAME, SCHEMA_VERSION, ClassLabel, Manifest, Shard
from ssd_tfrecord.records.processes import workers
from ssd_tfrecord.records.sources.layouts.tfrecords.label_map import fill_gaps, read_label_map
from ssd_tfrecord.records.statistics import Statistics

# ``tool`` of the manifests that are written here.
TOOL = "inspect_tfrecords"
# The key of its ``actions`` for boxes that reach beyond the image: they are clipped whenever they
# are read, as the files stay as they are.
BOXES_CLIPPED = "objects clipped: beyond_image"

_BYTES_OF_A_RECORD = 100_000  # in VOC; 160,000 in COCO


def write_manifest(
    directory: str,
    pattern: str,
    label_map: str = "",
    *,
    flag_lines: Iterable[str] = (),
    num_workers: int = 1,
    advance: Callable[[int], object] = lambda count: None,
) -> Manifest:
    """Reads every record of some TFRecord files, and describes them in a manifest.json.

    Args:
        directory: the folder of the files.
        pattern: glob pattern of their names.
        label_map: a .pbtxt; "": the class names that the records themselves contain.
        flag_lines: the flags, for the manifest.
        num_workers: number of processes, as --workers; each works on one file at a time.
        advance: called with the number of records that have been read since the last time.

    Returns:
        The manifest, as it was written.

    Raises:
        InputError: there is a manifest already; there are no files; the label map cannot be read;
            a record cannot be trained on (the first one is reported); or a worker died.
    """
    if os.path.exists(os.path.join(directory, FILE_NAME)):
        raise InputError(f"{directory}: already has a {FILE_NAME}; remove it to write a new one")
    # Sorted, since glob's order is that of the file system, and record indices depend on it.
    paths = sorted(path for path in glob.glob(os.path.join(glob.escape(directory), pattern)))
    paths = [path for path in paths if os.path.isfile(path)]
    if not paths:
        raise InputError(f"--pattern={pattern}: no file in {directory} matches")
    # Their number is known only once they are read; it decides whether workers are worth it.
    num_records = sum(map(os.path.getsize, paths)) // _BYTES_OF_A_RECORD
    num_workers = workers.choose_number(num_workers, num_records, len(paths))
    classes = read_label_map(label_map) if label_map else _named_by_records(paths, num_workers)
    class_names = [item.name for item in classes]
    statistics = Statistics(class_names)
    shards: list[Shard] = []
    describe = functools.partial(_describe, class_names=class_names)
    for shard, counts in workers.run(describe, paths, num_workers, advance):
        shards.append(shard)
        statistics.merge(counts)
    manifest = Manifest(
        directory=directory,
        schema_version=SCHEMA_VERSION,
        tool=TOOL,
        # abspath drops a slash at the end, with which the name would be empty.
        name=os.path.basename(os.path.abspath(directory)),
        classes=classes,
        pixel_origin=0,
        num_records=sum(shard.num_records for shard in shards),
        num_objects=statistics.total("objects"),
        num_difficult=statistics.total("difficult"),
        num_crowd=statistics.total("crowd"),
        shards=tuple(shards),
        flags=tuple(flag_lines),
        source={"pattern": pattern, "label_map": label_map},
        **statistics.counts(),
    )
    manifest.save()
    return manifest


# This and the next are module-level, so that they can be sent to worker processes.
def _describe(
    path: str, advance: Callable[[], None], class_names: Sequence[str]
) -> tuple[Shard, dict[str, Any]]:
    # This imports TensorFlow, which the parent of worker processes does not need.
    from ssd_tfrecord.inspection import shard_check

    return shard_check.describe_shard(path, class_names, advance)


def _class_names_in(path: str, advance: Callable[[], None]) -> dict[tuple[int, str], int]:
    from ssd_tfrecord.inspection import shard_check

    return shard_check.class_names_in(path, advance)


def _named_by_records(paths: Sequence[str], num_workers: int) -> tuple[ClassLabel, ...]:
    """The classes by the names that the records contain."""
    names: dict[int, str] = {}
    # Without progress: the records are counted when they are described, in a second pass.
    found = workers.run(_class_names_in, paths, num_workers, lambda count: None)
    for pairs, path in zip(found, paths):
        for (label, name), record in pairs.items():
            where = f"{path}: record {record}: label {label} is {name!r}"
            if label < 1:
                raise InputError(f"{where}; labels must be at least 1; pass --label_map")
            if names.setdefault(label, name) != name:
                raise InputError(
                    f"{where}, but {names[label]!r} in an earlier record; a label must have one "
                    "name; pass --label_map"
                )
    if not names:
        raise InputError(
            f"{os.path.dirname(paths[0])}: no record of the {len(paths)} files that match has an "
            "object, so none names a class; pass --label_map"
        )
    return fill_gaps(names)
