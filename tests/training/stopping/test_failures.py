"""Errors of TensorFlow and of the system in one line each, with their exit codes."""

import dataclasses
import errno
import os
import pathlib
import shutil
import socket
import time

import pytest
import tensorflow as tf

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import DamagedRecordError, DiskError, InputError, OutOfMemoryError
from ssd_tfrecord.options import InputOptions, ReadOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training.stopping import failures


@pytest.fixture
def records(tiny_records, tmp_path):
    """A record set of our own to damage."""
    shutil.copytree(tiny_records, tmp_path / "records")
    return Manifest.load(str(tmp_path / "records"))


CONFIG = TrainConfig(train_records=("a",), run_dir="runs/a")


def explained(error, sets=()):
    return failures.explained(error, CONFIG, sets)


def test_known_errors_stay():
    for error in (InputError("x"), ValueError("y"), tf.errors.InternalError(None, None, "z")):
        assert explained(error) is error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE])
def test_disk_errors_have_their_exit_code(number):
    error = explained(OSError(number, os.strerror(number), "runs/a/history.csv"))
    assert isinstance(error, DiskError) and error.exit_code == 7
    assert str(error) == f"runs/a/history.csv: {os.strerror(number)}"


def test_disk_that_tensorflow_finds_full():
    text = "runs/a/ckpt.data; No space left on device"
    error = explained(tf.errors.ResourceExhaustedError(None, None, text))
    assert isinstance(error, DiskError)


def test_device_without_memory_is_named():
    text = (
        "Graph execution error:\nOOM when allocating tensor with shape[32,64,300,300] and type "
        "float on /job:localhost/replica:0/task:0/device:GPU:0 by allocator GPU_0_bfc"
    )
    error = explained(tf.errors.ResourceExhaustedError(None, None, text))
    assert isinstance(error, OutOfMemoryError) and error.exit_code == 6
    assert "shape[32,64,300,300]" in str(error) and "GPU:0" in str(error)
    assert "--global_batch_size=32" in str(error)
    assert isinstance(explained(MemoryError()), OutOfMemoryError)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Out of memory while trying to allocate 1105920000 bytes.", "(1,106 MB at once)"),
        ("failed to allocate memory: CUBLAS_STATUS_ALLOC_FAILED", "(failed to allocate memory: "),
    ],
)
def test_what_a_message_of_many_lines_is_about_is_named(text, said):
    where = "Graph execution error:\n\nDetected at node a defined at (most recent call last):\n"
    error = tf.errors.ResourceExhaustedError(None, None, f"{where}{text}\n\t [[{{{{node a}}}}]]")
    assert said in str(explained(error))


FULL = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating a tensor")


def test_which_batch_would_fit_is_said_where_tensorflow_is_out_of_memory():
    fits = "--global_batch_size=16 fits (tried)"
    error = failures.explained(FULL, CONFIG, (), lambda: fits)
    assert isinstance(error, OutOfMemoryError) and str(error).endswith(f"=float32; {fits}")
    for known in (explained(FULL), failures.explained(FULL, CONFIG, (), lambda: "")):
        assert str(known).endswith("; use a smaller batch, a smaller input, or more replicas")

    def not_asked():
        raise AssertionError

    full_disk = tf.errors.ResourceExhaustedError(None, None, "a; No space left on device")
    for other in (MemoryError(), full_disk, ValueError(), OSError(errno.ENOSPC, "x")):
        failures.explained(other, CONFIG, (), not_asked)


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (tf.errors.InternalError(None, None, "CUBLAS_STATUS_ALLOC_FAILED"), True),
        (tf.errors.InternalError(None, None, "CUDA_ERROR_OUT_OF_MEMORY: out of memory"), True),
        (tf.errors.NotFoundError(None, None, "No algorithm worked! Error messages: …"), True),
        (tf.errors.NotFoundError(None, None, "a.tfrecord; No such file or directory"), False),
        (tf.errors.InvalidArgumentError(None, None, "image 'out of memory.jpg'"), False),
        (tf.errors.InternalError(None, None, "z"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_libraries_of_a_gpu_say_in_their_own_words_that_it_is_full(error, full):
    assert failures.is_out_of_memory(error) is full
    if full:
        assert isinstance(explained(error), OutOfMemoryError)


def test_shard_that_is_gone_or_cut_is_named(records):
    path = pathlib.Path(records.shard_paths[0])
    lost = tf.errors.NotFoundError(None, None, "x")
    assert explained(lost, [records]) is lost
    with open(path, "r+b") as file:
        file.truncate(100)
    error = explained(tf.errors.DataLossError(None, None, "x"), [records])
    assert isinstance(error, DamagedRecordError) and error.exit_code == 4
    assert str(path) in str(error) and "has 100 bytes" in str(error)
    path.unlink()
    error = explained(lost, [records])
    assert str(error).startswith(f"{path}: No such file or directory; the shard was there")


def test_damaged_record_of_a_whole_shard_is_named(records):
    path = pathlib.Path(records.shard_paths[0])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    error = explained(tf.errors.DataLossError(None, None, "x"), [records])
    assert str(path) in str(error) and "is damaged" in str(error)


def service(address):
    return dataclasses.replace(
        CONFIG, input=InputOptions(reading=ReadOptions(data_service=address))
    )


def test_silent_data_service_is_told_from_one_that_answers():
    with socket.create_server(("localhost", 0)) as server:
        address = f"localhost:{server.getsockname()[1]}"
        assert failures.awaited(service(f"grpc://{address}"), []) == (
            f"the data service at {address}, whose dispatcher answers, so its workers may be gone"
        )
    assert "dispatcher does not answer" in failures.awaited(service(f"grpc://{address}"), [])


def test_shard_that_cannot_be_read_is_awaited(records, monkeypatch):
    text = failures.awaited(CONFIG, [records])
    assert text == f"records of {records.directory}; their shards can be read"
    monkeypatch.setattr(failures, "_PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(failures, "_read_end", lambda path: time.sleep(5))
    text = failures.awaited(CONFIG, [records])
    assert text == f"{records.shard_paths[0]}, which cannot be read"
