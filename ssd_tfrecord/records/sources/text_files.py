"""Text files from strangers: plain or gzipped, without a byte order mark, limited in size."""

import contextlib
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, TextIO

GZIP_MAGIC = b"\x1f\x8b"
# JSON of polygons shrinks to a third, of equal numbers to a hundredth; a bomb to a thousandth.
MAX_RATIO = 200
# Small files may shrink more: a few kilobytes are no danger.
_ALWAYS_ALLOWED = 2**26


class _Counted(io.RawIOBase):
    """The bytes of ``file``, reported to ``advance`` as they are read."""

    def __init__(self, file: BinaryIO, advance: Callable[[int], object]) -> None:
        self._file, self._advance = file, advance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._file.read(len(buffer))
        buffer[: len(chunk)] = chunk
        self._advance(len(chunk))
        return len(chunk)


class _Unpacked(io.RawIOBase):
    """The content of a gzip ``file`` of ``num_bytes``, up to the limit."""

    def __init__(self, file: BinaryIO, num_bytes: int) -> None:
        self._file, self._left = gzip.GzipFile(fileobj=file), _limit(num_bytes)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            # read1: no more than one block is unpacked at once.
            chunk = self._file.read1(min(len(buffer), 2**20))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"damaged gzip file: {error}") from None
        self._left -= len(chunk)
        if self._left < 0:
            raise ValueError(f"unpacks to more than {MAX_RATIO} times its size")
        buffer[: len(chunk)] = chunk
        return len(chunk)


def _limit(num_bytes: int) -> int:
    return max(_ALWAYS_ALLOWED, MAX_RATIO * num_bytes)


@contextlib.contextmanager
def open_text(path: str, advance: Callable[[int], object] = lambda count: None) -> Iterator[TextIO]:
    """Opens a text in UTF-8, with or without a byte order mark, plain or gzipped.

    Args:
        path: the file; whether it is gzipped is read from its bytes.
        advance: called with the number of bytes of the file that were read since the last call.

    Raises:
        OSError: the file cannot be read.
        ValueError: while reading: the text is not UTF-8, or what is packed is damaged or larger
            than ``MAX_RATIO`` times the file.
    """
    with open(path, "rb") as file:
        packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        num_bytes = file.seek(0, io.SEEK_END)
        file.seek(0)
        raw: io.RawIOBase = _Counted(file, advance)
        if packed:
            raw = _Unpacked(io.BufferedReader(raw, 2**18), num_bytes)
        with io.TextIOWrapper(io.BufferedReader(raw, 2**18), encoding="utf-8-sig") as text:
            yield text
