"""Is a record set intact? Checksums, counts, and every record parsed and decoded."""

import collections
import functools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ssd_tfrecord.inspection.index import TOOL
from ssd_tfrecord.records import manifest as manifests
from ssd_tfrecord.records.manifest import Manifest, Shard
from ssd_tfrecord.records.processes import workers
from ssd_tfrecord.records.statistics import Statistics

# What the manifest says about the records, and can be counted again.
_COUNTED = ("max_objects", "num_pixels", "per_class", "histograms", "formats")


@dataclass(frozen=True)
class Damage:
    """Something that is wrong with a set.

    ``file`` is relative to the set's folder. ``record`` is counted from 0 in that file, or None if
    the damage is not that of a record.
    """

    file: str
    record: int | None
    what: str

    def __str__(self) -> str:
        return f"{self.file}{'' if self.record is None else f': record {self.record}'}: {self.what}"


def verify(
    manifest: Manifest,
    num_workers: int = 1,
    advance: Callable[[int], object] = lambda count: None,
) -> Iterator[Damage]:
    """Yields every Damage of a set, in the order of its files and records.

    A shard whose checksum is correct is not searched for damaged bytes. Boxes must be inside of
    their image, unless the set was indexed: then they may reach as far beyond it as there.

    Args:
        manifest: of the set.
        num_workers: number of processes, as --workers; each works on one shard at a time.
        advance: called with the number of records that have been checked since the last time.

    Raises:
        InputError: a worker died.
    """
    yield from _verify_other_files(manifest)
    statistics = Statistics(manifest.class_names)
    intact = True
    check = functools.partial(
        _check, class_names=manifest.class_names, is_indexed=manifest.tool == TOOL
    )
    items = list(zip(manifest.shard_paths, manifest.shards))
    number = workers.choose_number(num_workers, manifest.num_records, len(items))
    results = workers.run(check, items, number, advance)
    for (damages, counts), shard in zip(results, manifest.shards):
        intact = intact and not damages
        yield from (Damage(shard.file, record, what) for record, what in damages)
        statistics.merge(counts)
    # Damaged records are not counted, so the counts would differ because of them alone.
    if intact:
        yield from _verify_counts(manifest, statistics)


def _check(
    item: tuple[str, Shard],
    advance: Callable[[], None],
    class_names: Sequence[str],
    is_indexed: bool,
) -> tuple[list[tuple[int | None, str]], dict[str, Any]]:
    # This imports TensorFlow, which the parent of worker processes does not need.
    from ssd_tfrecord.inspection import shard_check

    path, shard = item
    return shard_check.check_shard(path, shard, class_names, advance, is_indexed=is_indexed)


def _verify_other_files(manifest: Manifest) -> Iterator[Damage]:
    digests = manifests.file_digests(manifest.directory)
    for file, (wanted, found) in digests.items():
        # "" on either side: there was, or is, no such file.
        if wanted and not found:
            yield Damage(file, None, "is missing")
        elif wanted != found:
            yield Damage(file, None, "sha256 does not match the manifest")
    yield from _verify_rejects(manifest)


def _verify_rejects(manifest: Manifest) -> Iterator[Damage]:
    path = os.path.join(manifest.directory, manifests.REJECTS_NAME)
    # Reported already if the manifest lists it; a set that was indexed has none.
    if not os.path.isfile(path):
        return
    try:
        with open(path, encoding="utf-8") as file:
            found = collections.Counter(json.loads(line)["reason"] for line in file)
    except (ValueError, KeyError, TypeError) as error:
        yield Damage(manifests.REJECTS_NAME, None, f"cannot be parsed: {error}")
        return
    if dict(found) != manifest.rejects:
        yield Damage(
            manifests.REJECTS_NAME,
            None,
            f"contains {dict(found)}, but the manifest says {manifest.rejects}",
        )


def _verify_counts(manifest: Manifest, statistics: Statistics) -> Iterator[Damage]:
    counts = statistics.counts()
    # The actions of other sets are those of a conversion, which the records do not show.
    for key in (*_COUNTED, *(("actions",) if manifest.tool == TOOL else ())):
        if counts[key] != getattr(manifest, key):
            yield Damage(manifests.FILE_NAME, None, f"{key} does not match the records")
    for kind in ("objects", "difficult", "crowd"):
        if statistics.total(kind) != getattr(manifest, f"num_{kind}"):
            yield Damage(manifests.FILE_NAME, None, f"num_{kind} does not match the records")
