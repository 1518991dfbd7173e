"""Checkpoints of a run: the last few and the best one, and a run's model read back."""

import dataclasses
import json
import pathlib
from dataclasses import dataclass

import tensorflow as tf

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import ssd
from ssd_tfrecord.records.manifest import ClassLabel
from ssd_tfrecord.runs import run_folder

CLASSES_FILE = "classes.json"


class Checkpoints:
    """``checkpoints/ckpt-N``, ``checkpoints/best/ckpt-N`` and ``checkpoints/classes.json``.

    A checkpoint holds the step, the weights and all of the optimizer: momenta, iterations and
    the loss scale. N is the number of finished steps.
    """

    def __init__(self, run_dir, *, model, optimizer, keep: int):
        self.step = tf.Variable(0, trainable=False, dtype=tf.int64, name="step")
        self._state = tf.train.Checkpoint(step=self.step, model=model, optimizer=optimizer)
        folder = pathlib.Path(run_dir) / run_folder.CHECKPOINTS
        self._folder = folder
        self._last = self._manager(folder, keep)
        self._best = self._manager(folder / "best", 1)

    def restore(self) -> int:
        """Restores the last checkpoint; the number of its steps, 0 where there is none."""
        if self._last.latest_checkpoint:
            status = self._state.restore(self._last.latest_checkpoint)
            status.assert_existing_objects_matched()
        return int(self.step.numpy())

    def save(self, step: int) -> str:
        """Saves ``ckpt-<step>``, removes the oldest beyond those kept; its path."""
        return self._save(self._last, step)

    def save_best(self, step: int) -> str:
        """Saves ``best/ckpt-<step>`` in the place of the best one so far; its path."""
        return self._save(self._best, step)

    def write_classes(self, classes: tuple[ClassLabel, ...]) -> None:
        """Writes the class list beside the checkpoints."""
        self._folder.mkdir(parents=True, exist_ok=True)
        content = json.dumps([dataclasses.asdict(label) for label in classes], indent=1)
        run_folder.write_text(self._folder / CLASSES_FILE, content + "\n")

    def _manager(self, folder, keep):
        return tf.train.CheckpointManager(self._state, str(folder), max_to_keep=keep)

    def _save(self, manager, step):
        self.step.assign(step)
        return manager.save(checkpoint_number=step)


def check_classes(run_dir, classes: tuple[ClassLabel, ...]) -> None:
    """Raises ``InputError`` where the run in ``run_dir`` has other classes than ``classes``."""
    path = pathlib.Path(run_dir) / run_folder.CHECKPOINTS / CLASSES_FILE
    if path.exists() and (before := _read_classes(path)) != list(classes):
        raise InputError(
            f"--train_records: classes are {_names(classes)}, but the run in {run_dir} has "
            f"{_names(before)}: must be the same"
        )


@dataclass(frozen=True)
class LoadedRun:
    """A trained model and what it was trained with; label i is ``class_names[i - 1]``."""

    model: keras.Model
    config: TrainConfig
    class_names: tuple[str, ...]
    original_ids: tuple[int, ...]
    step: int


def load_run(run_dir, checkpoint: str = "best") -> LoadedRun:
    """The model of the run in ``run_dir``, built in the current strategy's scope.

    ``checkpoint`` is best (the last where there is no best), last, or a path like
    ``…/checkpoints/ckpt-N``. Raises ``InputError`` for a folder without a run or a checkpoint
    that is not there.
    """
    config = run_folder.read_config(run_dir)
    folder = pathlib.Path(run_dir) / run_folder.CHECKPOINTS
    path = _checkpoint_path(folder, checkpoint)
    classes = _read_classes(folder / CLASSES_FILE)
    model = ssd.build(config.model, config.anchors, len(classes))
    step = tf.Variable(0, trainable=False, dtype=tf.int64)
    status = tf.train.Checkpoint(step=step, model=model).restore(path)
    status.assert_existing_objects_matched().expect_partial()
    return LoadedRun(
        model=model,
        config=config,
        class_names=tuple(label.name for label in classes),
        original_ids=tuple(label.original_id for label in classes),
        step=int(step.numpy()),
    )


def split_path(path) -> tuple[str, str]:
    """(run folder, checkpoint) of ``--init_checkpoint``.

    It is a run folder, whose best checkpoint is taken, a folder of checkpoints in it, whose last
    one is, or a checkpoint (``…/checkpoints/ckpt-N``).
    """
    folder = run_folder.run_of_checkpoint(path)
    if pathlib.Path(path).resolve() == folder:
        return str(folder), "best"
    if not pathlib.Path(path).is_dir():
        return str(folder), str(path)
    latest = tf.train.latest_checkpoint(str(path))
    if latest is None:
        raise InputError(
            f"--init_checkpoint={path}: a folder without checkpoints; "
            f"must be {run_folder.INIT_CHECKPOINT_TEXT}"
        )
    return str(folder), latest


def _checkpoint_path(folder, checkpoint):
    places = {"best": (folder / "best", folder), "last": (folder,)}
    if checkpoint not in places:
        if not pathlib.Path(f"{checkpoint}.index").is_file():
            raise InputError(
                f"--checkpoint={checkpoint}: no such checkpoint; must be best, last or a path like "
                f"{folder}/ckpt-1000"
            )
        return checkpoint
    for place in places[checkpoint]:
        if latest := tf.train.latest_checkpoint(str(place)):
            return latest
    raise InputError(f"{folder}: no checkpoint yet; train until the first --checkpoint_every")


def _read_classes(path):
    try:
        return [ClassLabel(**item) for item in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); train wrote it at its start") from None


def _names(classes):
    return "[" + ", ".join(f"{label.name} ({label.original_id})" for label in classes) + "]"
