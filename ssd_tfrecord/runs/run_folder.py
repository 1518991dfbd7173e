"""The run folder: whether it is a run's, with which flags, and whether that run may resume.

Read and checked before TensorFlow is imported. Whoever changes it holds its lock (``run_lock``).
"""

import dataclasses
import os
import pathlib
import re
import shutil

from ssd_tfrecord import flags
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import CAFFE, AnchorOptions, ModelOptions
from ssd_tfrecord.records import manifest_fields
from ssd_tfrecord.runs import checkpoint_names, identity, run_files
from ssd_tfrecord.runs.checkpoint_names import BEST, CHECKPOINTS
from ssd_tfrecord.runs.identity import Identity
from ssd_tfrecord.runs.run_files import sync_folder, write_text

FLAGS_FILE = "flags.txt"
IDENTITY_FILE = "identity.json"
_SIGNS = {FLAGS_FILE: b"--run_dir=", IDENTITY_FILE: b'"schema_version"'}
LOCK_FILE = "lock"
# There while --restart deletes: what is left of such a run is never taken for a run.
RESTARTING_FILE = "restarting"
# Everything that a run and its evaluations write; --restart deletes these and BAD_BATCHES only.
RUN_NAMES = (
    FLAGS_FILE,
    IDENTITY_FILE,
    "runs.jsonl",
    CHECKPOINTS,
    "train",
    "eval",
    "history.csv",
    "curves.png",
    "metrics.json",
    "thresholds.json",
    "pictures",
    "evaluations",
)
BAD_BATCHES = "nonfinite-*.npz"

INIT_CHECKPOINT_TEXT = (
    "a run folder, a checkpoint in it (…/checkpoints/ckpt-N), or the file of a published model "
    "(.pth, .safetensors, .caffemodel, .h5)"
)

# More than a run writes: larger files are not read.
_MAX_FLAGS_BYTES = 2**20
_MAX_IDENTITY_BYTES = 2**26
# May change after a stop for a loss that is not finite, which would come again without.
_FREE_AFTER_NOT_FINITE = (
    "learning_rate",
    "lr_values",
    "warmup_steps",
    "gradient_clip_norm",
    "skip_nonfinite",
)


def check_place(run_dir: str | os.PathLike[str]) -> None:
    """Checks that ``run_dir`` is new, empty or a run's; changes nothing.

    Raises:
        InputError: it is a file, or a folder that contains something other than a run.
    """
    with run_files.in_one_line(run_dir):
        if os.path.exists(run_dir) and not os.path.isdir(run_dir):
            raise InputError(f"--run_dir={run_dir}: is a file; must be a folder")
        if not is_run(run_dir) and not is_untouched(run_dir):
            raise InputError(
                f"--run_dir={run_dir}: contains files but no {FLAGS_FILE} of a run, so it is not a "
                "run folder; must be a new or empty folder, or that of a run"
            )


def is_run(run_dir: str | os.PathLike[str]) -> bool:
    """Whether the folder is a run's; a file of such a name may be another program's."""
    return any(run_files.holds(os.path.join(run_dir, name), text) for name, text in _SIGNS.items())


def is_untouched(run_dir: str | os.PathLike[str]) -> bool:
    """Whether the folder does not exist, or contains only what a run leaves that never began.

    Raises:
        OSError: it cannot be read.
    """
    try:
        names = os.listdir(run_dir)
    except FileNotFoundError:
        return True
    return all(name == LOCK_FILE or run_files.written_aside(name) in RUN_NAMES for name in names)


def restarts(config: TrainConfig) -> bool:
    """Whether ``config`` asks to delete what is in its run folder; ``begin`` does, and then not.

    Raises:
        InputError: it depends on ``--restart_id``, and the id of the run cannot be read.
    """
    folder = pathlib.Path(config.run_dir)
    if config.restart or not config.restart_id or not is_run(folder):
        return config.restart
    return _stored(folder, config)[0].restart_id != config.restart_id


def resumes(config: TrainConfig) -> bool:
    """Whether a run of ``config`` goes on from a checkpoint, and needs no start weights.

    Raises:
        InputError: as ``restarts``.
    """
    folder = pathlib.Path(config.run_dir)
    return (
        is_run(folder)
        and not (folder / RESTARTING_FILE).exists()
        and _last_step(folder) is not None
        and not restarts(config)
    )


def check(config: TrainConfig, new: Identity | None = None) -> tuple[str, ...]:
    """Checks that a run with ``config`` may write to ``config.run_dir``; changes nothing.

    Args:
        config: of the run.
        new: its identity; without it, only flags are compared.

    Returns:
        Lines to say: what may change and has changed, and what is damaged and does not matter.

    Raises:
        InputError: the folder contains something other than a run, or a run with other flags or
            content; the message lists each with its old and new value.
    """
    check_place(config.run_dir)
    for line in flags.to_lines(config):
        if re.search(r"[\r\n\0]", line):
            raise InputError(f"{line}: must not contain a line break")
    folder = pathlib.Path(config.run_dir)
    # --restart deletes, so it too needs the proof that the folder is a run's.
    if not is_run(folder) or config.restart:
        return ()
    if (folder / RESTARTING_FILE).exists():
        return (f"{folder}: --restart was interrupted here; starting from scratch",)
    old, notes = _stored(folder, config)
    if config.restart_id and config.restart_id != old.restart_id:
        began = f"with --restart_id={old.restart_id}" if old.restart_id else "without --restart_id"
        return (f"{folder}: the run here was begun {began}; starting from scratch",)
    # What runs/imported_run has made: no run has been trained on no set.
    if old.train == ():
        raise InputError(
            f"--run_dir={config.run_dir}: an imported model and no run to resume; choose another "
            f"--run_dir, and give --init_checkpoint={config.run_dir}"
        )
    return (*notes, *_compare(config, old, new or identity.of_flags(config)))


def begin(config: TrainConfig, new: Identity | None = None) -> tuple[str, ...]:
    """Makes ``config.run_dir`` a run's; deletes an old run if ``--restart`` or its id say so.

    To be called once everything in ``config`` has been checked, so that a wrong flag leaves no run
    behind. Killed anywhere, it leaves a folder that the same command can use.

    Args:
        config: of the run.
        new: its identity; without it, nothing is known of the content of records and weights.

    Returns:
        Lines to say, as of ``check``.

    Raises:
        InputError: as ``check``.
        DiskError: the folder cannot be written.
    """
    notes = check(config, new)
    new = new or identity.of_flags(config)
    folder = pathlib.Path(config.run_dir)
    with run_files.in_one_line(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if is_run(folder):
            if (folder / RESTARTING_FILE).exists() or restarts(config):
                _remove_run(folder)
            else:
                new = identity.resumed(_stored(folder, config)[0], new)
        _remove_leftovers(folder)
        # Without --restart: the flagfile can be used to resume, and would delete the run otherwise.
        shown = dataclasses.replace(config, restart=False, restart_id=new.restart_id)
        write_text(folder / FLAGS_FILE, "\n".join(flags.to_lines(shown)) + "\n")
        write_text(folder / IDENTITY_FILE, identity.to_json(new))
        (folder / RESTARTING_FILE).unlink(missing_ok=True)
    return notes


def read_config(run_dir: str | os.PathLike[str]) -> TrainConfig:
    """The config with which the run in ``run_dir`` was last started.

    Raises:
        InputError: the folder is not a run's, its flags are damaged or not those of this version,
            or it is what an interrupted ``--restart`` has left.
    """
    path = pathlib.Path(run_dir) / FLAGS_FILE
    # A name that is too long is one that is not there.
    if not os.path.isfile(path):
        raise InputError(f"--run_dir={run_dir}: contains no {FLAGS_FILE}; must be a run folder")
    if path.with_name(RESTARTING_FILE).exists():
        raise InputError(
            f"--run_dir={run_dir}: --restart is deleting this run, or was interrupted; run the "
            "training command again"
        )
    try:
        lines = _flag_lines(path)
    except ValueError as error:
        raise InputError(
            f"{path}: damaged ({error}); the training command writes it again"
        ) from None
    try:
        config = flags.parse(TrainConfig, ["train", *lines])
    except InputError as error:  # written by another version, or edited by hand
        raise InputError(f"{path}: {error}") from None
    _check_network(path, config)
    return config


def anchor_variant(run_dir: str | os.PathLike[str]) -> str:
    """``--anchor_variant`` as the run in ``run_dir`` has kept it; caffe if it is an earlier one's.

    Raises:
        InputError: neither its identity nor its flags can be read.
    """
    try:
        kept = read_identity(run_dir)
    except ValueError:  # damaged, or of a newer version
        kept = None
    if kept:
        return kept.flags.get("anchor_variant", CAFFE)
    return read_config(run_dir).anchors.anchor_variant


def onednn(run_dir: str | os.PathLike[str]) -> str:
    """``--onednn`` of the run's last start; auto where it is not known."""
    try:
        return read_config(run_dir).devices.onednn
    except InputError:
        return "auto"


def read_identity(run_dir: str | os.PathLike[str]) -> Identity | None:
    """The identity of the run in ``run_dir``; None if an earlier version made the run.

    Raises:
        InputError: a newer version has written it.
        ValueError: it is damaged.
    """
    path = pathlib.Path(run_dir) / IDENTITY_FILE
    if not path.is_file():
        return None
    with run_files.in_one_line(run_dir):
        return identity.from_content(manifest_fields.read_object(str(path), _MAX_IDENTITY_BYTES))


def run_of_checkpoint(path: str | os.PathLike[str]) -> pathlib.Path:
    """The absolute run folder of ``--init_checkpoint``: itself, or the nearest above it.

    Raises:
        InputError: there is no such folder or checkpoint, or no run folder above it.
    """
    # A checkpoint is several files whose names begin with its path; .index is one of them.
    if not pathlib.Path(path).is_dir() and not pathlib.Path(f"{path}.index").is_file():
        wrong = "not found"
        if pathlib.Path(path).is_file():
            wrong = "not the weights of a program that is known"
        raise InputError(f"--init_checkpoint={path}: {wrong}; must be {INIT_CHECKPOINT_TEXT}")
    place = pathlib.Path(path).resolve()
    for folder in (place, *place.parents):
        if (folder / FLAGS_FILE).is_file():
            return folder
    raise InputError(
        f"--init_checkpoint={path}: neither it nor a folder above it contains {FLAGS_FILE}; "
        f"must be {INIT_CHECKPOINT_TEXT}"
    )


def _flag_lines(path: pathlib.Path) -> list[str]:
    with run_files.in_one_line(path.parent):
        text = run_files.read_text(path, _MAX_FLAGS_BYTES)
    return run_files.flag_lines(text)


def _check_network(path: pathlib.Path, config: TrainConfig) -> None:
    """Checks that flags.txt was not cut where flags of the network were.

    Raises:
        InputError: it was, or was edited: the network would be another one.
    """
    try:
        kept = read_identity(path.parent)
    except ValueError:  # not needed to evaluate the run
        return
    network = {*vars(ModelOptions()), *vars(AnchorOptions())} & {*(kept.flags if kept else ())}
    values = identity.values_of(flags.to_lines(config))
    for name in sorted(network):
        if kept and values.get(name, kept.flags[name]) != kept.flags[name]:
            raise InputError(
                f"{path}: cut or edited: --{name} is {values[name] or 'empty'}, but the run was "
                f"begun with {kept.flags[name] or 'empty'}; the training command writes it again"
            )


def _stored(folder: pathlib.Path, config: TrainConfig) -> tuple[Identity, tuple[str, ...]]:
    """The identity of the run in ``folder``, and lines about what of it is damaged.

    Raises:
        InputError: neither identity.json nor flags.txt tells it, or it is of a newer version.
    """
    kept, by_flags, damage = None, None, []
    try:
        kept = read_identity(folder)
    except InputError:
        raise
    except ValueError as error:
        damage.append(f"{folder / IDENTITY_FILE}: damaged ({error}); written again")
    try:
        if (folder / FLAGS_FILE).is_file():
            by_flags = identity.of_lines(_flag_lines(folder / FLAGS_FILE), config)
        else:
            damage.append(f"{folder / FLAGS_FILE}: missing; written again")
    except InputError:
        raise
    except ValueError as error:
        damage.append(f"{folder / FLAGS_FILE}: damaged ({error}); written again")
    stored = kept or by_flags
    if stored is None:
        lost = "; ".join(line.removesuffix("; written again") for line in damage)
        raise InputError(
            f"{lost}: what run this is cannot be told; restore the file, choose another "
            "--run_dir, or start from scratch with --restart"
        )
    return stored, tuple(damage)


def _compare(config: TrainConfig, old: Identity, new: Identity) -> list[str]:
    """Checks that ``config`` may resume the run ``old``; returns lines to say.

    Raises:
        InputError: it may not.
    """
    stopped = _not_finite_at(pathlib.Path(config.run_dir))
    found = identity.difference(old, new, free=_FREE_AFTER_NOT_FINITE if stopped else ())
    if found.flags or found.content:
        kinds = [name for name in ("flags", "content") if getattr(found, name)]
        raise InputError(
            f"--run_dir={config.run_dir}: this run has other {' and '.join(kinds)} "
            f"({'; '.join((*found.flags, *found.content))}); give those of the run, choose another "
            "--run_dir, or start from scratch with --restart"
        )
    lines = list(found.notes)
    if found.freed:
        lines.append(
            f"changed after step {stopped}, which was not finite: {'; '.join(found.freed)}"
        )
    return lines


def _not_finite_at(folder: pathlib.Path) -> int:
    """The step whose loss was not finite and has ended the run; 0 if none has."""
    names = (path.name for path in folder.glob(BAD_BATCHES))
    found = [int(match[1]) for name in names if (match := re.fullmatch(r"\D+(\d+)\.npz", name))]
    # One that the run has passed by now is no reason any more.
    last = _last_step(folder) or 0
    return max((step for step in found if step > last), default=0)


def _last_step(folder: pathlib.Path) -> int | None:
    """The step of the last checkpoint, which may be the best one; None if there is none."""
    places = (folder / CHECKPOINTS, folder / CHECKPOINTS / BEST)
    return max((step for place in places for step in checkpoint_names.steps(place)), default=None)


def _remove_run(folder: pathlib.Path) -> None:
    # With this file there, the folder is not resumed; as flags.txt stays until it is replaced, the
    # folder is known as a run's that may be deleted.
    (folder / RESTARTING_FILE).touch()
    sync_folder(folder)
    names = [name for name in RUN_NAMES if name != FLAGS_FILE]
    for path in [folder / name for name in names] + list(folder.glob(BAD_BATCHES)):
        # rmtree refuses a link, and what it points to is not ours to delete.
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _remove_leftovers(folder: pathlib.Path) -> None:
    for path in folder.iterdir():
        if run_files.written_aside(path.name) in RUN_NAMES:
            path.unlink(missing_ok=True)
