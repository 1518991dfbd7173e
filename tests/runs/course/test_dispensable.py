"""A failure to write, and its end, are said once each."""

import errno
import os

import pytest

from ssd_tfrecord.runs.course.dispensable import Dispensable


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


def test_other_errors_are_not_hidden():
    with pytest.raises(ValueError):
        Dispensable("a.csv", print).attempt(lambda: int("x"))
