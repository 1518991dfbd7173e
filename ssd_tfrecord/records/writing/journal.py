"""What a conversion has finished, in ``.partial`` of its output folder, so that it can resume.

Shards stay there until all are complete, each beside a JSON file that is written when it is.
``state.json`` says which flags they were made with, ``publishing`` that they are being moved to
their final names.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import Shard
from ssd_tfrecord.records.processes import lock
from ssd_tfrecord.records.writing import fingerprint, shards
from ssd_tfrecord.records.writing.shards import ShardPlan

PARTIAL_FOLDER = ".partial"
STATE = "state.json"
PUBLISHING = "publishing"


@dataclass(frozen=True)
class FinishedShard:
    """A complete shard.

    ``rejects_sha256`` is of the file of its rejects; ``inputs`` and ``content`` are its
    Fingerprint, ``counts`` its Statistics; ``examples`` are those of ``ceilings.Examples``.
    """

    shard: Shard
    rejects_sha256: str
    inputs: str
    content: int
    counts: dict[str, Any]
    examples: dict[str, str] = dataclasses.field(default_factory=dict)

    def save(self, folder: str) -> None:
        """Writes the JSON file that makes the shard count as finished."""
        _write_json(os.path.join(folder, record_file(self.shard.file)), dataclasses.asdict(self))


def record_file(file: str) -> str:
    """The name of the JSON file of the shard ``file``."""
    return file + ".json"


def rejects_file(file: str) -> str:
    """The name of the file with the rejects of the shard ``file``."""
    return file + ".rejects.jsonl"


def is_publishing(output_dir: str) -> bool:
    """Whether a conversion was stopped while it moved its files to their final names."""
    folder = os.path.join(output_dir, PARTIAL_FOLDER)
    return all(os.path.exists(os.path.join(folder, name)) for name in (STATE, PUBLISHING))


def refuse_if_held(output_dir: str) -> None:
    """Checks that no other run is writing to ``output_dir``.

    Raises:
        InputError: one is.
    """
    folder = os.path.join(output_dir, PARTIAL_FOLDER)
    if lock.is_held(folder):
        raise lock.held_error(folder)


class Journal:
    """The unfinished record set of one output folder, held for this run alone.

    A context manager: at its end the folder is free again; what was finished stays.

    Args:
        output_dir: where the record set will be; the journal is in its folder ``.partial``.
        identity: {flag or library: value} of all that the bytes depend on besides the source.
        replace: whether what is there may be discarded where it does not fit.

    Raises:
        InputError: another run holds the folder, or what is there has another identity and is not
            to be replaced.
    """

    def __init__(self, output_dir: str, identity: Mapping[str, str], *, replace: bool) -> None:
        self.folder = os.path.join(output_dir, PARTIAL_FOLDER)
        self._output_dir = output_dir
        self._replace = replace
        # Nothing is looked at before this: what is there could still change.
        self._lock = lock.hold(self.folder)
        try:
            self._open(dict(identity))
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._lock)

    def _open(self, identity: dict[str, str]) -> None:
        state = _read_json(self._path(STATE))
        differences = _differences(state, identity) if state else ""
        if differences and not self._replace:
            raise InputError(
                f"{self.folder}: holds an unfinished conversion with {differences}: pass the same "
                "to resume it, or --overwrite to start from scratch"
            )
        if differences or not state:
            self._clear()
            _write_json(self._path(STATE), identity)

    def finished(self, plans: Sequence[ShardPlan]) -> dict[str, FinishedShard]:
        """Returns {file: shard} of the shards of ``plans`` that are intact, by their checksums.

        A damaged one counts as not finished; so does, with ``replace``, one whose annotations or
        images have changed.

        Raises:
            InputError: annotations or images of a finished shard have changed, and it is not to be
                replaced.
        """
        found = {}
        for item in plans:
            shard = load_finished(self.folder, item.file)
            if shard is None:
                continue
            # Before the checksums: this reads no image and no shard.
            if shard.inputs != fingerprint.of_images(item.images).inputs:
                self._refuse_changed(item.file)
            elif self._is_intact(shard):
                found[item.file] = shard
            else:
                print(f"{item.file} was damaged and is written again", file=sys.stderr)
        return found

    def _refuse_changed(self, file: str) -> None:
        if not self._replace:
            raise InputError(
                f"{self.folder}: annotations or images of {file} have changed since it was "
                "finished: pass --overwrite to write such shards again"
            )

    def _is_intact(self, shard: FinishedShard) -> bool:
        file = shard.shard.file
        wanted = {file: shard.shard.sha256, rejects_file(file): shard.rejects_sha256}
        return all(self._sha256(name) == digest for name, digest in wanted.items())

    def _sha256(self, name: str) -> str:
        # Shards that a killed run has already published are in the output folder.
        places = [self.folder] + ([self._output_dir] if is_publishing(self._output_dir) else [])
        for place in places:
            with contextlib.suppress(FileNotFoundError):
                return shards.sha256_of(os.path.join(place, name))
        return ""

    def publish(self, new_files: Sequence[str], old_files: Sequence[str]) -> None:
        """Moves ``new_files`` to their final names, in their order, instead of ``old_files``.

        Nothing of the journal is left.
        """
        # From here on old files are removed. A run that is killed now must be able to tell its own
        # published shards from those of an earlier set.
        with open(self._path(PUBLISHING), "wb"):
            pass
        shards.sync(self.folder)
        shards.publish(self.folder, self._output_dir, new_files, old_files)
        self._clear()
        os.remove(self._path(lock.RUN))
        with contextlib.suppress(OSError):  # the next run may already be here
            os.rmdir(self.folder)

    def _clear(self) -> None:
        # The state goes first: nothing in a folder without it is taken for finished.
        names = sorted(os.listdir(self.folder), key=lambda name: name != STATE)
        for name in names:
            path = self._path(name)
            if os.path.isdir(path):
                shutil.rmtree(path)
            # The lock's file stays: without it another run could hold the folder too.
            elif name != lock.RUN:
                os.remove(path)

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, name)


def _differences(state: Mapping[str, str], identity: Mapping[str, str]) -> str:
    """Where ``state`` differs from ``identity``, in words; "" if they agree."""
    names = sorted({*state, *identity})
    return ", ".join(
        f"{name}={state.get(name)} (now {identity.get(name)})"
        for name in names
        if state.get(name) != identity.get(name)
    )


def load_finished(folder: str, file: str) -> FinishedShard | None:
    """The shard ``file`` if it is finished, or None."""
    content = _read_json(os.path.join(folder, record_file(file)))
    if not content:
        return None
    shard = content.pop("shard")
    # JSON has lists only, to which no tuple is equal.
    shard["record_bytes"] = tuple(shard["record_bytes"])
    return FinishedShard(shard=Shard(**shard), **content)


def _read_json(path: str) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    # A damaged file counts as none: what it describes is made again.
    except (FileNotFoundError, ValueError):
        return None


def _write_json(path: str, content: Mapping[str, Any]) -> None:
    # Aside, and on the disk before it has its name: under that name it is complete or absent.
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".tmp", path)
