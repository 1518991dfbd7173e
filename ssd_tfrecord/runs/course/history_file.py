"""The rows of ``history.csv`` on disk: read whatever happened to the file, and appended to."""

import contextlib
import errno
import os
import pathlib
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

TRAIN_COLUMNS = (
    "loss",
    "class_loss",
    "box_loss",
    "learning_rate",
    "images_per_s",
    "data_wait",
)
METRICS = ("voc07_map", "voc12_map", "coco_ap", "coco_ap50")
EVAL_COLUMNS = ("eval_loss", *METRICS)
COLUMNS = ("step", *TRAIN_COLUMNS, *EVAL_COLUMNS)
# Of the weights as they are trained, where their averages are evaluated: else not in the file.
RAW = "raw_"
RAW_COLUMNS = tuple(f"{RAW}{name}" for name in METRICS)
ALL_COLUMNS = (*COLUMNS, *RAW_COLUMNS)

# Text by column; empty where the row has no such number.
Row = dict[str, str]

# Longer than any row that is written: sixteen numbers of eight digits with sign and exponent.
_MAX_ROW_BYTES = 256
# Not float(): that accepts 1_0 and the digits of other scripts. 18 digits fit an int64.
_STEP = re.compile(r"[0-9]{1,18}")
_NUMBER = re.compile(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]{1,3})?|nan|-?inf", re.IGNORECASE)


@dataclass
class Found:
    """What a file held.

    ``rows`` by step, those beyond the wanted step too; ``damaged`` is the number of lines that are
    none, ``foreign`` the columns that are not ours. ``modified`` is when the file was last written,
    in seconds since 1970, None if it cannot be read, for the reason ``problem``.
    """

    rows: dict[int, Row] = field(default_factory=dict)
    damaged: int = 0
    foreign: tuple[str, ...] = ()
    modified: float | None = None
    problem: str = ""


def read(path: str | os.PathLike[str], step: int) -> Found:
    """The rows of a file, of which any part may be damaged.

    Of two rows of a step, the later one counts.

    Args:
        path: of the file, which need not exist.
        step: what is behind the longest file that has a row for each step until this one is not
            read: it is garbage, maybe of gigabytes, or rows beyond ``step``.
    """
    found = Found()
    try:
        status = os.stat(path)
        # A pipe would be waited for.
        if not stat.S_ISREG(status.st_mode):
            found.problem = "is not a regular file"
            return found
        with open(path, "rb") as file:
            content = file.read(_MAX_ROW_BYTES * (step + 2))
    except FileNotFoundError:
        found.problem = "is missing"
        return found
    except OSError as error:
        found.problem = f"cannot be read ({error.strerror or error})"
        return found
    found.modified = status.st_mtime
    *lines, rest = content.split(b"\n")
    # A line without an end was cut, maybe within a number.
    found.damaged += bool(rest)
    names = _header(lines[0]) if lines else None
    if names is not None:
        found.foreign = tuple(name for name in names if name not in ALL_COLUMNS)
        lines = lines[1:]
    if not content:
        found.problem = "is empty"
    last = -1
    for line in lines:
        row = _row(line, names)
        if row is None or int(row["step"]) <= last:
            found.damaged += 1
        if row is not None:
            last = int(row["step"])
            found.rows[last] = row
    return found


class HistoryFile:
    """Writes ``history.csv``: a new row is appended, and all are written again where one changed.

    Args:
        path: of the file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = pathlib.Path(path)
        # That of the file as this object left it; -1: unknown.
        self._size = -1
        self._columns: tuple[str, ...] = COLUMNS

    def replace(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Writes all rows, aside first; a file that holds just these is left alone.

        Raises:
            OSError: they cannot be written.
        """
        self._columns = ALL_COLUMNS if any(map(_has_raw, rows)) else COLUMNS
        content = "".join(map(self._line, (dict(zip(ALL_COLUMNS, ALL_COLUMNS)), *rows))).encode()
        self._size = -1
        if not self._holds(content):
            aside = self._path.with_name("history.part.csv")
            try:
                aside.write_bytes(content)
                os.replace(aside, self._path)
            except OSError:
                with contextlib.suppress(OSError):
                    aside.unlink()
                raise
        self._size = len(content)

    def append(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Writes the last of ``rows``, or all of them if the others are not in the file.

        Raises:
            OSError: they cannot be written.
        """
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        except FileNotFoundError:  # deleted under the run
            self.replace(rows)
            return
        try:
            fits = self._columns == ALL_COLUMNS or not _has_raw(rows[-1])
            whole = fits and os.fstat(descriptor).st_size == self._size
            if whole:
                content = self._line(rows[-1]).encode()
                if os.write(descriptor, content) < len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                self._size += len(content)
        finally:
            os.close(descriptor)
        if not whole:
            self.replace(rows)

    def _line(self, row: Mapping[str, str]) -> str:
        return ",".join(row[name] for name in self._columns) + "\n"

    def _holds(self, content: bytes) -> bool:
        try:
            # Compared by size first: a damaged file can be of any size.
            return self._path.stat().st_size == len(content) and self._path.read_bytes() == content
        except OSError:
            return False


def _has_raw(row: Mapping[str, str]) -> bool:
    return any(row[name] for name in RAW_COLUMNS)


def _cells(line: bytes) -> list[str]:
    # Editors and spreadsheets add a byte-order mark, or a carriage return to each line.
    return line.decode("utf-8-sig", errors="replace").rstrip("\r").split(",")


def _header(line: bytes) -> list[str] | None:
    names = _cells(line)
    fits = names.count("step") == 1 and len(set(names)) == len(names)
    return names if fits else None


def _row(line: bytes, names: Sequence[str] | None) -> Row | None:
    """The row of a line, with the columns of this version; None if it is none.

    Args:
        line: without its end.
        names: of the columns; None: the file has no header.
    """
    if len(line) > _MAX_ROW_BYTES * max(1, len(names or ()) // len(COLUMNS)):
        return None
    cells = _cells(line)
    names = names or (ALL_COLUMNS if len(cells) == len(ALL_COLUMNS) else COLUMNS)
    if len(cells) != len(names):
        return None
    row = {name: text for name, text in zip(names, cells) if name in ALL_COLUMNS}
    if not _STEP.fullmatch(row["step"]):
        return None
    numbers = (text for name, text in row.items() if name != "step" and text)
    if not all(map(_NUMBER.fullmatch, numbers)):
        return None
    return dict.fromkeys(ALL_COLUMNS, "") | row | {"step": str(int(row["step"]))}
