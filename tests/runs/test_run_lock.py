"""One run at a time has a run folder."""

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import time

import pytest

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import DiskError, InputError
from ssd_tfrecord.runs import run_folder, run_lock

# Holds the lock of the folder in its first argument, and forks a child that lives on.
PARENT = """
import os, sys, time
from ssd_tfrecord.runs import run_lock
with run_lock.held(sys.argv[1]):
    assert "tensorflow" not in sys.modules
    child = os.fork()
    if not child:
        os.close(1)
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    sys.stdin.read()
    os._exit(9)
"""


def test_a_second_run_is_refused_at_once_and_told_who_is_there(tmp_path):
    with (
        run_lock.held(tmp_path / "run") as notes,
        pytest.raises(InputError) as error,
        run_lock.held(tmp_path / "run"),
    ):
        pass
    assert notes == ()
    assert str(error.value).startswith(f"--run_dir={tmp_path / 'run'}: a run is going on there: ")
    assert f", process {os.getpid()}, since 20" in str(error.value)
    assert str(error.value).endswith("; wait for it or choose another --run_dir")
    assert error.value.exit_code == 2
    with run_lock.held(tmp_path / "run"):
        pass


def test_a_run_that_never_began_leaves_no_folder(tmp_path):
    with pytest.raises(KeyError), run_lock.held(tmp_path / "runs" / "new" / "run"):
        assert (tmp_path / "runs/new/run/lock").is_file()
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_of_a_folder_that_was_there_only_the_lock_goes(tmp_path):
    (tmp_path / "run").mkdir()
    with run_lock.held(tmp_path / "run"):
        pass
    assert list((tmp_path / "run").iterdir()) == []


def test_a_run_that_began_keeps_its_folder_and_an_empty_lock(tmp_path):
    config = TrainConfig(train_records=("a",), run_dir=str(tmp_path / "run"))
    with run_lock.held(config.run_dir):
        run_folder.begin(config)
        assert (tmp_path / "run/lock").read_text()
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        *("flags.txt", "identity.json", "lock")
    ]
    assert (tmp_path / "run/lock").read_text() == ""


def test_restart_deletes_the_run_under_its_lock_but_not_the_lock(tmp_path):
    config = TrainConfig(train_records=("a",), run_dir=str(tmp_path / "run"), restart=True)
    run_folder.begin(config)
    with run_lock.held(config.run_dir):
        run_folder.begin(config)
        with (
            pytest.raises(InputError, match="a run is going on there"),
            run_lock.held(config.run_dir),
        ):
            pass


def test_a_foreign_folder_gets_no_lock(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_text("")
    with pytest.raises(InputError, match="not a run folder"), run_lock.held(tmp_path / "photos"):
        pass
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.jpg"]


@pytest.mark.parametrize("moved", [False, True], ids=["deleted", "renamed"])
def test_a_folder_that_goes_away_under_its_lock_does_no_harm(tmp_path, moved):
    first, second = run_lock.held(tmp_path / "run"), run_lock.held(tmp_path / "run")
    with first:
        if moved:
            (tmp_path / "run").rename(tmp_path / "elsewhere")
        else:
            shutil.rmtree(tmp_path / "run")
        second.__enter__()
    # The next run of that path is another's, and keeps its own lock.
    with pytest.raises(InputError, match="a run is going on there"):
        run_lock.held(tmp_path / "run").__enter__()
    second.__exit__(None, None, None)
    assert not (tmp_path / "run").exists()


def test_the_lock_of_a_dead_process_is_free_even_if_its_children_live(tmp_path):
    words = [sys.executable, "-c", PARENT, str(tmp_path / "run")]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        child = int(process.stdout.readline())
        try:
            with (
                pytest.raises(InputError, match=f"process {process.pid}, since"),
                run_lock.held(tmp_path / "run"),
            ):
                pass
            process.stdin.close()
            assert process.wait(60) == 9
            assert os.path.getsize(tmp_path / "run/lock")
            # A moment later: the child closes it as soon as it runs.
            wait_until_free(tmp_path / "run")
            with run_lock.held(tmp_path / "run"):
                os.kill(child, 0)
        finally:
            os.kill(child, 9)


def wait_until_free(run_dir):
    deadline = time.monotonic() + 60
    while _is_held(run_dir):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _is_held(run_dir):
    try:
        with run_lock.held(run_dir):
            return False
    except InputError:
        return True


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (errno.ENOSPC, DiskError, "No space left on device"),
        (errno.EROFS, DiskError, "Read-only file system"),
        (errno.EACCES, InputError, "Permission denied"),
    ],
)
def test_what_the_disk_says_is_one_line(tmp_path, monkeypatch, code, kind, said):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "ftruncate", fail)
    with pytest.raises(kind, match=f"run: {said}") as error, run_lock.held(tmp_path / "run"):
        pass
    assert type(error.value) is kind


def test_a_file_system_without_locks_is_said_and_does_not_stop_a_run(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with run_lock.held(tmp_path / "run") as notes:
        pass
    assert notes == (
        f"--run_dir={tmp_path / 'run'}: this file system has no locks (No locks available); make "
        "sure that no other run uses the folder",
    )
    assert not (tmp_path / "run").exists()
