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
from linked_workers import free_port

from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data import service as service_module
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import FramingOptions, InputOptions, ReadOptions
from ssd_tfrecord.records.manifest import Manifest

ROOT = pathlib.Path(__file__).parents[2]


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
def processes():
    """Processes that the test starts, and may kill."""
    processes = []
    yield processes
    for process in processes:
        process.kill()
        process.wait(timeout=120)
        process.stdout.close()


def test_every_record_comes_once_an_epoch_and_batches_go_on_after_kills(
    tiny_records, tmp_path, processes
):
    port = free_port()

    def dispatcher():
        words = ("--role=dispatcher", f"--port={port}", f"--work_dir={tmp_path / 'work'}")
        process, said = start(*words)
        processes.append(process)
        assert said.startswith("dispatcher at grpc://localhost:")
        return process

    def worker():
        process, said = start("--role=worker", f"--dispatcher=localhost:{port}")
        processes.append(process)
        assert said == f"worker of localhost:{port}\n"
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

    counts, position, begun = collections.Counter(), 0, time.monotonic()
    # Two epochs and more, until every record has come twice: workers may be ahead of each other.
    while len(counts) < 240 or min(counts.values()) < 2:
        counts.update(take(1))
        position += 4
        assert time.monotonic() - begun < 600
    # Of what came, no record is ahead by more than the epochs that are under way.
    assert max(counts.values()) <= position // 240 + 1

    one.send_signal(signal.SIGKILL)
    # Five epochs at a time: many more than the batches that are ready somewhere.
    assert sum(take(300).values()) == 1200
    first.send_signal(signal.SIGKILL)
    first.wait(timeout=120)
    again = dispatcher()
    # Of the same run: no record comes more often than five epochs and those under way hold it, as
    # all would if it began again.
    counts = take(300)
    assert sum(counts.values()) == 1200
    assert len(counts) == 240
    assert max(counts.values()) <= 8
    # A worker that comes late joins in, and goes on alone.
    late = worker()
    take(100)
    two.send_signal(signal.SIGKILL)
    assert sum(take(300).values()) == 1200

    for process in (late, again):
        process.terminate()
    assert [process.wait(timeout=120) for process in (late, again)] == [0, 0]


def test_a_dispatcher_whose_journal_cannot_be_kept_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"^--work_dir=.*file/a: must be a folder that can be wri"):
        service_module.serve_dispatcher(1, str(tmp_path / "file" / "a"))


def test_a_port_in_use_is_one_line():
    with socket.create_server(("", 0)) as held:
        port = held.getsockname()[1]
        message = f"^--port={port}: cannot be listened on; must be a port that nobody else uses$"
        with pytest.raises(InputError, match=message):
            service_module.serve_dispatcher(port)
        with pytest.raises(InputError, match=message):
            service_module.serve_worker("localhost:1", "localhost", port)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--role=dispatcher",), "error: --port is required for a dispatcher"),
        (("--role=worker",), "error: --dispatcher is required"),
        (("--role=worker", "--dispatcher=a"), "error: --dispatcher=a: must be host:port"),
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
