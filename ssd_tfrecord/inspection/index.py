"""A manifest for records that other tools have written, so that training takes them."""

import functools
import glob
import os
from collections.abc import Callable

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.inspection.label_map import fill_gaps, read_label_map
from ssd_tfrecord.records.manifest import FILE_NAME, SCHEMA_VERSION, Manifest
from ssd_tfrecord.records.processes import workers
from ssd_tfrecord.records.statistics import Statistics

_BYTES_OF_A_RECORD = 100_000  # in VOC; 160,000 in COCO


def write_manifest(
    directory: str,
    pattern: str,
    label_map: str = "",
    *,
    flag_lines=(),
    num_workers: int = 1,
    advance: Callable[[int], None] = lambda count: None,
) -> Manifest:
    """Reads every record of the TFRecord files ``pattern`` in ``directory``, and describes them.

    Args:
        label_map: a .pbtxt; "": the names that the records themselves have.
        num_workers: as --workers: processes, each with a file at a time.

    Raises:
        InputError for a manifest that is there already, and for the first record that training
        could not take.
    """
    if os.path.exists(os.path.join(directory, FILE_NAME)):
        raise InputError(f"{directory}: has a {FILE_NAME} already: remove it to make another")
    paths = sorted(path for path in glob.glob(os.path.join(directory, pattern)))
    paths = [path for path in paths if os.path.isfile(path)]
    if not paths:
        raise InputError(f"--pattern={pattern}: no such file in {directory}")
    num_records = sum(map(os.path.getsize, paths)) // _BYTES_OF_A_RECORD
    num_workers = workers.choose_number(num_workers, num_records, len(paths))
    classes = read_label_map(label_map) if label_map else _named_by_records(paths, num_workers)
    class_names = [item.name for item in classes]
    statistics, shards = Statistics(class_names), []
    describe = functools.partial(_describe, class_names=class_names)
    for shard, counts in workers.run(describe, paths, num_workers, advance):
        shards.append(shard)
        statistics.merge(counts)
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
        shards=tuple(shards),
        flags=tuple(flag_lines),
        source={"pattern": pattern, "label_map": label_map},
        **statistics.counts(),
    )
    manifest.save()
    return manifest


def _describe(path, advance, class_names):
    # TensorFlow, which this imports, is not needed by a parent of workers.
    from ssd_tfrecord.inspection import shard_check

    return shard_check.describe_shard(path, class_names, advance)


def _class_names_in(path, advance):
    from ssd_tfrecord.inspection import shard_check

    return shard_check.class_names_in(path, advance)


def _named_by_records(paths, num_workers):
    names = {}
    found = workers.run(_class_names_in, paths, num_workers, lambda count: None)
    for pairs, path in zip(found, paths):
        for (label, name), record in pairs.items():
            if label < 1 or names.setdefault(label, name) != name:
                raise InputError(
                    f"{path}: record {record}: label {label} is {name!r}, before "
                    f"{names.get(label)!r}: must be 1 or more, of one name; pass --label_map"
                )
    if not names:
        raise InputError(f"{paths[0]}: no record has an object: pass --label_map")
    return fill_gaps(names)
