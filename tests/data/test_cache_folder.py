"""A cache on disk: shared by two real jobs, and made anew where a job died or a file was cut."""

import os
import pathlib
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ssd_tfrecord.data import cache_folder, caching
from ssd_tfrecord.errors import DamagedRecordError
from ssd_tfrecord.options import ReadOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.processes import lock

ROOT = pathlib.Path(__file__).parents[2]

# Fills the cache; amid it, says so and waits until the file argv[3] is there.
PROGRAM = """
import os, sys, time
from ssd_tfrecord.data import caching
from ssd_tfrecord.options import ReadOptions
from ssd_tfrecord.records.manifest import Manifest

decode = caching._decode

def slow(*words):
    print("filling", flush=True)
    while not os.path.exists(sys.argv[3]):
        time.sleep(0.05)
    return decode(*words)

caching._decode = slow
options = ReadOptions(cache="decoded", cache_dir=sys.argv[2])
source = caching.opened([Manifest.load(sys.argv[1])], options)
print(len(source))
"""


@pytest.fixture
def start(tiny_records, tmp_path):
    """Starts a job; ``go`` is the file that lets it fill the cache."""
    jobs = []

    def start(go="go"):
        words = [str(tiny_records), str(tmp_path / "cache"), str(tmp_path / go)]
        job = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        jobs.append(job)
        return job

    yield start
    for job in jobs:
        job.kill()
        job.communicate()


def line_with(stream, part):
    """The next line that contains ``part``: TensorFlow writes lines of its own."""
    return next(line for line in stream if part in line)


def test_jobs_wait_for_the_first_and_if_it_dies_one_fills_the_cache_for_all(start, tmp_path):
    first = start("never")
    line_with(first.stdout, "filling")
    others = [start(), start()]
    for job in others:
        waits = line_with(job.stderr, "waiting")
        assert f"process {first.pid}, since" in waits
        assert "is being filled by host" in waits
    (tmp_path / "go").touch()
    first.send_signal(signal.SIGKILL)
    # One of them fills it, and the other uses it.
    said = sorted(job.communicate(timeout=300)[0] for job in others)
    assert said == ["6\n", "filling\n6\n"]
    # Neither the dead job's folder nor a lock.
    assert [name.count(".") for name in os.listdir(tmp_path / "cache")] == [0]


@pytest.mark.soak
def test_waiting_ends_with_ctrl_c(start, tmp_path):
    line_with(start("never").stdout, "filling")
    second = start()
    line_with(second.stderr, "waiting")
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=300)
    assert second.returncode in (1, -signal.SIGINT)
    assert len(os.listdir(tmp_path / "cache")) == 2  # the first one's lock and folder


@pytest.fixture
def manifest(tiny_records):
    return Manifest.load(tiny_records)


def opened(manifest, folder, cache="decoded"):
    return caching.opened([manifest], ReadOptions(cache=cache, cache_dir=str(folder)))


def contents(source):
    return [source.read(index)[1].numpy() for index in range(6)]


CUTS = {
    "pixels cut": ("pixels.bin", lambda data: data[:-1]),
    "pixels empty": ("pixels.bin", lambda data: b""),
    "pixels gone": ("pixels.bin", None),
    "found cut": ("found.npy", lambda data: data[:-9]),
    "found cut in its header": ("found.npy", lambda data: data[:20]),
    "found empty": ("found.npy", lambda data: b""),
    "found gone": ("found.npy", None),
    "found of another length": ("found.npy", lambda data: data.replace(b"(6,)", b"(5,)")),
    "found out of range": ("found.npy", lambda data: data[:-8] + b"\7" * 8),
    "found claims a terabyte": (
        "found.npy",
        lambda data: data.replace(b"(6,), }" + b" " * 11, b"(109951162777,), }"),
    ),
    "records cut": ("records.tfrecord", lambda data: data[:-1]),
    "records cut between two": ("records.tfrecord", lambda data: b""),
    "records damaged": ("records.tfrecord", lambda data: data[:30] + b"\0" + data[31:]),
    "records gone": ("records.tfrecord", None),
}


@pytest.mark.parametrize(("name", "damage"), CUTS.values(), ids=CUTS)
def test_a_damaged_cache_is_said_and_filled_again(manifest, tmp_path, capfd, name, damage):
    whole = contents(opened(manifest, tmp_path))
    [folder] = tmp_path.iterdir()
    good = (folder / name).read_bytes()
    if damage is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(damage(good))
        assert (folder / name).read_bytes() != good
    capfd.readouterr()
    assert contents(opened(manifest, tmp_path)) == whole
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("Cache: /")]
    assert len(said) == 1
    assert f"{name} " in said[0] or f"{name}:" in said[0]
    assert said[0].endswith("; filling it again")
    assert (folder / name).read_bytes() == good


def test_no_pickle_is_loaded(manifest, tmp_path):
    opened(manifest, tmp_path)
    [folder] = tmp_path.iterdir()

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    np.save(folder / "found.npy", np.array([Bomb()], object), allow_pickle=True)
    (folder / "x").write_bytes(pickle.dumps(Bomb()))
    os.replace(folder / "x", folder / "found.npy")
    assert len(opened(manifest, tmp_path)) == 6
    assert not (tmp_path / "exploded").exists()


def test_a_cut_copy_of_a_shard_is_made_again(manifest, tmp_path, capfd):
    whole = contents(opened(manifest, tmp_path, "records"))
    [shard, _] = sorted(tmp_path.rglob("*.tfrecord"))
    os.truncate(shard, 100)
    assert contents(opened(manifest, tmp_path, "records")) == whole
    assert f"{shard} has 100 bytes, must have" in capfd.readouterr().err


def test_what_dead_jobs_left_is_removed_but_not_a_living_one_s(manifest, tmp_path):
    dead, living = tmp_path / "decoded-00.77.partial", tmp_path / "records-11.78.partial"
    for folder in (dead, living):
        folder.mkdir()
        (folder / "pixels.bin").write_bytes(b"x")
    descriptor = lock.take(str(tmp_path / "records-11.lock"))
    try:
        opened(manifest, tmp_path)
    finally:
        os.close(descriptor)
    assert not dead.exists()
    assert living.exists()
    assert not (tmp_path / "decoded-00.lock").exists()


def test_everything_is_on_the_disk_before_it_has_its_name(manifest, tmp_path, monkeypatch):
    events = []
    sync, replace = os.fsync, os.replace

    def fsync(descriptor):
        events.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        sync(descriptor)

    def renamed(old, new):
        events.append("renamed")
        replace(old, new)

    monkeypatch.setattr(cache_folder.os, "fsync", fsync)
    monkeypatch.setattr(cache_folder.os, "replace", renamed)
    opened(manifest, tmp_path / "cache")
    end = events.index("renamed")
    assert {"pixels.bin", "found.npy", "records.tfrecord"} < set(events[:end])
    assert events[end - 1].endswith(".partial")
    assert events[end + 1 :] == ["cache"]


def test_a_shard_that_is_gone_is_not_the_cache_s_fault(manifest, tmp_path, monkeypatch):
    monkeypatch.setattr(type(manifest), "shard_paths", property(lambda _: (str(tmp_path / "a"),)))
    with pytest.raises(DamagedRecordError, match=r"/a: No such file or directory; copy the shard"):
        opened(manifest, tmp_path / "cache", "records")


def test_a_full_disk_is_a_line(manifest, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ValueError, match=r"^--cache_dir=.*: must be a writable folder: No space l"):
        opened(manifest, tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_cache_is_used_without_waiting_while_its_lock_is_held(manifest, tmp_path):
    opened(manifest, tmp_path)
    [folder] = tmp_path.iterdir()
    descriptor = lock.take(f"{folder}.lock")
    begun = time.monotonic()
    try:
        assert len(opened(manifest, tmp_path)) == 6
    finally:
        os.close(descriptor)
    assert time.monotonic() - begun < 60
