"""A JSON file that holds a list and grows: at every moment, also after a kill, it is whole."""

import json
import os
import pathlib
from typing import Any

from ssd_tfrecord.detection.outputs.output_folder import clear
from ssd_tfrecord.runs.run_files import sync_folder

PART = ".part"


class JsonRows:
    """``head``, then a row per line, then ``tail``: ``<path>.part`` until ``close`` renames it.

    Each row is written together with the tail, over the one of the row before. Where the disk is
    full, the row is left out and what was there before stays.

    Args:
        path: of the finished file.
        head: what stands before the rows.
        tail: what stands after them.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: pathlib.Path, head: str = "[", tail: str = "]") -> None:
        self._path = path
        self._part = path.with_name(path.name + PART)
        self._tail = f"\n{tail}\n".encode()
        clear(self._part)
        self._descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        self._end = 0
        self._begin = b"\n"
        self._append(head.encode())
        self.num_rows = 0

    def add(self, row: Any) -> None:
        """Adds a row.

        Raises:
            OSError: it cannot be written, and is not there.
        """
        self._append(self._begin + to_json(row))
        self._begin = b",\n"
        self.num_rows += 1

    def _append(self, content: bytes) -> None:
        try:
            self._write(content + self._tail)
        except OSError:
            # The place of the old tail is still the file's.
            os.ftruncate(self._descriptor, self._end)
            self._write(self._tail)
            raise
        self._end += len(content)

    def _write(self, content: bytes) -> None:
        left = memoryview(content)
        place = self._end
        while left:
            count = os.pwrite(self._descriptor, left, place)
            left, place = left[count:], place + count

    def close(self) -> None:
        """Gives the file its name.

        Raises:
            OSError: that cannot be done; what was written stays in ``<path>.part``.
        """
        os.close(self._descriptor)
        os.replace(self._part, self._path)
        sync_folder(self._path.parent)


def to_json(content: Any) -> bytes:
    """JSON on one line, in UTF-8; a byte of a file's name that is not becomes an escape."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    # A lone surrogate can be spelled in JSON, but not in UTF-8.
    return text.encode("utf-8", "backslashreplace")
