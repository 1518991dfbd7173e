"""What a model finds doubtful in a record set: the rows of suspects.csv of ``evaluate``."""

import csv
import math
import os
from collections.abc import Iterator, Mapping, Sequence

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.inspection.facts import SearchedSet
from ssd_tfrecord.inspection.suspects import MODEL_KINDS, Suspect

# Of a longer file, an InputError: ``evaluate`` writes some hundred rows.
_MAX_BYTES = 1 << 26
_NEEDED = (
    "kind",
    "set",
    "source_id",
    "class",
    "xmin",
    "ymin",
    "xmax",
    "ymax",
    "value",
    "explanation",
)
_EDGES = ("ymin", "xmin", "ymax", "xmax")

_Row = Mapping[str, str]


def read_suspects(path: str, sets: Sequence[SearchedSet]) -> list[Suspect]:
    """Reads the suspects of an evaluation of one of the sets, or of several.

    Args:
        path: of suspects.csv, as ``evaluate`` writes it.
        sets: that are searched; rows of images that none of them has are omitted.

    Returns:
        The suspects in the order of the file, which is that of their severity.

    Raises:
        InputError: the file cannot be read, is none of ``evaluate``, or no row is of these sets.
    """
    rows = [row for row in _rows(path) if row["kind"] in MODEL_KINDS]
    places = _places(sets)
    found = []
    for number, row in enumerate(rows):
        source_id = _text(row["source_id"])
        # Another copy of the set may have another name.
        place = places.get((_text(row["set"]), source_id)) or places.get(("", source_id))
        if place:
            found.append(_suspect(row, place, sets, -number))
    if rows and not found:
        raise InputError(
            f"--detections={path}: no row is of an image of these sets; its first is of "
            f"{rows[0]['source_id']}"
        )
    return found


def _places(sets: Sequence[SearchedSet]) -> dict[tuple[str, str], tuple[int, int]]:
    """{(name of the set or "", source_id): (set, record)}; of equal ones, the first."""
    places: dict[tuple[str, str], tuple[int, int]] = {}
    for number, one in enumerate(sets):
        for record, source_id in enumerate(one.facts.source_ids):
            for name in (one.name, ""):
                places.setdefault((name, source_id), (number, record))
    return places


def _suspect(
    row: _Row, place: tuple[int, int], sets: Sequence[SearchedSet], severity: float
) -> Suspect:
    height, width = (int(side) for side in sets[place[0]].facts.sizes[place[1]])
    edges = [_number(row[name]) for name in _EDGES]
    box = None
    if all(map(math.isfinite, edges)):
        fractions = [edge / side for edge, side in zip(edges, (height, width) * 2)]
        box = tuple(min(max(value, 0.0), 1.0) for value in fractions)
    return Suspect(
        kind=row["kind"],
        severity=severity,
        place=place,
        value=_number(row["value"]),
        explanation=_text(row["explanation"]),
        name=_text(row["class"]),
        box=box,
        other_name=_text(row.get("other_class") or ""),
    )


def _rows(path: str) -> Iterator[dict[str, str]]:
    where = f"--detections={path}"
    try:
        if os.path.getsize(path) > _MAX_BYTES:
            raise InputError(f"{where}: must not be larger than {_MAX_BYTES >> 20} MiB")
        with open(path, encoding="utf-8", errors="replace", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(
                    f"{where}: has no column {missing[0]}; must be a suspects.csv of evaluate"
                )
            # A short row has None in the columns that it lacks.
            yield from ({name: text or "" for name, text in row.items() if name} for row in reader)
    except OSError as error:
        raise InputError(f"{where}: {error.strerror}") from None
    except csv.Error as error:
        raise InputError(f"{where}: {error}; must be a suspects.csv of evaluate") from None


def _text(cell: str) -> str:
    """A cell without the apostrophe before what a spreadsheet would take for a formula."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in ("=", "+", "-", "@", "\t", "\r") else cell


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan
