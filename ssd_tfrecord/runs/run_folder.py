"""The run folder: whether it is a run's, with which flags, and whether that run may resume.

Read and checked before TensorFlow is imported.
"""

import dataclasses
import os
import pathlib
import shutil
from collections.abc import Iterable

from ssd_tfrecord import flags
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import names_of_role

FLAGS_FILE = "flags.txt"
CHECKPOINTS = "checkpoints"
# Everything that a run and its evaluation write; --restart deletes these and BAD_BATCHES only.
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
    """Checks that a run with ``config`` may write to ``config.run_dir``; changes nothing.

    Raises:
        InputError: the folder contains something other than a run, or a run with other flags; the
            message lists each flag with its old and new value.
    """
    folder = pathlib.Path(config.run_dir)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--run_dir={config.run_dir}: is a file; must be a folder")
    # --restart deletes, so it too needs the proof that the folder is a run's.
    ours = (folder / FLAGS_FILE).is_file()
    if folder.is_dir() and not ours and any(folder.iterdir()):
        raise InputError(
            f"--run_dir={config.run_dir}: contains files but no {FLAGS_FILE}, so it is not a run "
            "folder; must be a new or empty folder, or that of a run"
        )
    if ours and not config.restart:
        _check_unchanged(config, (folder / FLAGS_FILE).read_text(encoding="utf-8"))


def begin(config: TrainConfig) -> None:
    """Creates ``config.run_dir`` and writes ``flags.txt``; deletes an old run if ``--restart``.

    To be called once everything in ``config`` has been checked, so that a wrong flag leaves no run
    behind.

    Raises:
        InputError: as ``check``.
    """
    check(config)
    folder = pathlib.Path(config.run_dir)
    if config.restart and (folder / FLAGS_FILE).is_file():
        _remove_run(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Without --restart: the flagfile can be used to resume, and would delete the run otherwise.
    lines = flags.to_lines(dataclasses.replace(config, restart=False))
    write_text(folder / FLAGS_FILE, "\n".join(lines) + "\n")


def read_config(run_dir: str | os.PathLike[str]) -> TrainConfig:
    """The config with which the run in ``run_dir`` was last started.

    Raises:
        InputError: the folder is not a run's, or its flags are not those of this version.
    """
    path = pathlib.Path(run_dir) / FLAGS_FILE
    if not path.is_file():
        raise InputError(f"--run_dir={run_dir}: contains no {FLAGS_FILE}; must be a run folder")
    try:
        return flags.parse(TrainConfig, ["train", f"--flagfile={path}"])
    except InputError as error:  # written by another version, or edited by hand
        raise InputError(f"{path}: {error}") from None


def run_of_checkpoint(path: str | os.PathLike[str]) -> pathlib.Path:
    """The absolute run folder of ``--init_checkpoint``: itself, or the nearest above it.

    Raises:
        InputError: there is no such folder or checkpoint, or no run folder above it.
    """
    # A checkpoint is several files whose names begin with its path; .index is one of them.
    if not pathlib.Path(path).is_dir() and not pathlib.Path(f"{path}.index").is_file():
        raise InputError(f"--init_checkpoint={path}: not found; must be {INIT_CHECKPOINT_TEXT}")
    place = pathlib.Path(path).resolve()
    for folder in (place, *place.parents):
        if (folder / FLAGS_FILE).is_file():
            return folder
    raise InputError(
        f"--init_checkpoint={path}: neither it nor a folder above it contains {FLAGS_FILE}; "
        f"must be {INIT_CHECKPOINT_TEXT}"
    )


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes ``text`` to a temporary file and renames it: a reader never sees half a file.

    Args:
        path: of the file; an existing one is replaced.
        text: its content, written as UTF-8.
    """
    path = pathlib.Path(path)
    aside = path.with_name(path.name + ".part")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)


def _check_unchanged(config: TrainConfig, old_text: str) -> None:
    """Checks that flags which change the result of the run are those of ``old_text``."""
    old = _values(old_text.splitlines())
    new = _values(flags.to_lines(config))
    changeable = names_of_role(config, "cadence", "view", "means", "place")
    reasons: dict[str, str] = {}
    if config.optimizer.lr_schedule == "cosine":
        changeable -= {"num_steps"}
        reasons["num_steps"] = ", which changes the learning rates of --lr_schedule=cosine"
    # The file of an older version lacks newer flags: these are not compared.
    changed = [
        f"--{name}: {old[name] or 'empty'} -> {new[name] or 'empty'}{reasons.get(name, '')}"
        for name in new
        if name in old and old[name] != new[name] and name not in changeable
    ]
    if changed:
        raise InputError(
            f"--run_dir={config.run_dir}: this run has other flags ({'; '.join(changed)}); set "
            "them back, choose another --run_dir, or start from scratch with --restart"
        )


def _values(lines: Iterable[str]) -> dict[str, str]:
    """{flag: text} of the lines of a flagfile written by ``flags.to_lines``."""
    return dict(line.removeprefix("--").split("=", 1) for line in lines if line.startswith("--"))


def _remove_run(folder: pathlib.Path) -> None:
    for path in [folder / name for name in RUN_NAMES] + list(folder.glob(BAD_BATCHES)):
        # rmtree refuses a link, and what it points to is not ours to delete.
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
