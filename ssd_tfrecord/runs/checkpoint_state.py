"""The content of checkpoints: written, verified by reading every byte, and restored.

And what TensorFlow says of a disk while it writes, in one line.
"""

import contextlib
import logging
import math
import pathlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from ssd_tfrecord.errors import DiskError, InputError
from ssd_tfrecord.keras import keras
from ssd_tfrecord.runs import checkpoint_files
from ssd_tfrecord.runs.checkpoint_files import Place, readable
from ssd_tfrecord.runs.checkpoint_names import BEST, files

# Prints a line.
Say = Callable[[str], object]

# tf.train.Checkpoint's name of its attribute ``step``.
_STEP = "step/.ATTRIBUTES/VARIABLE_VALUE"
# How its names of averaged weights begin, where a run keeps some.
_AVERAGES = "averages/"
# What TensorFlow says, and what it means.
_REASONS = {
    "Checksum does not match": "a checksum of its data is wrong",
    "Read less bytes": "its data are cut",
    "sstable": "its index is no index",
    ".index": "its index is damaged",
    "block checksum": "its index is damaged",
}


def say_to_stderr(line: str) -> None:
    """Prints ``line`` where it does not mix with what a program answers."""
    print(line, file=sys.stderr, flush=True)


def damage(path: pathlib.Path, step: int | None = None) -> str:
    """Why the checkpoint ``path`` cannot be used; "" if it can.

    Reads all of its tensors, one at a time, and compares their checksums.

    Args:
        path: of the checkpoint, as in ``…/checkpoints/ckpt-7``.
        step: number of finished steps that it must contain; None: any, or none.
    """
    data = [item for item in files(path) if item.suffix != ".index"]
    if not data:
        return "its data file is missing"
    try:
        size = sum(item.stat().st_size for item in data)
        with readable(path) as name:
            return _read(tf.compat.v1.train.NewCheckpointReader(name), size, step)
    # Whatever TensorFlow raises while it reads; a checkpoint is not intact then.
    except (tf.errors.OpError, OSError, ValueError, IndexError, RuntimeError, TypeError) as error:
        return _short(str(error), path)


def _read(reader: Any, size: int, step: int | None) -> str:
    shapes = reader.get_variable_to_shape_map()
    types = reader.get_variable_to_dtype_map()
    # A lower bound: of a text, only the reference is counted. Before memory is taken for it.
    needed = sum(math.prod(shape) * types[name].size for name, shape in shapes.items())
    if needed > size:
        return f"its data are cut: {size:,} of at least {needed:,} bytes"
    for name in shapes:
        reader.get_tensor(name)
    if step is not None and (saved := int(reader.get_tensor(_STEP))) != step:
        return f"its content is of step {saved}"
    return ""


def _short(error: str, path: pathlib.Path) -> str:
    for said, meaning in _REASONS.items():
        if said in error:
            return meaning
    line = re.sub(r"\S*" + re.escape(path.name), path.name, " ".join(error.split()))
    return line[:200]


def first_intact(
    candidates: Sequence[Place],
) -> tuple[Place | None, list[tuple[Place, str]]]:
    """The first checkpoint that is intact.

    Args:
        candidates: the one that is wanted most first.

    Returns:
        (checkpoint, or None if none is intact; those before it, each with what is wrong).
    """
    damaged: list[tuple[Place, str]] = []
    for place in candidates:
        reason = damage(place.path, place.step)
        if not reason:
            return place, damaged
        # A run that trains at this moment may have deleted it.
        if files(place.path):
            damaged.append((place, reason))
    return None, damaged


def choose(
    folder: pathlib.Path, candidates_fn: Callable[[], Sequence[Place]], say: Say
) -> Place | None:
    """The first intact checkpoint; names those before it, and leaves them alone.

    Args:
        folder: of the checkpoints, for messages.
        candidates_fn: lists the checkpoints, the one that is wanted most first. Called again if
            all that it listed have gone: the run may be training.
        say: prints a line.

    Returns:
        The checkpoint; None if there is none at all.

    Raises:
        InputError: none is intact.
    """
    while candidates := candidates_fn():
        place, damaged = first_intact(candidates)
        if place is None and damaged:
            raise all_damaged(folder, damaged)
        if place:
            for other, reason in damaged:
                say(f"{folder}: {other.name} is damaged ({reason}): taking {place.name}")
            return place
    return None


def all_damaged(folder: pathlib.Path, damaged: Sequence[tuple[Place, str]]) -> InputError:
    """The error of a folder in which no checkpoint is intact."""
    reasons = "; ".join(f"{place.name}: {reason}" for place, reason in damaged)
    return InputError(
        f"{folder}: every checkpoint is damaged ({reasons}); put an intact one there, move the run "
        "folder away, or start from scratch with --restart"
    )


def write(state: tf.train.Checkpoint, place: Place) -> None:
    """Writes ``state`` aside, and gives it the name of ``place`` once all of it is on the disk.

    Broken off anywhere, it leaves what was there.

    Args:
        state: what to write.
        place: where there is no checkpoint yet.

    Raises:
        OSError: the disk fails.
        tf.errors.OpError: likewise, or a device does.
    """
    aside = place.folder / f"{checkpoint_files.UNFINISHED}{place.path.name}"
    # A signal may have left tf.map_fn in the middle of its tracing: what it sets for that time it
    # then has not taken back, and a strategy's scope would not be entered again.
    tf.compat.v1.get_variable_scope()._caching_device = None
    try:
        state.write(str(aside))
        checkpoint_files.publish(aside, place)
    except BaseException:
        checkpoint_files.clean(place.folder)
        raise


def assign(state: tf.train.Checkpoint, path: pathlib.Path) -> None:
    """Restores ``state``, all of whose variables must be in the checkpoint ``path``."""
    try:
        with readable(path) as name:
            # What else is in the file is left there, without a warning.
            state.restore(name).expect_partial().assert_existing_objects_matched()
    # Variables are missing, or have other shapes.
    except (AssertionError, ValueError, tf.errors.InvalidArgumentError) as error:
        reason = " ".join(str(error).split())[:200]
        # When what is half restored is deleted, TensorFlow lists the rest, a line a variable.
        tf.get_logger().addFilter(_is_no_list)
        raise InputError(f"{path}: does not fit the network of the run ({reason})") from None


def has_averages(path: pathlib.Path) -> bool:
    """Whether the checkpoint ``path`` holds averaged weights beside those that were trained.

    Raises:
        tf.errors.OpError: it cannot be read, as when it was deleted.
    """
    with readable(path) as name:
        names = tf.train.load_checkpoint(name).get_variable_to_shape_map()
    return any(item.startswith(_AVERAGES) for item in names)


def named_weights(model: keras.Model) -> dict[str, tf.Variable]:
    """The weights of ``model`` by name, as a checkpoint names their averages.

    Not by number: freezing a layer changes Keras's order.
    """
    named = {weight.name.removesuffix(":0"): weight for weight in model.weights}
    if len(named) != len(model.weights):
        raise ValueError(f"{model.name}: two weights have the same name")
    return named


def _is_no_list(record: logging.LogRecord) -> bool:
    said = record.getMessage()
    return "unrestored values" not in said and "Value in checkpoint could not be found" not in said


@contextlib.contextmanager
def disk_errors(folder: pathlib.Path, step: int | None = None) -> Iterator[None]:
    """Turns what TensorFlow and the system say of a disk into one line."""
    try:
        yield
    except (tf.errors.OpError, OSError) as error:
        text = error.message if isinstance(error, tf.errors.OpError) else str(error)
        # Errors of files name them; TensorFlow has others, as of a device without memory.
        if str(folder) not in text and not isinstance(error, OSError):
            raise
        # TensorFlow's: … /path/of/file; No space left on device [Op:SaveV2]
        reason = re.sub(r"\s*\[Op:\w+\]$", "", text).rsplit("; ", 1)[-1]
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
        run_checkpoints = folder.parent if folder.name == BEST else folder
        found = checkpoint_files.newest_first(run_checkpoints)
        size = checkpoint_files.size_text(found, run_checkpoints)
        newest = f"the newest checkpoint is {found[0].name}" if found else "there is no checkpoint"
        what = f"{folder}/ckpt-{step}" if step is not None else str(folder)
        raise DiskError(
            f"{what}: cannot be written ({reason}{size}); {newest}. Run the same command again "
            "once the disk can be written"
        ) from None
