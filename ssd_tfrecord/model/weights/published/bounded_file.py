"""A file of weights read by offset, within its bounds: nothing in it decides what is allocated."""

import os
import pathlib
import reprlib
import stat
import types
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ssd_tfrecord.errors import InputError

_T = TypeVar("_T")
MUST = "must be weights of torch (.pth), .safetensors, .caffemodel or Keras .h5"


class BoundedFile:
    """Reads parts of a file; the arrays taken from it together hold no more bytes than it.

    That bound is what keeps any file below twice its size in memory: two entries that claim the
    same bytes, or one that claims more than there are, are refused before anything is allocated.

    Raises:
        InputError: there is no such file, or it is not a regular one, or cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path)
        try:
            # A pipe would block in open().
            if not stat.S_ISREG(os.stat(self.path).st_mode):
                raise self.refused("not a file")
            self._file = open(self.path, "rb")  # noqa: SIM115 - closed by __exit__
        except FileNotFoundError:
            raise self.refused("no such file") from None
        except (OSError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise self.refused(f"cannot be read ({getattr(error, 'strerror', error)})") from None
        self.size = os.fstat(self._file.fileno()).st_size
        self._taken = 0

    def __enter__(self) -> "BoundedFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self._file.close()

    def refused(self, reason: str) -> InputError:
        """The error that refuses this file: ``FILE: reason; must be …``, in one line."""
        return InputError(f"{self.path}: {reason}; {MUST}")

    def head(self, length: int) -> bytes:
        """The first ``length`` bytes, or all if there are fewer."""
        return self.bytes_at(0, min(length, self.size), "its head")

    def bytes_at(self, offset: int, length: int, what: str) -> bytes:
        """Reads ``length`` bytes of ``what``, which must lie inside of the file."""
        self._within(offset, length, what)
        data = self._at(offset, lambda: self._file.read(length))
        return self._whole(data, len(data), length, what)

    def array_at(self, offset: int, dtype: npt.DTypeLike, count: int, what: str) -> np.ndarray:
        """Reads ``count`` values of ``dtype`` into a read-only array [count]."""
        num_bytes = count * np.dtype(dtype).itemsize
        self._within(offset, num_bytes, what)
        self._taken += num_bytes
        if self._taken > self.size:
            raise self.refused(f"{what}: its arrays claim more bytes than the file has")
        array = np.empty(count, dtype)
        got = self._at(offset, lambda: self._file.readinto(array.view(np.uint8).data))
        array.flags.writeable = False
        return self._whole(array, got, num_bytes, what)

    def _within(self, offset: int, length: int, what: str) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise self.refused(f"{what} goes beyond the end of the file ({self.size} bytes)")

    def _at(self, offset: int, read_fn: Callable[[], _T]) -> _T:
        try:
            self._file.seek(offset)
            return read_fn()
        except OSError as error:
            raise self.refused(f"cannot be read ({error.strerror})") from None

    def _whole(self, read: _T, got: int, length: int, what: str) -> _T:
        if got != length:
            raise self.refused(f"{what}: the file became shorter while it was read")
        return read


def printable(name: str) -> str:
    """A name out of a file as it is, unless a terminal could not show it."""
    return name if name.isprintable() and len(name) <= 200 else shown(name)


def shown(text: object) -> str:
    """A name out of a file, fit for one line of a message."""
    # reprlib: a pickle may hold tuples of tuples of …, deeper than repr() can go.
    whole = repr(text[:200]) if isinstance(text, str | bytes) else reprlib.repr(text)
    return whole if len(whole) <= 80 else f"{whole[:77]}..."
