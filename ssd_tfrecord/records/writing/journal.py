"""What a conversion has finished, in ``.partial`` of its output folder: the same command goes on.

Shards lie there until all are whole, each beside a JSON that is written when it is. ``state.json``
says which flags they are of, ``publishing`` that their final names are being given.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    """A whole shard: ``counts`` are its Statistics, ``rejects_sha256`` that of its rejects' file,
    ``inputs`` and ``content`` its Fingerprint.
    """

    shard: Shard
    rejects_sha256: str
    inputs: str
    content: int
    counts: dict

    def save(self, folder: str):
        """Writes the JSON that makes the shard count as finished."""
        _write_json(os.path.join(folder, record_file(self.shard.file)), dataclasses.asdict(self))


def record_file(file: str) -> str:
    """Name of the JSON of the shard ``file``."""
    return file + ".json"


def rejects_file(file: str) -> str:
    """Name of the file with the rejects of the shard ``file``."""
    return file + ".rejects.jsonl"


def is_publishing(output_dir: str) -> bool:
    """Whether a conversion ended while its files were given their final names."""
    folder = os.path.join(output_dir, PARTIAL_FOLDER)
    return all(os.path.exists(os.path.join(folder, name)) for name in (STATE, PUBLISHING))


def refuse_if_held(output_dir: str):
    """Raises InputError if another run writes to ``output_dir``."""
    folder = os.path.join(output_dir, PARTIAL_FOLDER)
    if lock.is_held(folder):
        raise lock.held_error(folder)


class Journal:
    """The unfinished record set of one output folder, held for this run alone.

    ``identity`` is {flag or library: value} of all that the bytes depend on besides the source.
    A context: at its end the folder is free again; what was finished stays.

    Raises:
        InputError if another run holds the folder, or if what is there has another identity and is
        not to be replaced.
    """

    def __init__(self, output_dir: str, identity: Mapping[str, str], *, replace: bool):
        self.folder = os.path.join(output_dir, PARTIAL_FOLDER)
        self._output_dir = output_dir
        self._replace = replace
        self._lock = lock.hold(self.folder)
        try:
            self._open(dict(identity))
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        os.close(self._lock)

    def _open(self, identity):
        state = _read_json(self._path(STATE))
        differences = _differences(state, identity) if state else ""
        if differences and not self._replace:
            raise InputError(
                f"{self.folder}: holds an unfinished conversion, of {differences}: give the same "
                "to go on, or --overwrite to begin afresh"
            )
        if differences or not state:
            self._clear()
            _write_json(self._path(STATE), identity)

    def finished(self, plans: Sequence[ShardPlan]) -> dict[str, FinishedShard]:
        """{file: shard} of the shards of ``plans`` that are whole; their checksums are read.

        A damaged one counts as not finished, and with ``replace`` one whose annotations or images
        have changed. Raises: InputError for such a change without ``replace``.
        """
        found = {}
        for item in plans:
            shard = load_finished(self.folder, item.file)
            if shard is None:
                continue
            if shard.inputs != fingerprint.of_images(item.images).inputs:
                self._refuse_changed(item.file)
            elif self._is_whole(shard):
                found[item.file] = shard
            else:
                print(f"{item.file} was damaged: it is written anew", file=sys.stderr)
        return found

    def _refuse_changed(self, file):
        if not self._replace:
            raise InputError(
                f"{self.folder}: annotations or images of {file}, which was finished, have changed "
                "since: --overwrite writes such shards anew"
            )

    def _is_whole(self, shard):
        file = shard.shard.file
        wanted = {file: shard.shard.sha256, rejects_file(file): shard.rejects_sha256}
        return all(self._sha256(name) == digest for name, digest in wanted.items())

    def _sha256(self, name):
        # The shards that a killed run has published are in the output folder.
        places = [self.folder] + ([self._output_dir] if is_publishing(self._output_dir) else [])
        for place in places:
            with contextlib.suppress(FileNotFoundError):
                return shards.sha256_of(os.path.join(place, name))
        return ""

    def publish(self, new_files: Sequence[str], old_files: Sequence[str]):
        """Gives ``new_files`` their final names, in their order, instead of ``old_files``.

        Nothing of the journal is left.
        """
        with open(self._path(PUBLISHING), "wb"):
            pass
        shards.sync(self.folder)
        shards.publish(self.folder, self._output_dir, new_files, old_files)
        self._clear()
        os.remove(self._path(lock.RUN))
        with contextlib.suppress(OSError):  # where the next run has come already
            os.rmdir(self.folder)

    def _clear(self):
        # The state goes first: what is left of a folder without it is not taken for finished.
        names = sorted(os.listdir(self.folder), key=lambda name: name != STATE)
        for name in names:
            path = self._path(name)
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif name != lock.RUN:
                os.remove(path)

    def _path(self, name):
        return os.path.join(self.folder, name)


def _differences(state, identity):
    """What ``state`` has otherwise than ``identity``, in words."""
    names = sorted({*state, *identity})
    return ", ".join(
        f"{name}={state.get(name)} (now {identity.get(name)})"
        for name in names
        if state.get(name) != identity.get(name)
    )


def load_finished(folder: str, file: str) -> FinishedShard | None:
    """The shard ``file`` if it is finished, else None."""
    content = _read_json(os.path.join(folder, record_file(file)))
    if not content:
        return None
    shard = content.pop("shard")
    shard["record_bytes"] = tuple(shard["record_bytes"])
    return FinishedShard(shard=Shard(**shard), **content)


def _read_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (FileNotFoundError, ValueError):
        return None


def _write_json(path, content):
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".tmp", path)
