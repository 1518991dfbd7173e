"""Is a record set whole? Checksums, counts, and every record parsed and decoded."""

import collections
import functools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ssd_tfrecord.records import manifest as manifests
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.processes import workers
from ssd_tfrecord.records.statistics import Statistics

# What the records themselves say again.
_COUNTED = ("max_objects", "num_pixels", "per_class", "histograms", "formats")


@dataclass(frozen=True)
class Damage:
    """``record`` counts the file's records from 0; None where it is the file's."""

    file: str
    record: int | None
    what: str

    def __str__(self):
        return f"{self.file}{'' if self.record is None else f': record {self.record}'}: {self.what}"


def verify(
    manifest: Manifest,
    num_workers: int = 1,
    advance: Callable[[int], None] = lambda count: None,
) -> Iterator[Damage]:
    """Yields every Damage of a set, in the order of its files and records.

    A shard whose checksum is right is not searched for damaged bytes.

    Args:
        num_workers: as --workers: processes, each with a shard at a time.
        advance: called with a number of records that were looked at.

    Raises:
        InputError if a worker dies.
    """
    yield from _verify_other_files(manifest)
    statistics = Statistics(manifest.class_names)
    whole = True
    check = functools.partial(_check, class_names=manifest.class_names)
    items = list(zip(manifest.shard_paths, manifest.shards))
    number = workers.choose_number(num_workers, manifest.num_records, len(items))
    results = workers.run(check, items, number, advance)
    for (damages, counts), shard in zip(results, manifest.shards):
        whole = whole and not damages
        yield from (Damage(shard.file, record, what) for record, what in damages)
        statistics.merge(counts)
    if whole:
        yield from _verify_counts(manifest, statistics)


def _check(item, advance, class_names):
    # TensorFlow, which this imports, is not needed by a parent of workers.
    from ssd_tfrecord.inspection import shard_check

    return shard_check.check_shard(*item, class_names, advance)


def _verify_other_files(manifest):
    digests = manifests.file_digests(manifest.directory)
    for file, (wanted, found) in digests.items():
        if wanted and not found:
            yield Damage(file, None, "is missing")
        elif wanted != found:
            yield Damage(file, None, "sha256 is another than the manifest's")
    yield from _verify_rejects(manifest)


def _verify_rejects(manifest):
    path = os.path.join(manifest.directory, manifests.REJECTS_NAME)
    if not os.path.isfile(path):
        return
    try:
        with open(path, encoding="utf-8") as file:
            found = collections.Counter(json.loads(line)["reason"] for line in file)
    except (ValueError, KeyError, TypeError) as error:
        yield Damage(manifests.REJECTS_NAME, None, f"does not parse: {error}")
        return
    if dict(found) != manifest.rejects:
        yield Damage(
            manifests.REJECTS_NAME, None, f"counts {dict(found)}, the manifest {manifest.rejects}"
        )


def _verify_counts(manifest, statistics):
    counts = statistics.counts()
    for key in _COUNTED:
        if counts[key] != getattr(manifest, key):
            yield Damage(manifests.FILE_NAME, None, f"{key} is not what the records have")
    for kind in ("objects", "difficult", "crowd"):
        if statistics.total(kind) != getattr(manifest, f"num_{kind}"):
            yield Damage(manifests.FILE_NAME, None, f"num_{kind} is not what the records have")
