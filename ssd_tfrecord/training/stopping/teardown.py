"""What is not taken apart before the process ends: an iterator of tf.data may take a minute."""

import atexit
import ctypes

_spared: list[object] = []


def spare(parts: object) -> None:
    """Keeps ``parts`` and all that they refer to until the process is gone, or ``release``.

    Destroying an iterator, TensorFlow waits for the thread that tunes its pipeline, which sleeps
    for up to 60 s between two looks (``Model::OptimizeLoop``, not woken by the iterator's end): a
    run lingered after its last line, once for each iterator. Nothing else is left out: files are
    closed, what is registered with ``atexit`` runs, and the exit code is that of the program.

    Args:
        parts: whatever holds the iterators.
    """
    _spared.append(parts)


def release() -> None:
    """Lets go what was spared so far: in a process that goes on, a run's memory is given back."""
    _spared.clear()


def _keep() -> None:
    # The interpreter's end empties all modules; what has one more reference stays.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(_spared))


atexit.register(_keep)
