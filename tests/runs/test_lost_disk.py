"""A disk that is full, and a run folder that goes away, cost a run nothing but time."""

import contextlib
import errno
import os
import resource
import shutil

import pytest
import tensorflow as tf
from toy_checkpoints import names, saved

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import DiskError
from ssd_tfrecord.records.manifest import ClassLabel
from ssd_tfrecord.runs import checkpoints, run_folder

CLASSES = (ClassLabel(1, "cat", 17), ClassLabel(2, "dog", 18))


@contextlib.contextmanager
def largest_file(num_bytes):
    """No file of this process may become larger: what a full disk does to a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def no_space(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("method", ["save", "save_best"])
def test_full_disk_is_one_line_and_leaves_what_was_there(tmp_path, monkeypatch, method):
    _, kept = saved(tmp_path, 4)
    kept.save_best(4, "coco_ap", 0.5)
    folder = tmp_path / "checkpoints"
    before = [names(folder), names(folder / "best")]
    arguments = (8,) if method == "save" else (8, "coco_ap", 0.75)
    line = (
        r"ckpt-8: cannot be written \(.*, about 0\.00\d+ MB needed, .* MB free\); the newest "
        "checkpoint is ckpt-4. Run the same command again"
    )
    with largest_file(50), pytest.raises(DiskError, match=line) as caught:
        getattr(kept, method)(*arguments)
    assert "(File too large, about" in str(caught.value)
    assert [names(folder), names(folder / "best")] == before
    for name in ("fsync", "rename"):
        with monkeypatch.context() as patch, pytest.raises(DiskError, match=line):
            patch.setattr(os, name, no_space)
            getattr(kept, method)(*arguments)
        assert [names(folder), names(folder / "best")] == before
    assert kept.best() == (4, {"coco_ap": 0.5})
    # With room again, it goes on.
    getattr(kept, method)(*arguments)
    assert saved(tmp_path)[1].restore() == 8


def test_an_error_of_a_device_is_not_one_of_the_disk(tmp_path, monkeypatch):
    _, kept = saved(tmp_path)

    def no_memory(path):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(kept._state, "write", no_memory)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        kept.save(4)


@pytest.mark.parametrize("lost", ["renamed", "deleted", "made anew", "deleted and made anew"])
def test_run_folder_lost_under_a_run(tmp_path, lost):
    run_dir = tmp_path / "run"
    run_folder.begin(TrainConfig(train_records=("x",), run_dir=str(run_dir)))
    flags = (run_dir / "flags.txt").read_text()
    _, kept = saved(run_dir, 4)
    kept.write_classes(CLASSES)
    if "deleted" in lost:
        shutil.rmtree(run_dir)
    else:
        run_dir.rename(tmp_path / "away")
    anew = lost.endswith("made anew")
    if anew:
        run_dir.mkdir()
    rescued = tmp_path / "run-rescued-8"
    line = f"{run_dir}: the run folder has been deleted or renamed; step 8 is saved in {rescued}. "
    for save in (lambda: kept.save(8), lambda: kept.save_best(8, "coco_ap", 0.5)):
        with pytest.raises(DiskError, match=f"^{line}.*--init_checkpoint={rescued}$"):
            save()
    assert run_dir.exists() == anew
    assert [path.name for path in tmp_path.glob("run-rescued*")] == [rescued.name]
    # What makes a run goes with it: moved back, it resumes.
    assert (rescued / "flags.txt").read_text() == flags
    assert (rescued / "identity.json").is_file()
    checkpoints.check_classes(rescued, CLASSES)
    assert checkpoints.split_path(rescued) == (str(rescued), "best")
    if anew:
        run_dir.rmdir()
    rescued.rename(run_dir)
    assert saved(run_dir)[1].restore() == 8


def test_folder_of_checkpoints_deleted_under_a_run_is_made_anew(tmp_path):
    _, kept = saved(tmp_path, 4)
    kept.write_classes(CLASSES)
    shutil.rmtree(tmp_path / "checkpoints")
    kept.save(8)
    assert saved(tmp_path)[1].restore() == 8
    checkpoints.check_classes(tmp_path, CLASSES)
    assert (tmp_path / "checkpoints/classes.json").is_file()
