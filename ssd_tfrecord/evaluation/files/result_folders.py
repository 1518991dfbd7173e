"""Folders of text files with detections: which files there are, and their lines."""

import os
import stat
from collections.abc import Iterator

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.file_tree import files_below
from ssd_tfrecord.records.sources.layouts.collector import number

# Room for ten million detections of one class.
_MAX_BYTES = 2**30
# Characters of a line; one that is longer is no detection.
_MAX_LINE = 2**14


def text_names(folder: str) -> tuple[list[str], tuple[str, ...]]:
    """The text files in ``folder`` and its sub-folders.

    Args:
        folder: of a tool's results.

    Returns:
        (paths relative to it, sorted; lines for the user).

    Raises:
        InputError: a folder cannot be read.
    """
    refused: set[str] = set()
    names = files_below(folder, (".txt",), "inside", refused)
    if not refused:
        return names, ()
    note = f"links not followed, as they lead out of the folder: {len(refused)} ({min(refused)})"
    return names, (note,)


def stem_of(name: str) -> str:
    """``name`` without its suffix."""
    return os.path.splitext(name)[0]


def read_rows(path: str) -> Iterator[tuple[int, str]]:
    """Yields (line number, line without white space around it) for each line that is not blank.

    Args:
        path: a text in UTF-8.

    Raises:
        InputError: it cannot be read, is not text, or has a line that is too long.
    """
    try:
        # Opening a pipe would wait for its writer.
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
            raise InputError(f"{path}: must be a file of at most {_MAX_BYTES} bytes")
        # With or without a byte order mark, which some Windows editors write.
        with open(path, encoding="utf-8-sig") as file:
            index = 0
            while line := file.readline(_MAX_LINE):
                index += 1
                if len(line) == _MAX_LINE:
                    raise InputError(
                        f"{path}: line {index}: must have less than {_MAX_LINE} characters"
                    )
                if line := line.strip():
                    yield index, line
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: must be text in UTF-8") from None


def last_numbers(line: str, count: int) -> tuple[str, list[float]] | None:
    """Splits a line whose last columns are numbers.

    Args:
        line: without white space at its ends.
        count: of the numbers.

    Returns:
        (what stands before them, which may have spaces; the numbers, which may be infinite or NaN);
        None if there are not as many numbers, or nothing before them.
    """
    first, *texts = line.rsplit(maxsplit=count)
    numbers = [value for value in map(number, texts) if value is not None]
    return (first, numbers) if len(numbers) == count else None
