"""Two workers on loopback give every record of an epoch once; the commands as they are typed."""

import collections
import pathlib
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.options import FramingOptions, InputOptions, ReadOptions
from ssd_tfrecord.records.manifest import Manifest

ROOT = pathlib.Path(__file__).parents[2]


def free_port():
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return server.getsockname()[1]


def start(*words):
    process = subprocess.Popen(
        [sys.executable, "tools/data_service.py", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return process, process.stdout.readline()


@pytest.fixture
def service():
    """Address of a dispatcher with two workers."""
    port = free_port()
    processes = []
    try:
        process, said = start("--role=dispatcher", f"--port={port}")
        processes.append(process)
        assert said.startswith("dispatcher at grpc://localhost:")
        for _ in range(2):
            process, said = start("--role=worker", f"--dispatcher=localhost:{port}")
            processes.append(process)
            assert said == f"worker of localhost:{port}\n"
        yield f"grpc://localhost:{port}"
    finally:
        for process in processes:
            process.terminate()
        codes = [process.wait(timeout=120) for process in processes]
        for process in processes:
            process.stdout.close()
    assert codes == [0] * len(processes)


def test_every_record_of_an_epoch_comes_once_from_two_workers(tiny_records, service):
    options = InputOptions(
        framing=FramingOptions(augmentation="none"), reading=ReadOptions(data_service=service)
    )
    reader = RecordReader([Manifest.load(tiny_records)] * 40)  # 240 records
    settings = {"input_size": 32, "batch_size": 4, "seed": 1}
    dataset = pipeline.batches(reader, options, **settings)
    counts, position, begun = collections.Counter(), 0, time.monotonic()
    batches = dataset.as_numpy_iterator()
    # Two epochs and more, until every record has come twice: workers may be ahead of each other.
    while len(counts) < 240 or min(counts.values()) < 2:
        batch = next(batches)
        counts.update(batch.indices.tolist())
        position += 4
        assert time.monotonic() - begun < 600
    # Of what came, no record is ahead by more than the epochs that are under way.
    assert max(counts.values()) <= position // 240 + 1
    plain = pipeline.batches(reader, InputOptions(framing=options.framing), **settings)
    images = {
        int(index): image
        for batch in plain.take(60).as_numpy_iterator()
        for index, image in zip(batch.indices, batch.images)
    }
    for index, image in zip(batch.indices, batch.images):
        np.testing.assert_array_equal(image, images[int(index)])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--role=dispatcher",), "error: --port is required for a dispatcher"),
        (("--role=worker",), "error: --dispatcher is required"),
        (("--role=cook",), "error: --role=cook: must be one of dispatcher, worker"),
    ],
)
def test_errors_are_one_line(words, message):
    result = subprocess.run(
        [sys.executable, "tools/data_service.py", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr.strip()) == (2, message)
