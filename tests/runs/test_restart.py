"""--restart that is killed at any of its file operations: the same command goes on from there."""

import dataclasses
import os
import pathlib

import pytest

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.runs import run_folder
from ssd_tfrecord.runs.run_lock import held

OPERATIONS = ("mkdir", "unlink", "rmdir", "replace", "rename", "fsync", "open")
OLD_FILES = (
    *(
        "checkpoints/ckpt-5.index",
        "checkpoints/ckpt-5.data-00000-of-00001",
        "checkpoints/checkpoint",
    ),
    *("checkpoints/best/ckpt-5.index", "checkpoints/best/ckpt-5.data-00000-of-00001"),
    *("train/events.1", "eval/events.1", "history.csv", "metrics.json", "runs.jsonl"),
    *("nonfinite-7.npz", "pictures/a.jpg", "notes.md"),
)


class KilledError(BaseException):
    """Not an Exception, as nothing may go on after it."""


def old_run(run_dir):
    config = TrainConfig(train_records=("a",), run_dir=str(run_dir), seed=1, restart_id="old")
    run_folder.begin(config)
    for name in OLD_FILES:
        path = pathlib.Path(run_dir) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("old")
    return config


def begin(config):
    """What the command does with the folder before its first step."""
    with held(config.run_dir):
        resumed = run_folder.resumes(config)
        run_folder.begin(config)
        return resumed


def kill_at(monkeypatch, number):
    """Lets the file operation ``number``, counted from here, and all later ones fail."""
    count = [0]

    def counted(function):
        def call(*words, **settings):
            count[0] += 1
            if count[0] >= number:
                raise KilledError
            return function(*words, **settings)

        return call

    for name in OPERATIONS:
        monkeypatch.setattr(os, name, counted(getattr(os, name)))


@pytest.mark.parametrize("flag", ["restart", "restart_id"])
@pytest.mark.parametrize("again", ["the same", "without"])
def test_a_restart_that_is_killed_anywhere_is_finished_by_the_same_command(
    tmp_path, monkeypatch, flag, again
):
    killed = 0
    for number in range(1, 1000):
        run = tmp_path / str(number) / "run"
        before = old_run(run)
        plain = dataclasses.replace(before, seed=2, restart_id="")
        asked = {"restart": True} if flag == "restart" else {"restart_id": "new"}
        config = dataclasses.replace(plain, **asked)
        with monkeypatch.context() as patch:
            kill_at(patch, number)
            try:
                begin(config)
                break
            except KilledError:
                killed += 1
        follow(run, before, config if again == "the same" else plain)
    # As many as there are: the lock, its signature, the mark, each file and folder, two new files.
    assert killed > 25


def follow(run, before, config):
    """The next command, after a kill."""
    whole = (run / "history.csv").exists() and not (run / "restarting").exists()
    try:
        resumed = begin(config)
    except InputError as error:
        # Nothing was deleted yet, and the command does not ask for it: as if it had not been.
        assert whole and "--seed: 1 -> 2" in str(error)
        assert run_folder.resumes(before)
        assert all((run / name).read_text() == "old" for name in OLD_FILES)
        return
    assert not resumed
    left = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert left == {"flags.txt", "identity.json", "lock", "notes.md"}
    assert run_folder.read_config(run).seed == 2
    assert run_folder.check(dataclasses.replace(config, restart=False)) == ()


def test_a_run_that_is_being_deleted_is_not_read(tmp_path):
    old_run(tmp_path / "run")
    (tmp_path / "run/restarting").touch()
    with pytest.raises(InputError, match="--restart is deleting this run, or was interrupted"):
        run_folder.read_config(tmp_path / "run")


def test_what_a_link_leads_to_is_not_deleted(tmp_path):
    config = old_run(tmp_path / "run")
    (tmp_path / "run/checkpoints").rename(tmp_path / "large_disk")
    (tmp_path / "run/checkpoints").symlink_to(tmp_path / "large_disk")
    begin(dataclasses.replace(config, restart=True, restart_id=""))
    assert (tmp_path / "large_disk/ckpt-5.index").read_text() == "old"
    assert not (tmp_path / "run/checkpoints").exists()
