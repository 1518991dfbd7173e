"""The input's memory does not grow with the steps. Measured in a process of its own."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]

# Prints the process's MB every 100 steps. A batch is 50 KB.
PROGRAM = """
import sys
from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.options import FramingOptions, InputOptions, ReadOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training.logs.progress_line import host_rss_mb

reading = ReadOptions(shuffle_buffer_mb=int(sys.argv[2]))
dataset = pipeline.batches(
    RecordReader([Manifest.load(sys.argv[1])]),
    InputOptions(framing=FramingOptions(crop_trials=5), reading=reading),
    input_size=90, batch_size=2, seed=1,
)
kept, keeps = [], sys.argv[4:] == ["keeping"]
for step, batch in enumerate(dataset.take(int(sys.argv[3]))):
    if keeps:
        kept.append(batch)
    if step % 100 == 99:
        print(host_rss_mb())
"""


def growth_mb(records, shuffle_buffer_mb, num_steps, *words):
    """MB by which the last two thirds of the steps make the process grow; buffers fill before."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, (records, shuffle_buffer_mb, num_steps)), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sizes = [float(line) for line in done.stdout.split()]
    assert len(sizes) == num_steps // 100
    third = len(sizes) // 3
    return max(sizes[2 * third :]) - max(sizes[:third])


@pytest.mark.parametrize(
    ("shuffle_buffer_mb", "num_steps"),
    [
        pytest.param(0, 1500, id="at random"),
        pytest.param(0, 20_000, id="at random, long", marks=pytest.mark.soak),
        pytest.param(1, 1500, id="streamed", marks=pytest.mark.soak),
        pytest.param(1, 20_000, id="streamed, long", marks=pytest.mark.soak),
    ],
)
def test_memory_does_not_grow_with_the_steps(tiny_records, shuffle_buffer_mb, num_steps):
    # What the allocator keeps back wavers by some MB.
    assert growth_mb(tiny_records, shuffle_buffer_mb, num_steps) < 20


@pytest.mark.soak
def test_batches_that_are_kept_are_seen(tiny_records):
    # A thousand batches.
    assert growth_mb(tiny_records, 0, 1500, "keeping") > 30
