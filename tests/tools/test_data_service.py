"""Two workers on loopback give every record of an epoch once; the commands as they are typed."""

import collections
import itertools
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data import service as service_module
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import FramingOptions, InputOptions, ReadOptions
from ssd_tfrecord.records.manifest import Manifest

ROOT = pathlib.Path(__file__).parents[2]


def free_port():
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return server.getsockname()[1]


# A dispatcher with a journal: port and folder.
DISPATCHER = """
import sys
from ssd_tfrecord.data import service
service.serve_dispatcher(int(sys.argv[1]), sys.argv[2])
"""


def start(*words, program=("tools/data_service.py",)):
    process = subprocess.Popen(
        [sys.executable, *program, *words],
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


@pytest.fixture
def processes():
    """Processes that the test starts, and may kill."""
    processes = []
    yield processes
    for process in processes:
        process.kill()
        process.wait(timeout=120)
        process.stdout.close()


def test_batches_go_on_after_a_worker_and_a_dispatcher_are_killed(
    tiny_records, tmp_path, processes
):
    port = free_port()

    def dispatcher():
        process, _ = start(str(port), str(tmp_path / "work"), program=("-c", DISPATCHER))
        processes.append(process)
        return process

    def worker():
        process, _ = start("--role=worker", f"--dispatcher=localhost:{port}")
        processes.append(process)
        return process

    first, (one, two) = dispatcher(), (worker(), worker())
    reading = ReadOptions(data_service=f"grpc://localhost:{port}")
    options = InputOptions(framing=FramingOptions(augmentation="none"), reading=reading)
    reader = RecordReader([Manifest.load(tiny_records)] * 40)  # 240 records
    settings = {"input_size": 32, "batch_size": 4, "seed": 1}
    batches = pipeline.batches(reader, options, **settings).as_numpy_iterator()
    plain = pipeline.batches(reader, InputOptions(framing=options.framing), **settings)
    images = {
        int(index): image
        for batch in plain.take(60).as_numpy_iterator()
        for index, image in zip(batch.indices, batch.images)
    }
    assert len(images) == 240

    def take(num_batches):
        """{record: how often it came}, all of them with their own pixels."""
        counts = collections.Counter()
        for batch in itertools.islice(batches, num_batches):
            counts.update(batch.indices.tolist())
            for index, image in zip(batch.indices, batch.images):
                np.testing.assert_array_equal(image, images[int(index)])
        return counts

    # Five epochs at a time: many more than the batches that are ready somewhere.
    take(300)
    one.send_signal(signal.SIGKILL)
    assert sum(take(300).values()) == 1200
    first.send_signal(signal.SIGKILL)
    first.wait(timeout=120)
    dispatcher()
    # Of the same run: no record comes more often than five epochs and those under way hold it, as
    # all would if it began again.
    counts = take(300)
    assert sum(counts.values()) == 1200
    assert len(counts) == 240
    assert max(counts.values()) <= 8
    # A worker that comes late joins in, and goes on alone.
    worker()
    take(100)
    two.send_signal(signal.SIGKILL)
    assert sum(take(300).values()) == 1200


def test_a_dispatcher_whose_journal_cannot_be_kept_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"^--work_dir=.*file/a: must be a folder that can be wri"):
        service_module.serve_dispatcher(1, str(tmp_path / "file" / "a"))


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
