"""CSV files from strangers: any delimiter, with or without a header, read row by row."""

import contextlib
import csv
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.text_files import open_text

# In the order in which they are tried.
_DELIMITERS = ",;\t|"
# Longer than any header, shorter than a bomb.
_MAX_LINE = 2**16


def first_row(path: str) -> list[str]:
    """Returns the cells of the first line that is not blank, or [] if there is none.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            # Faults behind the first line are for read_rows() to find.
            beginning = file.read(_MAX_LINE).decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    line = next((line for line in beginning.splitlines() if line.strip()), "")
    try:
        return next(csv.reader([line], delimiter=_delimiter(line)), [])
    except csv.Error:
        return []


def read_rows(path: str) -> Iterator[tuple[int, list[str]]]:
    """Yields (number of the line, cells without white space around them) of each row.

    Args:
        path: a file in UTF-8, plain or gzipped; its first line decides about the delimiter.

    Raises:
        InputError: it cannot be read, or is not such a table.
    """
    with _named_errors(path), open_text(path) as file:
        lines = _limited(path, iter(lambda: file.readline(_MAX_LINE), ""))
        first = next((line for line in lines if line.strip()), "")
        reader = csv.reader(itertools.chain([first], lines), delimiter=_delimiter(first))
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [cell.strip() for cell in cells]


def _delimiter(line: str) -> str:
    # A name may contain a comma, but hardly as many as a row has cells.
    return max(_DELIMITERS, key=line.count)


def _limited(path: str, lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if len(line) >= _MAX_LINE:
            raise InputError(f"{path}: a line must have fewer than {_MAX_LINE} characters")
        yield line


@contextlib.contextmanager
def _named_errors(path: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV: {error}") from None


def notes_on_others(paths: Iterable[str]) -> tuple[str, ...]:
    """Returns a note about tables that are not read, if there are any."""
    listed = list(paths)
    if not listed:
        return ()
    return (f"CSV files that are no tables of boxes: {len(listed)}, not used ({listed[0]})",)


def columns(header: Sequence[str], wanted: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """Finds the columns of a table by their titles.

    Args:
        header: the titles.
        wanted: {what a column holds: titles that it may have, in lower case, without separators}.

    Returns:
        {what a column holds: its number}; of several that fit, the first title in ``wanted``.
    """
    titles = ["".join(filter(str.isalnum, title.lower())) for title in header]
    return {
        kind: titles.index(title)
        for kind, names in wanted.items()
        for title in reversed(names)
        if title in titles
    }
