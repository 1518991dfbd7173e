"""The content of record sets, by which a run knows them wherever they lie."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from ssd_tfrecord.records.manifest import Manifest


@dataclass(frozen=True)
class RecordContent:
    """The content of a record set: (sha256, number of records) per shard, and the class names.

    ``path`` is where it was found, for messages.
    """

    path: str
    shards: tuple[tuple[str, int], ...]
    classes: tuple[str, ...]

    @classmethod
    def of(cls, manifest: Manifest) -> "RecordContent":
        """The content of the set of ``manifest``.

        It follows from what the manifest says and not from its file, which names what does not
        matter: the tool, its flags and the names of the shards.
        """
        shards = tuple((shard.sha256, shard.num_records) for shard in manifest.shards)
        return cls(manifest.directory, shards, manifest.class_names)

    @property
    def digest(self) -> str:
        """A sha256 that two sets share if they have the same content."""
        return hashlib.sha256(json.dumps([self.classes, self.shards]).encode()).hexdigest()

    @property
    def num_records(self) -> int:
        """The number of records in all shards."""
        return sum(count for _, count in self.shards)


def change(old: Sequence[RecordContent], new: Sequence[RecordContent]) -> str:
    """Where training sets differ, in words; "" if they have the same content in the same order.

    Args:
        old: those of a run.
        new: those of the command that is to resume it.
    """
    before, now = [item.digest for item in old], [item.digest for item in new]
    if before == now:
        return ""
    if sorted(before) == sorted(now):
        order = ", ".join(item.path for item in old)
        return f"--train_records: the sets are in another order; the run has {order}"
    if len(old) != len(new):
        return f"--train_records: {len(old)} sets -> {len(new)}"
    ours, theirs = next(pair for pair in zip(old, new) if pair[0].digest != pair[1].digest)
    return f"--train_records={theirs.path}: has other content than {_set_change(ours, theirs)}"


def _set_change(old: RecordContent, new: RecordContent) -> str:
    where = "before" if old.path == new.path else f"{old.path} had"
    if old.classes != new.classes:
        return f"{where} (classes {', '.join(old.classes)} -> {', '.join(new.classes)})"
    if (old.num_records, len(old.shards)) != (new.num_records, len(new.shards)):
        return f"{where} ({_size(old)} -> {_size(new)})"
    wrong = [i for i, pair in enumerate(zip(old.shards, new.shards)) if pair[0] != pair[1]]
    return (
        f"{where} (other records in {len(wrong)} of {_plural(len(new.shards), 'shard')}, first in "
        f"shard {wrong[0]})"
    )


def _size(content: RecordContent) -> str:
    return f"{_plural(content.num_records, 'record')} in {_plural(len(content.shards), 'shard')}"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
