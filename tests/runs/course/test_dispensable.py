"""A failure to write, and its end, are said once each."""

import errno
import os

import pytest

from ssd_tfrecord.runs.course.dispensable import Dispensable, Outage


def full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_failure_is_said_once_and_so_is_its_end():
    said = []
    writing = Dispensable("a.csv", said.append)
    assert writing.attempt(lambda: None)
    assert not writing.attempt(full)
    assert not writing.attempt(full)
    assert said == [
        "warning: a.csv: cannot be written (No space left on device); the run goes on without, and "
        "tries again each time"
    ]
    assert writing.attempt(lambda: None)
    assert writing.attempt(lambda: None)
    assert said[1:] == ["a.csv: can be written again"]


def test_what_comes_and_goes_is_said_three_times():
    said = []
    writing = Dispensable("a.csv", said.append)
    for _ in range(10):
        writing.attempt(full)
        writing.attempt(lambda: None)
    assert [text.startswith("warning") for text in said] == [True, False, True, False, True]
    assert said[-1].endswith("; not said any more")


def test_files_that_fail_for_one_reason_say_it_once():
    said, outage = [], Outage()
    first, second = (Dispensable(name, said.append, outage) for name in ("a.csv", "b.csv"))
    for _ in range(3):
        first.attempt(full)
        second.attempt(full)
    assert [text.split(":")[1] for text in said] == [" a.csv"]
    first.attempt(lambda: None)
    second.attempt(full)  # what still fails is not hidden by what works again
    assert said[1:] == ["a.csv: can be written again", said[0].replace("a.csv", "b.csv")]

    def gone():
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))

    first.attempt(gone)
    assert "a.csv: cannot be written (No such file" in said[-1]


def test_other_errors_are_not_hidden():
    with pytest.raises(ValueError):
        Dispensable("a.csv", print).attempt(lambda: int("x"))
