"""The run folder: whose it is, which flags it was trained with, and whether a run may go on.

Read and checked before TensorFlow is imported.
"""

import dataclasses
import os
import pathlib
import shutil

from ssd_tfrecord import flags
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import names_of_role

FLAGS_FILE = "flags.txt"
CHECKPOINTS = "checkpoints"
# All that a run and its evaluation write; --restart removes these and nothing else.
RUN_NAMES = (
    FLAGS_FILE,
    CHECKPOINTS,
    "train",
    "eval",
    "history.csv",
    "curves.png",
    "metrics.json",
    "pictures",
    "detections",
)
BAD_BATCHES = "nonfinite-*.npz"

INIT_CHECKPOINT_TEXT = "a run folder or a checkpoint in it (…/checkpoints/ckpt-N)"


def check(config: TrainConfig) -> None:
    """Checks that a run with ``config`` may write into ``config.run_dir``; changes nothing.

    Raises ``InputError`` where the folder holds something else than a run, or a run of other
    flags; the message lists each with its old and new value.
    """
    folder = pathlib.Path(config.run_dir)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--run_dir={config.run_dir}: is a file; must be a folder")
    ours = (folder / FLAGS_FILE).is_file()
    if folder.is_dir() and not ours and any(folder.iterdir()):
        raise InputError(
            f"--run_dir={config.run_dir}: holds files but no {FLAGS_FILE}, so no run; must be "
            "empty, new, or the folder of a run"
        )
    if ours and not config.restart:
        _check_unchanged(config, (folder / FLAGS_FILE).read_text(encoding="utf-8"))


def begin(config: TrainConfig) -> None:
    """Makes ``config.run_dir``, emptied of a run by ``--restart``, and writes ``flags.txt``.

    Called once all of ``config`` has proved usable, so that a wrong flag leaves no run behind.
    """
    check(config)
    folder = pathlib.Path(config.run_dir)
    if config.restart and (folder / FLAGS_FILE).is_file():
        _remove_run(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines = flags.to_lines(dataclasses.replace(config, restart=False))
    write_text(folder / FLAGS_FILE, "\n".join(lines) + "\n")


def read_config(run_dir) -> TrainConfig:
    """The config that the run in ``run_dir`` was last started with."""
    path = pathlib.Path(run_dir) / FLAGS_FILE
    if not path.is_file():
        raise InputError(f"--run_dir={run_dir}: has no {FLAGS_FILE}; must be the folder of a run")
    try:
        return flags.parse(TrainConfig, ["train", f"--flagfile={path}"])
    except InputError as error:  # another version wrote it, or a hand
        raise InputError(f"{path}: {error}") from None


def run_of_checkpoint(path) -> pathlib.Path:
    """The absolute run folder of ``--init_checkpoint``: it, or the next above that is one."""
    if not pathlib.Path(path).is_dir() and not pathlib.Path(f"{path}.index").is_file():
        raise InputError(f"--init_checkpoint={path}: no such run; must be {INIT_CHECKPOINT_TEXT}")
    place = pathlib.Path(path).resolve()
    for folder in (place, *place.parents):
        if (folder / FLAGS_FILE).is_file():
            return folder
    raise InputError(
        f"--init_checkpoint={path}: has no {FLAGS_FILE}, nor has a folder above it; "
        f"must be {INIT_CHECKPOINT_TEXT}"
    )


def write_text(path, text):
    """Writes ``text`` aside, then gives it its name: a reader never sees half a file."""
    path = pathlib.Path(path)
    aside = path.with_name(path.name + ".part")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)


def _check_unchanged(config, old_text):
    old = _values(old_text.splitlines())
    new = _values(flags.to_lines(config))
    changeable, reasons = names_of_role(config, "cadence", "view", "means", "place"), {}
    if config.optimizer.lr_schedule == "cosine":
        changeable -= {"num_steps"}
        reasons["num_steps"] = ", which changes the rates of --lr_schedule=cosine"
    changed = [
        f"--{name}: {old[name] or 'empty'} -> {new[name] or 'empty'}{reasons.get(name, '')}"
        for name in new
        if name in old and old[name] != new[name] and name not in changeable
    ]
    if changed:
        raise InputError(
            f"--run_dir={config.run_dir}: this run has other flags ({'; '.join(changed)}); give "
            "them as they were, choose another --run_dir, or begin afresh with --restart"
        )


def _values(lines):
    """{flag: text} of the lines of a flagfile that ``flags.to_lines`` wrote."""
    return dict(line.removeprefix("--").split("=", 1) for line in lines if line.startswith("--"))


def _remove_run(folder):
    for path in [folder / name for name in RUN_NAMES] + list(folder.glob(BAD_BATCHES)):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
