"""Is a record set whole? Checksums, counts, and every record parsed and decoded."""

import collections
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ssd_tfrecord.records import manifest as manifests
from ssd_tfrecord.records.inspection import frames
from ssd_tfrecord.records.inspection.record_check import check
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.shards import sha256_of
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


def verify(manifest: Manifest, advance: Callable[[int], None] = lambda count: None):
    """Yields every Damage of a set; ``advance`` is told the records that were looked at.

    A shard whose checksum is right is not searched for damaged bytes.
    """
    yield from _verify_other_files(manifest)
    statistics = Statistics(manifest.class_names)
    whole = True
    for shard, path in zip(manifest.shards, manifest.shard_paths):
        intact = sha256_of(path) == shard.sha256
        if not intact:
            yield Damage(shard.file, None, "sha256 is another than the manifest's")
        for damage in _verify_records(path, shard, manifest.class_names, intact, statistics):
            whole = False
            yield damage
        advance(shard.num_records)
    if whole:
        yield from _verify_counts(manifest, statistics)


def _verify_records(path, shard, class_names, intact, statistics) -> Iterator[Damage]:
    with open(path, "rb") as file:
        for frame in frames.listed(shard.record_bytes):
            what = "" if intact else frames.damage(file, frame)
            if what:
                yield Damage(shard.file, frame.index, f"(byte {frame.offset} on) {what}")
                continue
            checked = check(frames.read(file, frame), class_names)
            name = f"({checked.annotation.source_id}) " if checked.annotation else ""
            for what in checked.damages:
                yield Damage(shard.file, frame.index, name + what)
            if not checked.damages:
                statistics.add(checked.annotation)


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
