"""The peak of memory, where it is known how much is taken."""

import builtins
import io
import math
import resource
import time
import types

import numpy as np
import pytest

from ssd_tfrecord.training.memory import peak_memory
from ssd_tfrecord.training.memory.peak_memory import (
    address_space_left,
    in_use,
    memory_text,
    peak_of,
)


def test_memory_that_is_given_back_is_seen():
    def work():
        taken = np.ones(100 * 2**20, np.uint8)
        time.sleep(0.1)
        del taken

    before = in_use("CPU:0")
    peak = peak_of(work, "CPU:0") - before
    assert 80 * 2**20 < peak < 300 * 2**20
    assert in_use("CPU:0") - before < 50 * 2**20


def test_an_error_is_passed_on():
    with pytest.raises(ZeroDivisionError):
        peak_of(lambda: 1 / 0, "CPU:0")


def test_bytes_are_read_by_people():
    assert memory_text(2_345_678_901) == "2,346 MB"
    assert memory_text(23_449_000_000) == "23.4 GB"


def test_limits_of_the_address_space_are_known(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY,) * 2)
    files = {
        "/proc/sys/vm/overcommit_memory": "0\n",
        "/proc/meminfo": "MemTotal: 9 kB\nCommitLimit: 500000 kB\nCommitted_AS: 400000 kB\n",
    }
    monkeypatch.setattr(builtins, "open", lambda path, **_: io.StringIO(files[path]))
    assert address_space_left() == math.inf
    files["/proc/sys/vm/overcommit_memory"] = "2\n"
    assert address_space_left() == 100_000 * 1024
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (10**9, 10**9))
    memory = types.SimpleNamespace(vms=999_000_000)
    process = types.SimpleNamespace(memory_info=lambda: memory)
    monkeypatch.setattr(peak_memory.psutil, "Process", lambda: process)
    assert address_space_left() == 1_000_000
