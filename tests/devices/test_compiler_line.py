"""The compiler's line is not heard, and all else is."""

import subprocess
import sys

import pytest

CODE = """
import sys
import tensorflow as tf
from ssd_tfrecord.devices import compiler_line

print("before", file=sys.stderr)
{call}
print("after", file=sys.stderr)
doubled = tf.function(lambda x: x * 2, jit_compile=True, autograph=False)
print(float(doubled(tf.constant(1.5))), file=sys.stderr)
"""


def heard(call):
    """What is printed after TensorFlow's import, which has lines of its own."""
    words = [sys.executable, "-c", CODE.format(call=call)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    return lines[lines.index("before") :]


def test_only_the_compiler_is_not_heard():
    assert heard("compiler_line.swallow()") == ["before", "after", "3.0"]


def test_after_an_error_all_is_heard():
    call = (
        "compiler_line.tf.device = None\n"
        "try:\n"
        "    compiler_line.swallow()\n"
        "except TypeError:\n"
        "    print('error', file=sys.stderr)"
    )
    lines = heard(call)
    assert lines[:3] == ["before", "error", "after"] and lines[-1] == "3.0"


def test_an_output_that_is_closed_stays_closed(monkeypatch):
    from ssd_tfrecord.devices import compiler_line

    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", None)
        patch.setattr(compiler_line.os, "dup", lambda _: pytest.fail("touched"))
        compiler_line.swallow()
