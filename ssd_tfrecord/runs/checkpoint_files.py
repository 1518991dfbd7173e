"""The files of checkpoints on the disk: what is there, and changes that a kill cannot spoil.

Free of TensorFlow. A checkpoint is there once ``ckpt-N.index`` is: its data come first and go last.
``checkpoint``, TensorFlow's list of the folder, is for other programs, and follows the files.
"""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records import manifest_fields
from ssd_tfrecord.records.manifest import ClassLabel
from ssd_tfrecord.runs import run_files
from ssd_tfrecord.runs.checkpoint_names import BEST, files

LIST_FILE = "checkpoint"
BEST_FILE = "best.json"
CLASSES_FILE = "classes.json"
DAMAGED = "damaged-"
UNFINISHED = "unfinished-"

_INDEX = re.compile(r"ckpt-(0|[1-9][0-9]{0,17})\.index")
_DATA = re.compile(r"(.*)\.data-[0-9]{5}-of-[0-9]{5}")
# What a kill leaves: of ours, of TensorFlow's writers, and of its CheckpointManager, which earlier
# versions used. Other files are not ours to delete.
_LEFTOVER = re.compile(
    rf"{UNFINISHED}.*|ckpt-[0-9]+_temp.*|ckpt-[0-9]+\..*\.tempstate[0-9]+|checkpoint\.tmp.*"
    r"|(checkpoint|classes\.json|best\.json)(\.[0-9]+)?\.part"
)
# TensorFlow takes the path of a checkpoint that it reads for a pattern.
_PATTERN = re.compile(r"[*?\[\]{}\\]")
_MAX_BEST_BYTES = 2**16
# Of a class, 70 bytes are usual: enough for 200,000.
_MAX_CLASSES_BYTES = 2**24


@dataclass(frozen=True)
class Place:
    """The checkpoint of ``step`` in ``folder``."""

    folder: pathlib.Path
    step: int

    @property
    def path(self) -> pathlib.Path:
        """What the names of its files begin with."""
        return self.folder / f"ckpt-{self.step}"

    @property
    def name(self) -> str:
        """``ckpt-N`` or ``best/ckpt-N``."""
        return f"{BEST}/{self.path.name}" if self.folder.name == BEST else self.path.name


@dataclass(frozen=True)
class BestRecord:
    """Content of best.json: the step of the checkpoint beside it, and the metric that chose it."""

    step: int
    metric: str
    value: float


def check_path(run_dir: str | os.PathLike[str]) -> None:
    """Checks that checkpoints can be written to a run folder of this name.

    Raises:
        InputError: it cannot be a path of TensorFlow's; the message says why.
    """
    text = os.fspath(run_dir)
    reason = ""
    if "\0" in text:
        reason = "contains a null character"
    elif any("\ud800" <= character <= "\udfff" for character in text):
        reason = "is not UTF-8"
    elif match := re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        reason = f"begins with {match[0]}"
    if reason:
        raise InputError(f"--run_dir={text!r}: {reason}; must be the path of a mounted folder")


def places(folder: pathlib.Path) -> list[Place]:
    """The checkpoints in ``folder`` that have an index, the newest first; maybe damaged."""
    found = [_INDEX.fullmatch(name) for name in _names(folder)]
    return [Place(folder, step) for step in sorted((int(m[1]) for m in found if m), reverse=True)]


def newest_first(folder: pathlib.Path) -> list[Place]:
    """The checkpoints in ``folder`` and in ``folder/best``; of one step, the former first."""
    found = [*places(folder), *places(folder / BEST)]
    return sorted(found, key=lambda place: -place.step)


def best_first(folder: pathlib.Path) -> list[Place]:
    """The checkpoints in ``folder/best``, the one that best.json names first."""
    step = read_step(folder / BEST)
    return sorted(places(folder / BEST), key=lambda place: (place.step != step, -place.step))


def is_listed(folder: pathlib.Path) -> bool:
    """Whether a checkpoint was ever finished in ``folder``: then there is a list."""
    return (folder / LIST_FILE).exists()


def make_folder(folder: pathlib.Path) -> None:
    """Makes ``folder``, and puts its name on the disk.

    Raises:
        OSError: the disk fails.
    """
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        run_files.sync_folder(folder.parent)


def publish(aside: pathlib.Path, place: Place) -> None:
    """Gives the files of the checkpoint ``aside`` their final names, and puts all on the disk.

    Args:
        aside: path of a finished checkpoint in the folder of ``place``.
        place: where there is no checkpoint yet.

    Raises:
        OSError: the disk fails.
    """
    written = files(aside)
    for path in written:
        _sync_file(path)
    # By name, data-… before index.
    for path in written:
        os.rename(path, place.folder / path.name.replace(aside.name, place.path.name, 1))
    run_files.sync_folder(place.folder)


def remove(place: Place) -> None:
    """Deletes a checkpoint, its index first."""
    for path in reversed(files(place.path)):
        path.unlink(missing_ok=True)


def put_away(place: Place) -> str:
    """Renames a damaged checkpoint, so that nobody takes it for one; returns its new name."""
    prefix = DAMAGED
    number = 1
    while files(place.folder / (prefix + place.path.name)):
        number += 1
        prefix = f"{DAMAGED}{number}-"
    for path in files(place.path):
        os.rename(path, place.folder / (prefix + path.name))
    return prefix + place.path.name


def write_list(folder: pathlib.Path, kept: Sequence[Place]) -> None:
    """Writes TensorFlow's list of the checkpoints in ``folder``, unless it says just that.

    Args:
        folder: of the checkpoints.
        kept: those to be listed, the newest first.

    Raises:
        OSError: the disk fails.
    """
    # The form of tensorflow/python/training/checkpoint_state.proto.
    lines = [f'model_checkpoint_path: "{place.path.name}"' for place in kept[:1]]
    lines += [f'all_model_checkpoint_paths: "{place.path.name}"' for place in kept[::-1]]
    times = [os.stat(f"{place.path}.index").st_mtime for place in kept[::-1]]
    lines += [f"all_model_checkpoint_timestamps: {time!r}" for time in times]
    text = "\n".join(lines) + "\n"
    try:
        if run_files.read_text(folder / LIST_FILE, len(text)) == text:
            return
    except (OSError, ValueError):  # none, cut, or of other checkpoints
        pass
    run_files.write_text(folder / LIST_FILE, text)


def keep_only(folder: pathlib.Path, kept: Sequence[Place]) -> None:
    """Lists the checkpoints ``kept`` of ``folder``, the newest first, and deletes all others.

    Raises:
        OSError: the disk fails.
    """
    write_list(folder, kept)
    for place in places(folder):
        if place not in kept:
            remove(place)


def read_best(folder: pathlib.Path) -> BestRecord | None:
    """The content of ``best.json`` in ``folder``; None if there is none.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / BEST_FILE
    try:
        content = manifest_fields.read_object(str(path), _MAX_BEST_BYTES)
        step, metric, value = (content[name] for name in ("step", "metric", "value"))
        # True is an int of Python's; 1e999 is read as infinity.
        if type(step) is not int or not isinstance(metric, str) or type(value) not in (int, float):
            raise ValueError("must be a whole step, the name of a metric and its value")
        if not math.isfinite(value):
            raise ValueError("its value is not finite")
        return BestRecord(step, metric, float(value))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, OverflowError) as error:
        raise InputError(f"{path}: damaged ({error})") from None


def read_step(folder: pathlib.Path) -> int | None:
    """The step that ``best.json`` in ``folder`` names; None if it names none."""
    try:
        record = read_best(folder)
    except InputError:
        return None
    return record.step if record else None


def write_best(folder: pathlib.Path, record: BestRecord) -> None:
    """Writes ``best.json``.

    Raises:
        OSError: the disk fails.
    """
    content = {"step": record.step, "metric": record.metric, "value": record.value}
    run_files.write_text(folder / BEST_FILE, json.dumps(content) + "\n")


def write_classes(folder: pathlib.Path, classes: Sequence[ClassLabel]) -> None:
    """Writes ``classes.json``.

    Raises:
        OSError: the disk fails.
    """
    content = json.dumps([dataclasses.asdict(label) for label in classes], indent=1)
    run_files.write_text(folder / CLASSES_FILE, content + "\n")


def read_classes(folder: pathlib.Path) -> list[ClassLabel]:
    """The content of ``classes.json`` in ``folder``: the classes, whose ids are 1 to C.

    Raises:
        InputError: it cannot be read, or is damaged.
    """
    path = folder / CLASSES_FILE
    try:
        # Opening a pipe would wait for its writer for ever.
        if path.exists() and not path.is_file():
            raise ValueError("not a file")
        content = json.loads(run_files.read_text(path, _MAX_CLASSES_BYTES))
        manifest_fields.check({"classes": content}, manifest_fields.CLASSES)
        classes = [ClassLabel(**item) for item in content]
        if not classes or [label.id for label in classes] != list(range(1, len(classes) + 1)):
            raise ValueError("the ids of its classes must be 1 to C")
        return classes
    except RecursionError:
        reason = "nested too deeply"
    except (OSError, ValueError) as error:
        reason = str(error)
    raise InputError(f"{path}: cannot be read ({reason}); training writes it when it starts")


def clean(folder: pathlib.Path) -> None:
    """Deletes what kills have left in ``folder``; only for the run that writes there.

    What cannot be deleted stays: a disk that cannot be written is found by the next save.
    """
    names = _names(folder)
    for name in names:
        data = _DATA.fullmatch(name)
        # Of a save or deletion that was broken off. Data are never without an index otherwise.
        orphan = data and name.startswith("ckpt-") and f"{data[1]}.index" not in names
        if orphan or _LEFTOVER.fullmatch(name):
            _delete(folder / name)


def free_path(path: pathlib.Path) -> pathlib.Path:
    """``path``, or the first of ``path-2``, ``path-3``, … that does not exist."""
    numbered = (path.with_name(f"{path.name}-{number}") for number in range(2, 10**6))
    return path if not path.exists() else next(item for item in numbered if not item.exists())


@contextlib.contextmanager
def readable(path: pathlib.Path) -> Iterator[str]:
    """A path by which TensorFlow can read the checkpoint ``path``, inside of the context.

    It takes the path for a pattern: ``run[1]`` would not be found, and ``run*`` may be another one.
    """
    if not _PATTERN.search(str(path)):
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="ssd_tfrecord_") as folder:
        for item in files(path):
            link = pathlib.Path(folder) / item.name.replace(path.name, "ckpt", 1)
            link.symlink_to(item.absolute())
        yield str(pathlib.Path(folder) / "ckpt")


def size_text(found: Sequence[Place], folder: pathlib.Path) -> str:
    """How many MB a checkpoint needs, if there is one to tell, and how many are free."""
    needed = sum(path.stat().st_size for path in files(found[0].path)) if found else 0
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return ""
    need_text = f", about {needed / 1e6:.3g} MB needed" if needed else ""
    return f"{need_text}, {free / 1e6:.3g} MB free"


def _names(folder: pathlib.Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return set()


def _sync_file(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _delete(path: pathlib.Path) -> None:
    with contextlib.suppress(OSError):
        # rmtree refuses a link, and what it points to is not ours to delete.
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
