"""How a run's model is loaded: by evaluation, detection, export, or a run that begins with it."""

import os
import pathlib
from dataclasses import dataclass

import tensorflow as tf

from ssd_tfrecord.backbones.layers import BLANK
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import ssd
from ssd_tfrecord.runs import (
    checkpoint_files,
    checkpoint_names,
    checkpoint_state,
    run_files,
    run_folder,
)
from ssd_tfrecord.runs.checkpoint_names import CHECKPOINTS
from ssd_tfrecord.runs.checkpoint_state import Say, named_weights, say_to_stderr

AVERAGED, RAW = "averaged", "raw"


@dataclass(frozen=True)
class LoadedRun:
    """A trained model, its config and classes.

    Label i is ``class_names[i - 1]`` and ``original_ids[i - 1]``, the id in the source (COCO's
    category id). ``step`` is the number of steps that the model was trained for; ``averaged``:
    the model has the averages of the weights (``--ema_decay``).
    """

    model: keras.Model
    config: TrainConfig
    class_names: tuple[str, ...]
    original_ids: tuple[int, ...]
    step: int
    averaged: bool = False


def load_run(
    run_dir: str | os.PathLike[str],
    checkpoint: str = "best",
    *,
    weights: str = AVERAGED,
    say: Say = say_to_stderr,
) -> LoadedRun:
    """The model of the run in ``run_dir``, built in the current strategy's scope.

    Changes nothing in the folder, which may be that of a run that is training.

    Args:
        run_dir: the run folder.
        checkpoint: best (the last one if there is no best), last, or a path like
            ``…/checkpoints/ckpt-N``.
        weights: averaged (those that are trained, if the run keeps no averages) or raw.
        say: prints a line about a damaged checkpoint, in whose place another one is taken.

    Raises:
        InputError: the folder is not a run's, or there is no such checkpoint, or it is damaged.
    """
    config = run_folder.read_config(run_dir)
    folder = pathlib.Path(run_dir) / CHECKPOINTS
    with run_files.in_one_line(run_dir):
        path = _checkpoint_path(folder, checkpoint, say)
    classes = checkpoint_files.read_classes(folder)
    # The checkpoint replaces all weights, or is refused.
    model = ssd.build(config.model, config.anchors, len(classes), BLANK)
    step = tf.Variable(0, trainable=False, dtype=tf.int64)
    while True:
        try:
            averaged = weights == AVERAGED and checkpoint_state.has_averages(path)
            # Its optimizer is left in the file.
            source = {"averages": named_weights(model)} if averaged else {"model": model}
            checkpoint_state.assign(tf.train.Checkpoint(step=step, **source), path)
            break
        except tf.errors.OpError:
            # The run may have gone on, and deleted it.
            if checkpoint_names.files(path):
                raise
            path = _checkpoint_path(folder, checkpoint, say)
    return LoadedRun(
        model=model,
        config=config,
        class_names=tuple(label.name for label in classes),
        original_ids=tuple(label.original_id for label in classes),
        step=int(step.numpy()),
        averaged=averaged,
    )


def split_path(path: str | os.PathLike[str], *, say: Say = say_to_stderr) -> tuple[str, str]:
    """The run folder and the checkpoint of ``--init_checkpoint``.

    Args:
        path: a run folder, for its best checkpoint; a folder of checkpoints in it, for the last
            one; or a checkpoint (``…/checkpoints/ckpt-N``).
        say: prints a line about a damaged checkpoint, in whose place another one is taken.

    Returns:
        (run folder, checkpoint), as ``load_run`` accepts them.

    Raises:
        InputError: it is none of these, or all checkpoints in the folder are damaged.
    """
    run_dir = run_folder.run_of_checkpoint(path)
    folder = pathlib.Path(path)
    # Resolved, as ``run_dir`` is.
    if folder.resolve() == run_dir:
        return str(run_dir), "best"
    if not folder.is_dir():
        return str(run_dir), str(path)
    with run_files.in_one_line(run_dir):
        place = checkpoint_state.choose(folder, lambda: checkpoint_files.places(folder), say)
    if place is None:
        raise InputError(
            f"--init_checkpoint={path}: the folder contains no checkpoints; "
            f"must be {run_folder.INIT_CHECKPOINT_TEXT}"
        )
    return str(run_dir), str(place.path)


def _checkpoint_path(folder: pathlib.Path, checkpoint: str, say: Say) -> pathlib.Path:
    if checkpoint not in ("best", "last"):
        path = pathlib.Path(checkpoint)
        if not pathlib.Path(f"{path}.index").is_file():
            raise InputError(
                f"--checkpoint={checkpoint}: not found; must be best, last or a path like "
                f"{folder}/ckpt-1000"
            )
        if reason := checkpoint_state.damage(path):
            raise InputError(
                f"--checkpoint={checkpoint}: damaged ({reason}); must be best, last or the path of "
                "another checkpoint"
            )
        return path
    candidates_fn = (
        # Before the first evaluation there is no best one.
        (lambda: [*checkpoint_files.best_first(folder), *checkpoint_files.places(folder)])
        if checkpoint == "best"
        else (lambda: checkpoint_files.newest_first(folder))
    )
    place = checkpoint_state.choose(folder, candidates_fn, say)
    if place is None:
        raise InputError(
            f"{folder}: no checkpoint yet; train until the first one is saved (--checkpoint_every)"
        )
    return place.path
