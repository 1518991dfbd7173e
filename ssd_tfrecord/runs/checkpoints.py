"""Checkpoints of a run: the last few and the best one; and how a run's model is loaded."""

import dataclasses
import json
import os
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

    A checkpoint contains the step, the weights and the state of the optimizer: momenta, iterations
    and the loss scale. N is the number of finished steps.

    Args:
        run_dir: the run folder.
        model: whose weights are saved and restored.
        optimizer: whose state is saved and restored.
        keep: number of checkpoints to keep, besides the best one.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        *,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        keep: int,
    ) -> None:
        self.step = tf.Variable(0, trainable=False, dtype=tf.int64, name="step")
        self._state = tf.train.Checkpoint(step=self.step, model=model, optimizer=optimizer)
        folder = pathlib.Path(run_dir) / run_folder.CHECKPOINTS
        self._folder = folder
        self._last = self._manager(folder, keep)
        # A manager of its own: the other one deletes the oldest, which the best may be.
        self._best = self._manager(folder / "best", 1)

    def restore(self) -> int:
        """Restores the last checkpoint; returns its step, or 0 if there is none."""
        if self._last.latest_checkpoint:
            status = self._state.restore(self._last.latest_checkpoint)
            # A restore is silent about variables that the file lacks.
            status.assert_existing_objects_matched()
        return int(self.step.numpy())

    def save(self, step: int) -> str:
        """Saves ``ckpt-<step>``, deletes those older than the kept ones, and returns its path."""
        return self._save(self._last, step)

    def save_best(self, step: int) -> str:
        """Replaces the best checkpoint by ``best/ckpt-<step>``, and returns its path."""
        return self._save(self._best, step)

    def write_classes(self, classes: tuple[ClassLabel, ...]) -> None:
        """Writes the class list beside the checkpoints."""
        self._folder.mkdir(parents=True, exist_ok=True)
        content = json.dumps([dataclasses.asdict(label) for label in classes], indent=1)
        run_folder.write_text(self._folder / CLASSES_FILE, content + "\n")

    def _manager(self, folder: pathlib.Path, keep: int) -> tf.train.CheckpointManager:
        return tf.train.CheckpointManager(self._state, str(folder), max_to_keep=keep)

    def _save(self, manager: tf.train.CheckpointManager, step: int) -> str:
        # restore() reads the step from the checkpoint, not from its name.
        self.step.assign(step)
        return manager.save(checkpoint_number=step)


def check_classes(run_dir: str | os.PathLike[str], classes: tuple[ClassLabel, ...]) -> None:
    """Checks that the run in ``run_dir``, if there is one, has the same classes.

    Args:
        run_dir: the run folder.
        classes: those of the training set.

    Raises:
        InputError: they differ, or the run's class list cannot be read.
    """
    path = pathlib.Path(run_dir) / run_folder.CHECKPOINTS / CLASSES_FILE
    # The same number of classes with other names would fit the weights, and training would go on
    # without a word. Original ids are the data's own, and do not matter to a model.
    names = [item.name for item in classes]
    if path.exists() and (before := [item.name for item in _read_classes(path)]) != names:
        raise InputError(
            f"--train_records: classes are [{', '.join(names)}], but the run in {run_dir} has "
            f"[{', '.join(before)}]; must be the same, in the same order"
        )


@dataclass(frozen=True)
class LoadedRun:
    """A trained model, its config and classes.

    Label i is ``class_names[i - 1]`` and ``original_ids[i - 1]``, the id in the source (COCO's
    category id). ``step`` is the number of steps that the model was trained for.
    """

    model: keras.Model
    config: TrainConfig
    class_names: tuple[str, ...]
    original_ids: tuple[int, ...]
    step: int


def load_run(run_dir: str | os.PathLike[str], checkpoint: str = "best") -> LoadedRun:
    """The model of the run in ``run_dir``, built in the current strategy's scope.

    Args:
        run_dir: the run folder.
        checkpoint: best (the last one if there is no best), last, or a path like
            ``…/checkpoints/ckpt-N``.

    Raises:
        InputError: the folder is not a run's, or there is no such checkpoint.
    """
    config = run_folder.read_config(run_dir)
    folder = pathlib.Path(run_dir) / run_folder.CHECKPOINTS
    path = _checkpoint_path(folder, checkpoint)
    classes = _read_classes(folder / CLASSES_FILE)
    # Without a seed: the checkpoint replaces all initial weights.
    model = ssd.build(config.model, config.anchors, len(classes))
    step = tf.Variable(0, trainable=False, dtype=tf.int64)
    status = tf.train.Checkpoint(step=step, model=model).restore(path)
    # Everything here must be in the file; its optimizer is left there without a warning.
    status.assert_existing_objects_matched().expect_partial()
    return LoadedRun(
        model=model,
        config=config,
        class_names=tuple(label.name for label in classes),
        original_ids=tuple(label.original_id for label in classes),
        step=int(step.numpy()),
    )


def split_path(path: str | os.PathLike[str]) -> tuple[str, str]:
    """The run folder and the checkpoint of ``--init_checkpoint``.

    Args:
        path: a run folder, for its best checkpoint; a folder of checkpoints in it, for the last
            one; or a checkpoint (``…/checkpoints/ckpt-N``).

    Returns:
        (run folder, checkpoint), as ``load_run`` accepts them.

    Raises:
        InputError: it is none of these.
    """
    folder = run_folder.run_of_checkpoint(path)
    # Resolved, as ``folder`` is.
    if pathlib.Path(path).resolve() == folder:
        return str(folder), "best"
    if not pathlib.Path(path).is_dir():
        return str(folder), str(path)
    latest = tf.train.latest_checkpoint(str(path))
    if latest is None:
        raise InputError(
            f"--init_checkpoint={path}: the folder contains no checkpoints; "
            f"must be {run_folder.INIT_CHECKPOINT_TEXT}"
        )
    return str(folder), latest


def _checkpoint_path(folder: pathlib.Path, checkpoint: str) -> str:
    # Before the first evaluation there is no best one.
    places = {"best": (folder / "best", folder), "last": (folder,)}
    if checkpoint not in places:
        if not pathlib.Path(f"{checkpoint}.index").is_file():
            raise InputError(
                f"--checkpoint={checkpoint}: not found; must be best, last or a path like "
                f"{folder}/ckpt-1000"
            )
        return checkpoint
    for place in places[checkpoint]:
        if latest := tf.train.latest_checkpoint(str(place)):
            return latest
    raise InputError(
        f"{folder}: no checkpoint yet; train until the first one is saved (--checkpoint_every)"
    )


def _read_classes(path: pathlib.Path) -> list[ClassLabel]:
    try:
        return [ClassLabel(**item) for item in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); training writes it when it starts"
        ) from None
