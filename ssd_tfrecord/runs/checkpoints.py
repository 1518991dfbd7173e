"""Checkpoints of a run: the last few and the best one, saved and restored."""

import contextlib
import os
import pathlib
import threading
import weakref
from typing import Any, Protocol

import tensorflow as tf

from ssd_tfrecord.errors import DiskError, InputError
from ssd_tfrecord.keras import keras
from ssd_tfrecord.records.manifest import ClassLabel
from ssd_tfrecord.runs import (
    checkpoint_files,
    checkpoint_names,
    checkpoint_state,
    run_files,
    run_folder,
)
from ssd_tfrecord.runs.checkpoint_files import CLASSES_FILE, BestRecord, Place
from ssd_tfrecord.runs.checkpoint_names import BEST, CHECKPOINTS
from ssd_tfrecord.runs.checkpoint_state import Say, disk_errors, say_to_stderr
from ssd_tfrecord.runs.loaded_run import LoadedRun, load_run, split_path

__all__ = ["Checkpoints", "LoadedRun", "check_classes", "load_run", "split_path"]

# Of flags.txt and identity.json; a larger one is not copied.
_MAX_TEXT_BYTES = 2**26


class Averages(Protocol):
    """Averages of the model's weights, as ``training`` keeps them.

    ``state`` is what is saved. For an evaluation they take the model's place; ``put_back`` ends
    that, wherever it was broken off.
    """

    state: Any

    def put_back(self) -> None:
        """Sees to it that the model holds its own weights."""


class Checkpoints:
    """``checkpoints/ckpt-N``, ``checkpoints/best/ckpt-N`` and ``checkpoints/classes.json``.

    A checkpoint contains the step, the weights, their averages if the run keeps some, and the state
    of the optimizer: momenta, iterations and the loss scale. N is the number of finished steps.
    What counts is what is on the disk: a new one is written aside and has its name only once it is
    whole and on the disk, and older ones are deleted after that. ``lock`` is held by every method
    that writes; they are for any thread.

    Args:
        run_dir: the run folder; made if it does not exist.
        model: whose weights are saved and restored.
        optimizer: whose state is saved and restored.
        keep: number of checkpoints to keep, besides the best one.
        averages: of the weights of ``model``, if the run keeps some; saved and restored, too.
        say: prints a line about a damaged checkpoint.
        flags_text: content of flags.txt, for the folder in which the state is saved if the run
            folder is deleted or renamed; default: what is in the file now.

    Raises:
        DiskError: the run folder cannot be made.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        *,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        keep: int,
        averages: Averages | None = None,
        say: Say = say_to_stderr,
        flags_text: str = "",
    ) -> None:
        self.lock = threading.RLock()
        self.step = tf.Variable(0, trainable=False, dtype=tf.int64, name="step")
        self._averages = averages
        more = {"averages": averages.state} if averages else {}
        self._state = tf.train.Checkpoint(step=self.step, model=model, optimizer=optimizer, **more)
        # Made now: other programs' tf.train.Checkpoint.restore expects it in the file.
        _ = self._state.save_counter
        # Absolute: the run stays where it is if the process goes elsewhere.
        self._run_dir = pathlib.Path(os.path.abspath(run_dir))
        self._folder = self._run_dir / CHECKPOINTS
        self._keep = keep
        self._say = say
        self._classes: tuple[ClassLabel, ...] = ()
        with disk_errors(self._folder):
            self._run_dir.mkdir(parents=True, exist_ok=True)
            # Kept open: otherwise a folder made anew might get the number of the old one.
            self._descriptor = os.open(self._run_dir, os.O_RDONLY | os.O_DIRECTORY)
            weakref.finalize(self, os.close, self._descriptor)
            self._texts = _texts(self._run_dir)
        if flags_text:
            self._texts[run_folder.FLAGS_FILE] = flags_text
        self._rescued: tuple[int, str] | None = None
        self._known_best: tuple[int, dict[str, float]] | None = None
        self._looked_for_best = False

    def restore(self) -> int:
        """Restores the newest intact checkpoint; returns its step, or 0 if there is none at all.

        Names damaged ones and puts them away, deletes what kills have left, and writes
        TensorFlow's list of the checkpoints again where it is not right.

        Raises:
            InputError: every checkpoint is damaged, or does not fit the network.
            DiskError: the disk cannot be written.
        """
        with self.lock, disk_errors(self._folder):
            for folder in (self._folder, self._folder / BEST):
                checkpoint_files.clean(folder)
            candidates = checkpoint_files.newest_first(self._folder)
            place, damaged = checkpoint_state.first_intact(candidates)
            if place:
                self._put_away(damaged, [*(item for item, _ in damaged[1:]), place])
                checkpoint_state.assign(self._state, place.path)
            elif damaged:
                raise checkpoint_state.all_damaged(self._folder, damaged)
            elif checkpoint_files.is_listed(self._folder):
                raise InputError(
                    f"{self._folder}: the run has had checkpoints, and none is left; put one back, "
                    "move the run folder away, or start from scratch with --restart"
                )
            if found := checkpoint_files.places(self._folder):
                checkpoint_files.write_list(self._folder, found)
            self._find_best()
        return int(self.step.numpy())

    def save(self, step: int) -> str:
        """Saves ``ckpt-<step>``, deletes those older than the kept ones, and returns its path.

        Raises:
            DiskError: it cannot be written, and nothing has changed; or the run folder has been
                deleted or renamed, and the state is in another one, which is named.
        """
        with self.lock:
            self._check_run_dir(step)
            place = self._write(self._folder, step)
            with disk_errors(self._folder):
                found = checkpoint_files.places(self._folder)
                kept = found[: found.index(place) + self._keep]
                checkpoint_files.keep_only(self._folder, kept)
                # All is gone if somebody has deleted the folder.
                if self._classes and not (self._folder / CLASSES_FILE).exists():
                    checkpoint_files.write_classes(self._folder, self._classes)
        return str(place.path)

    def save_best(self, step: int, metric: str, value: float) -> str:
        """Replaces the best checkpoint by ``best/ckpt-<step>``, and returns its path.

        Killed anywhere, it leaves the old best or the new one.

        Args:
            step: number of finished steps.
            metric: name of the metric that makes it the best.
            value: of the metric.

        Raises:
            DiskError: as ``save``.
        """
        folder = self._folder / BEST
        with self.lock:
            self._check_run_dir(step)
            place = self._write(folder, step)
            with disk_errors(folder):
                checkpoint_files.write_best(folder, BestRecord(step, metric, float(value)))
                checkpoint_files.keep_only(folder, [place])
            self._known_best = (step, {metric: float(value)})
            self._looked_for_best = True
        return str(place.path)

    def best(self) -> tuple[int, dict[str, float]] | None:
        """The best checkpoint, as far as it is intact.

        Returns:
            (its step, {metric: value} of ``save_best``), or None if there is none. The dict is
            empty if the value is not known: earlier versions did not write it.
        """
        with self.lock:
            if not self._looked_for_best:
                with disk_errors(self._folder / BEST):
                    self._find_best()
            return self._known_best

    def write_classes(self, classes: tuple[ClassLabel, ...]) -> None:
        """Writes the class list beside the checkpoints.

        Raises:
            DiskError: it cannot be written.
        """
        self._classes = classes
        with self.lock, disk_errors(self._folder):
            checkpoint_files.make_folder(self._folder)
            checkpoint_files.write_classes(self._folder, classes)

    def _write(self, folder: pathlib.Path, step: int) -> Place:
        """Writes a checkpoint unless it is there: a state depends on nothing but its step."""
        place = Place(folder, step)
        with disk_errors(folder, step):
            checkpoint_files.make_folder(folder)
            if checkpoint_names.files(place.path):
                reason = checkpoint_state.damage(place.path, step)
                if not reason:
                    return place
                self._put_away([(place, reason)], [])
            # restore() compares the step in the checkpoint with that in its name.
            self.step.assign(step)
            if self._averages:
                self._averages.put_back()
            checkpoint_state.write(self._state, place)
        return place

    def _put_away(self, damaged: list[tuple[Place, str]], instead: list[Place]) -> None:
        """Says and renames each of ``damaged``, for which the next of ``instead`` is taken."""
        for number, (place, reason) in enumerate(damaged):
            kept = checkpoint_files.put_away(place)
            then = f": going back to {instead[number].name}" if instead else ""
            self._say(f"{place.name} is damaged ({reason}; kept as {kept}){then}")

    def _find_best(self) -> None:
        folder = self._folder / BEST
        place, damaged = checkpoint_state.first_intact(checkpoint_files.best_first(self._folder))
        self._put_away(damaged, [])
        try:
            record = checkpoint_files.read_best(folder)
        except InputError as error:
            self._say(f"{error}; the next better evaluation replaces it")
            record = None
        if place:
            known = {record.metric: record.value} if record and record.step == place.step else {}
            self._known_best = (place.step, known)
            # A save of the best that was broken off before it was recorded, or after.
            checkpoint_files.keep_only(folder, [place])
        elif damaged:
            self._say("no best checkpoint is left; the next evaluation writes one")
        self._looked_for_best = True

    def _check_run_dir(self, step: int) -> None:
        """Saves the state beside the run folder if that is no longer where it was.

        Raises:
            DiskError: it is not; the message says where the state is.
        """
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(self._run_dir), os.fstat(self._descriptor)):
                return
        if self._rescued is None or self._rescued[0] != step:
            self._rescued = step, self._rescue(step)
        raise DiskError(self._rescued[1])

    def _rescue(self, step: int) -> str:
        place = checkpoint_files.free_path(
            self._run_dir.with_name(f"{self._run_dir.name}-rescued-{step}")
        )
        folder = place / CHECKPOINTS
        saved = self._write(folder, step)
        with disk_errors(folder, step):
            checkpoint_files.keep_only(folder, [saved])
            if self._classes:
                checkpoint_files.write_classes(folder, self._classes)
            for name, text in self._texts.items():
                run_files.write_text(place / name, text)
        return (
            f"{self._run_dir}: the run folder has been deleted or renamed; step {step} is saved in "
            f"{place}. To go on from there, move it to {self._run_dir} and run the same command, "
            f"or begin another run with --init_checkpoint={place}"
        )


def check_classes(run_dir: str | os.PathLike[str], classes: tuple[ClassLabel, ...]) -> None:
    """Checks that the run in ``run_dir``, if there is one, has the same classes.

    Args:
        run_dir: the run folder.
        classes: those of the training set.

    Raises:
        InputError: they differ, or the run's class list cannot be read and its identity lacks it.
    """
    folder = pathlib.Path(run_dir) / CHECKPOINTS
    if not (folder / CLASSES_FILE).exists():
        return
    # The same number of classes with other names would fit the weights, and training would go on
    # without a word. Original ids are the data's own, and do not matter to a model.
    names = [item.name for item in classes]
    try:
        before = [item.name for item in checkpoint_files.read_classes(folder)]
    except InputError:
        # Training writes the file again, of classes that have been compared with the identity's.
        identity = run_folder.read_identity(run_dir)
        if identity is None or identity.train is None:
            raise
        return
    if before != names:
        raise InputError(
            f"--train_records: classes are [{', '.join(names)}], but the run in {run_dir} has "
            f"[{', '.join(before)}]; must be the same, in the same order"
        )


def _texts(run_dir: pathlib.Path) -> dict[str, str]:
    """{name: content} of what makes the folder a run's."""
    found = {}
    for name in (run_folder.FLAGS_FILE, run_folder.IDENTITY_FILE):
        with contextlib.suppress(OSError, ValueError):
            found[name] = run_files.read_text(run_dir / name, _MAX_TEXT_BYTES)
    return found
