"""The batch of a step whose loss or gradient is not finite: kept, saved and reported."""

import contextlib
import math
import os
import pathlib
import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.order import Host
from ssd_tfrecord.data.pipeline import Batch
from ssd_tfrecord.data.reading import RecordSource
from ssd_tfrecord.errors import InputError, NotFiniteError
from ssd_tfrecord.records.manifest import Manifest

_FILE_NAME = re.compile(r"nonfinite-(\d{1,18})\.npz")
# A line that names 64 images can still be read.
_MAX_NAMES = 64

# The arrays of a file: dtype and number of axes. ``skipped`` is one more, bool [].
_ARRAYS = {
    "source_ids": ("U", 1),
    "images": ("u1", 4),
    "boxes": ("f4", 3),
    "labels": ("i4", 2),
    "rectangles": ("i4", 2),
    "color": ("f4", 2),
    "mirrored": ("b1", 1),
    "indices": ("i8", 1),
    "substituted": ("b1", 1),
}
# 1024 images of 512 x 512 pixels are 0.8 GB.
_MAX_BYTES = 2**31
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_UNREADABLE = (
    *(OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError, NotImplementedError),
    *(MemoryError, zipfile.BadZipFile, zlib.error),
)


def training_batches(
    config: TrainConfig, source: RecordSource, start_step: int, host: Host = Host()
) -> tf.data.Dataset:
    """The batches after ``start_step`` finished steps, the same in every run of ``config``.

    Of several hosts, ``host``'s share of each.
    """
    return pipeline.batches(
        source,
        config.input,
        input_size=config.model.input_size,
        batch_size=config.global_batch_size,
        seed=config.seed,
        start_step=start_step,
        host=host,
    )


class BatchKeeper:
    """Holds the batches of steps that were not finite, as they came to the step.

    Made again from seed and step, it could be another one: workers of a tf.data service hand out
    batches in an order of their own.
    """

    def __init__(self) -> None:
        self._parts: dict[int, list[Batch]] = {}

    def keep(self, batch: Batch, finite: tf.Tensor) -> None:
        """Keeps this replica's ``batch`` unless ``finite``; in replica context, in the graph."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        tf.cond(
            finite,
            lambda: tf.constant(True),
            lambda: tf.numpy_function(self._store, [replica, *batch], tf.bool),
        )

    def take(self) -> Batch | None:
        """The oldest batch, as arrays, or None if none is kept; forgets it.

        Of several hosts, what its replicas had of it.
        """
        parts = [self._parts[replica].pop(0) for replica in sorted(self._parts)]
        self._parts = {replica: kept for replica, kept in self._parts.items() if kept}
        return joined(parts) if parts else None

    def _store(self, replica: np.ndarray, *values: np.ndarray) -> np.bool_:
        # Copied: TensorFlow may write to its memory again.
        kept = self._parts.setdefault(int(replica), [])
        kept.append(Batch(*(np.array(value) for value in values)))
        return np.bool_(True)


def joined(parts: Sequence[Batch]) -> Batch:
    """The batch of which replicas or hosts have had ``parts``; as arrays.

    Those of several hosts may be padded to different numbers of objects.
    """
    num_objects = max(part.labels.shape[1] for part in parts)
    padded = []
    for part in parts:
        room = num_objects - part.labels.shape[1]
        padded.append(
            part._replace(
                boxes=np.pad(part.boxes, [(0, 0), (0, room), (0, 0)]),
                labels=np.pad(part.labels, [(0, 0), (0, room)]),
            )
        )
    return Batch(*(np.concatenate(values) for values in zip(*padded)))


@dataclass(frozen=True)
class SavedBatch:
    """The content of ``nonfinite-<step>.npz``: the batch of that step and its images' names."""

    step: int
    batch: Batch
    names: tuple[str, ...]


def load(path: str | os.PathLike[str]) -> SavedBatch:
    """Reads a batch that ``note`` or ``report`` has saved.

    Args:
        path: of the file.

    Raises:
        InputError: it is not such a file, or is damaged.
    """
    path = pathlib.Path(path)
    match = _FILE_NAME.fullmatch(path.name)
    if not match or not path.is_file():
        what = "is not called so" if path.is_file() else "no such file"
        raise InputError(f"--replay={path}: {what}; must be a run's nonfinite-N.npz")
    try:
        with zipfile.ZipFile(path) as archive:
            values = {name: _array(archive, name, *kind) for name, kind in _ARRAYS.items()}
    except _UNREADABLE as error:
        raise InputError(
            f"--replay={path}: damaged, or not written by training ({error}); must be a run's "
            "nonfinite-N.npz"
        ) from None
    names = tuple(_printable(str(name)) for name in values.pop("source_ids"))
    counts = {len(names), *(len(value) for value in values.values())}
    images, boxes = values["images"].shape, values["boxes"].shape
    shapes = images[1:] == (images[1], images[1], 3) and boxes == (*values["labels"].shape, 4)
    if len(counts) > 1 or not names or not shapes:
        raise InputError(f"--replay={path}: damaged: its arrays do not fit each other")
    return SavedBatch(int(match[1]), Batch(**values), names)


def num_skipped(run_dir: str, step: int) -> int:
    """How many batches of other steps than ``step`` the run has left out so far.

    Over all starts of the run: it counts the files that ``note`` has saved.

    Args:
        run_dir: the run folder.
        step: a step that is met again, after a resume, counts once.
    """
    files = {path: _FILE_NAME.fullmatch(path.name) for path in pathlib.Path(run_dir).iterdir()}
    return sum(
        1 for path, match in files.items() if match and int(match[1]) != step and _was_skipped(path)
    )


def left_out(
    config: TrainConfig,
    source: RecordSource,
    step: int,
    *,
    take_fn: Callable[[], Batch | None],
    say_fn: Callable[[str], object],
) -> bool:
    """Leaves out the batch of ``step``, if ``--skip_nonfinite`` has room; returns whether it had.

    The step counts, so that the order of the data and the learning rate stay those of the step's
    number.

    Args:
        config: of the run.
        source: of the records that it trains on.
        step: number of the step (from 1); it has changed nothing.
        take_fn: returns the batch.
        say_fn: called with the line that says so.
    """
    if num_skipped(config.run_dir, step) >= config.skip_nonfinite:
        return False
    say_fn(note(config, source, step, take_fn()))
    return True


def note(config: TrainConfig, source: RecordSource, step: int, batch: Batch | None) -> str:
    """Saves a batch that is left out; returns the line that says so.

    Args:
        config: of the run.
        source: of the records that it trains on.
        step: number of the step (from 1).
        batch: that was kept.
    """
    names = _names(source.manifests, batch)
    saved = _save(config.run_dir, step, batch, names, skipped=True)
    return (
        f"step {step}: the loss or its gradient is not finite; the batch is left out "
        f"(--skip_nonfinite={config.skip_nonfinite}): {_listed(names)}; {saved}"
    )


def report(
    config: TrainConfig,
    source: RecordSource,
    step: int,
    batch: Batch | None,
    *,
    checkpoint: str = "",
) -> NotFiniteError:
    """Saves the batch that ends a run; returns the error that names its images and the way on.

    Args:
        config: of the run.
        source: of the records that it trains on.
        step: number of the step (from 1).
        batch: that was kept.
        checkpoint: path of the last one.
    """
    names = _names(source.manifests, batch)
    again = _path(config.run_dir, step).exists()
    saved = _save(config.run_dir, step, batch, names, skipped=False)
    good = f"; the last checkpoint is {checkpoint}" if checkpoint else ""
    if again and checkpoint:
        good += (
            ", from which the run has come to this step before: if its loss was growing by then, "
            "delete it, or begin anew with --restart"
        )
    more = config.skip_nonfinite + 1
    return NotFiniteError(
        f"step {step}: the loss or its gradient is not finite; {_listed(names)}; {saved}{good}. "
        "Run the same command again with a lower --learning_rate, with --gradient_clip_norm, with "
        f"more --warmup_steps, or with --skip_nonfinite={more}, which leaves this batch out"
    )


def _names(manifests: Sequence[Manifest], batch: Batch | None) -> list[str]:
    """The name of each image of ``batch``; its record's index where the shards cannot be read."""
    if batch is None:
        return []
    try:
        return pipeline.source_ids(manifests, batch.indices)
    except (tf.errors.OpError, KeyError, UnicodeDecodeError):
        return [f"record {index}" for index in batch.indices]


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "its images are not known"
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return f"images {', '.join(map(_printable, names[:_MAX_NAMES]))}{more}"


def _printable(name: str) -> str:
    # A record may hold any text, line breaks and a terminal's control characters too.
    return "".join(c if c.isprintable() else "?" for c in name)


def _save(
    run_dir: str, step: int, batch: Batch | None, names: Sequence[str], *, skipped: bool
) -> str:
    """Saves ``nonfinite-<step>.npz``; returns what is to be said of it."""
    if batch is None:
        return "the batch was not kept"
    path = _path(run_dir, step)
    aside = path.with_name(path.name + ".part")
    try:
        with aside.open("wb") as file:
            np.savez_compressed(
                file, source_ids=np.array(names), skipped=np.array(skipped), **batch._asdict()
            )
        aside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # the folder cannot be written at all
            aside.unlink(missing_ok=True)
        return f"the batch could not be saved ({path}: {error.strerror or error})"
    return f"the batch is saved: python -m ssd_tfrecord.train --replay={path} shows what is wrong"


def _path(run_dir: str, step: int) -> pathlib.Path:
    return pathlib.Path(run_dir) / f"nonfinite-{step}.npz"


def _was_skipped(path: pathlib.Path) -> bool:
    """Whether ``note`` has saved ``path``; a file that cannot be read counts as one."""
    try:
        with zipfile.ZipFile(path) as archive:
            return bool(_array(archive, "skipped", "b1", 0))
    except KeyError:  # of a version that skipped none
        return False
    except _UNREADABLE:
        return True


def _array(archive: zipfile.ZipFile, name: str, kind: str, num_axes: int) -> np.ndarray:
    """An array of an .npz file; nothing larger than ``_MAX_BYTES`` is read, and no pickle.

    Raises:
        KeyError: there is none of this name.
        _UNREADABLE: damaged, or of another kind or number of axes.
    """
    member = archive.getinfo(f"{name}.npy")
    if member.file_size > _MAX_BYTES:
        raise ValueError(f"{name}: {member.file_size} bytes, at most {_MAX_BYTES}")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"{name}: unknown version {version}")
        shape, fortran, dtype = _HEADERS[version](file)
        ours = dtype.kind == "U" if kind == "U" else dtype == np.dtype(kind)
        # Compared before room is made: the header may promise any shape.
        num_bytes = math.prod(shape) * dtype.itemsize
        if fortran or not ours or len(shape) != num_axes:
            raise ValueError(f"{name}: {dtype} {list(shape)}")
        if file.tell() + num_bytes != member.file_size:
            raise ValueError(f"{name}: {member.file_size} bytes, but {list(shape)}")
        return np.frombuffer(file.read(num_bytes), dtype).reshape(shape)
