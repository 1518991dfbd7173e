import os
import sys
import warnings

import pytest

from ssd_tfrecord.exporting.tflite.silence import silenced


def test_nothing_is_said_inside(capfd):
    print("before")
    with silenced():
        print("from Python")
        print("from Python", file=sys.stderr)
        os.write(1, b"from C\n")
        os.write(2, b"from C\n")
        warnings.warn("of no use", DeprecationWarning, stacklevel=1)
    print("after")
    assert capfd.readouterr() == ("before\nafter\n", "")


def test_errors_are_raised_and_the_outputs_come_back(capfd):
    with pytest.raises(ValueError, match="reason"), silenced():
        raise ValueError("reason")
    print("after")
    assert capfd.readouterr().out == "after\n"
