"""An end that waits for no iterator, and loses nothing else."""

import subprocess
import sys
import textwrap
import weakref

from ssd_tfrecord.training.stopping import teardown

# Iterators whose destruction would be seen: a thread of tf.data may let it wait for a minute.
PROGRAM = """
    import atexit, pathlib, sys
    from ssd_tfrecord.training.stopping import teardown

    class Iterator:
        def __init__(self):
            self.itself = self  # as where a graph refers to what it was made of
        def __del__(self):
            print("destroyed", flush=True)

    class Parts:
        def __init__(self):
            self.iterators = [Iterator(), Iterator()]

    def main():
        parts = Parts()
        if "spare" in sys.argv:
            teardown.spare(parts)
        atexit.register(print, "registered")
        file = open(sys.argv[1], "w")
        file.write("kept")
        return 7

    sys.exit(main())
"""


def ended(tmp_path, *argv):
    """(exit code, lines, the file's text) of a process that ends on its own."""
    path = tmp_path / "file"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(path), *argv],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.split(), path.read_text()


def test_what_is_spared_is_not_destroyed_and_nothing_else_is_lost(tmp_path):
    assert ended(tmp_path, "spare") == (7, ["registered"], "kept")
    # Without: so it is the spared parts that make the difference.
    assert ended(tmp_path) == (7, ["registered", "destroyed", "destroyed"], "kept")


def test_all_that_is_spared_stays_until_it_is_released():
    class Parts:
        pass

    teardown.release()
    first, second = Parts(), Parts()
    there = [weakref.ref(first), weakref.ref(second)]
    teardown.spare(first)
    teardown.spare(second)
    del first, second
    assert all(each() for each in there)
    teardown.release()
    assert not any(each() for each in there)
