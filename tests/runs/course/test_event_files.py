"""Event files: what was written is read, by TensorBoard too, and failures leave whole files."""

import os
import resource
import shutil
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb

from ssd_tfrecord.runs.course.event_files import FLAGS_TAG, EventWriter, Number, read_numbers


def write(folder, *points):
    """Writes (step, tag, value), a write each; a str value is a text."""
    writer = EventWriter(folder)
    for step, tag, value in points:
        make = text_pb if isinstance(value, str) else scalar_pb
        writer.write([make(tag, value)], step)
    writer.close()
    [path] = folder.glob("events.*")
    return path


def read(folder):
    return [(number.step, number.tag, number.value) for number in read_numbers(folder)]


POINTS = [(0, FLAGS_TAG, "| a |"), (10, "Overview/loss", 2.5), (20, "Overview/loss", 1.25)]
READ = [(0, "", 0.0), *POINTS[1:]]


def test_round_trip(tmp_path):
    write(tmp_path, *POINTS)
    assert read(tmp_path) == READ
    assert list(read_numbers(tmp_path))[1] == Number(10, "Overview/loss", 2.5)


def test_tensorboard_reads_them(tmp_path):
    write(tmp_path, *POINTS)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.step for event in events.Tensors("Overview/loss")] == [10, 20]


@pytest.mark.parametrize("keep", [-1, -20, 30, 0])
def test_a_cut_file_counts_up_to_the_cut(tmp_path, keep):
    path = write(tmp_path, *POINTS)
    path.write_bytes(path.read_bytes()[:keep])
    assert read(tmp_path) == (READ[:2] if keep < 0 else [])


def test_damage_garbage_and_what_is_no_file(tmp_path):
    path = write(tmp_path, *POINTS)
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)
    (tmp_path / "events.out.tfevents.0").write_bytes(b"\0" * 5000)
    # A length of 2^56 bytes.
    (tmp_path / "events.out.tfevents.1").write_bytes(b"\0" * 7 + b"\1" + b"\0" * 5000)
    (tmp_path / "events.out.tfevents.2").mkdir()
    os.mkfifo(tmp_path / "events.out.tfevents.3")
    assert read(tmp_path) == READ[:2]
    assert read(tmp_path / "nothing") == []


def test_a_deleted_folder_is_made_again_but_not_that_above(tmp_path):
    writer = EventWriter(tmp_path / "run" / "train")
    with pytest.raises(FileNotFoundError):
        writer.write([scalar_pb("a", 1.0)], 1)
    (tmp_path / "run").mkdir()
    writer.write([scalar_pb("a", 2.0)], 2)
    shutil.rmtree(tmp_path / "run" / "train")
    writer.write([scalar_pb("a", 3.0)], 3)
    assert read(tmp_path / "run" / "train") == [(3, "a", 3.0)]


# Of 30 numbers with a kilobyte of name each, a file takes 10 kB and then fails, as on a full disk.
LIMITED = """
import resource, signal, sys
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from ssd_tfrecord.runs.course.event_files import EventWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
writer, failed = EventWriter(sys.argv[1]), []
for step in range(30):
    if step == 20:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    try:
        writer.write([scalar_pb("a" * (1000 if step < 20 else 2000), step)], step)
    except OSError:
        failed.append(step)
print(failed)
"""


def test_a_write_that_fails_leaves_whole_records_and_the_next_one_is_tried(tmp_path):
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=True
    )
    failed = eval(done.stdout)
    assert 1 <= len(failed) < 10
    assert [step for step, *_ in read(tmp_path)] == [
        step for step in range(30) if step not in failed
    ]
