"""What people should look at: suspects.csv, and a table of it."""

import collections
import csv
import os
from collections.abc import Iterator, Sequence

from ssd_tfrecord.inspection.facts import SearchedSet
from ssd_tfrecord.inspection.suspects import KINDS, TWO_CLASSES, Suspect

FILE_NAME = "suspects.csv"
COLUMNS = (
    *("kind", "set", "source_id", "file", "record", "class", "xmin", "ymin", "xmax", "ymax"),
    *("other_set", "other_source_id", "other_class", "value", "explanation"),
)
# With these a spreadsheet begins a formula, which names from strangers must not do (OWASP, CSV
# injection); an apostrophe before them makes it text.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(suspects: Sequence[Suspect], sets: Sequence[SearchedSet], folder: str) -> str:
    """Writes suspects.csv, in UTF-8, one row per suspect in the order given.

    ``record`` is counted from 0 in ``file``. Edges are in pixels of the stored image. A text that a
    spreadsheet would take for a formula begins with an apostrophe.

    Args:
        suspects: of ``find_suspects``.
        sets: that were searched.
        folder: must exist.

    Returns:
        The path of the file.
    """
    path = os.path.join(folder, FILE_NAME)
    # source_ids may hold bytes that are not UTF-8.
    with open(path + ".tmp", "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for item in suspects:
            writer.writerow([_cell(value) for value in _row(item, sets)])
    # Only now: a reader finds the old file or the new one.
    os.replace(path + ".tmp", path)
    return path


def _row(item: Suspect, sets: Sequence[SearchedSet]) -> Iterator[str | int | float]:
    one, record = sets[item.place[0]], item.place[1]
    yield from (item.kind, one.name, one.source_id(record))
    yield from one.file_of(record) if record >= 0 else ("", "")
    yield item.name
    if item.box is None:
        yield from ("",) * 4
    else:
        height, width = (int(side) for side in one.facts.sizes[record])
        ymin, xmin, ymax, xmax = item.box
        edges = (xmin * width, ymin * height, xmax * width, ymax * height)
        yield from (round(edge, 1) for edge in edges)
    if item.other is None:
        yield from ("", "")
    else:
        yield from (sets[item.other[0]].name, sets[item.other[0]].source_id(item.other[1]))
    yield from (item.other_name, f"{item.value:.4g}", item.explanation)


def _cell(value: str | int | float) -> str | int | float:
    # Our own numbers are never negative.
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def to_table(suspects: Sequence[Suspect], sets: Sequence[SearchedSet]) -> str:
    """The number of suspects of each kind, with the worst one of each as an example."""
    counts = collections.Counter(item.kind for item in suspects)
    width = max(map(len, KINDS))
    lines = [f"{'to look at':<{width}} {'count':>7}  for example"]
    for kind in KINDS:
        if counts[kind]:
            worst = next(item for item in suspects if item.kind == kind)
            lines.append(f"{kind:<{width}} {counts[kind]:>7}  {describe(worst, sets)}")
    return "\n".join(lines)


def describe(item: Suspect, sets: Sequence[SearchedSet]) -> str:
    """Where a suspect is: set, image or images, and class, on one line."""
    where = _describe_image(item.place, sets)
    if item.other is not None and item.other != item.place:
        where += f" and {_describe_image(item.other, sets)}"
    name = class_of(item)
    text = f"{where}: {name}" if name else where
    # Names from strangers: a line break, or what a terminal would obey.
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _describe_image(place: tuple[int, int], sets: Sequence[SearchedSet]) -> str:
    one, record = sets[place[0]], place[1]
    if record < 0:
        return one.name
    file, number = one.file_of(record)
    # Other tools may leave the source_id out.
    return f"{one.name} {one.source_id(record) or f'{file} record {number}'}"


def class_of(item: Suspect) -> str:
    """The class of a suspect, or its two classes."""
    return f"{item.other_name} + {item.name}" if item.kind == TWO_CLASSES else item.name
