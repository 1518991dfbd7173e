"""suspects.csv: where annotations may be wrong, in the columns of ``inspect --suspects``."""

import pathlib
from collections.abc import Iterable, Iterator

from ssd_tfrecord.evaluation.analysis.answers import Doubt
from ssd_tfrecord.evaluation.evaluated_set import EvaluatedSet
from ssd_tfrecord.evaluation.report.number_files import write_rows
from ssd_tfrecord.evaluation.report.outside_text import Cell

FILE_NAME = "suspects.csv"
# Those of ``inspection.suspects_report``, which reads this file and may not be imported here.
COLUMNS = (
    *("kind", "set", "source_id", "file", "record", "class", "xmin", "ymin", "xmax", "ymax"),
    *("other_set", "other_source_id", "other_class", "value", "explanation"),
)


def write_doubts(folder: pathlib.Path, evaluated: EvaluatedSet) -> pathlib.Path:
    """Writes suspects.csv, one row per doubt, in the order in which they stand.

    ``class`` and the edges are those of the object, or of the detection if there is none; edges in
    pixels of the stored image. Where both are there, ``other_class`` is what was detected. ``file``
    and ``record`` (counted from 0) are empty where it is not known where images are stored.

    Args:
        folder: must exist; an earlier file is replaced.
        evaluated: the set.

    Returns:
        The path of the file.
    """
    path = folder / FILE_NAME
    write_rows(path, COLUMNS, (list(_row(item, evaluated)) for item in evaluated.answers.doubts))
    return path


def classes_of(doubt: Doubt, evaluated: EvaluatedSet) -> tuple[str, str]:
    """(class of the object, or of the detection if there is none; what a swap was detected as)."""
    names, scored = evaluated.scored.class_names, evaluated.scored
    found = names[scored.found.labels[doubt.found] - 1] if doubt.found >= 0 else ""
    if doubt.object < 0:
        return found, ""
    return names[scored.objects.labels[doubt.object] - 1], found


def kinds_of(doubts: Iterable[Doubt]) -> dict[str, list[Doubt]]:
    """The doubts by kind: kinds and doubts in the order in which they come."""
    kinds: dict[str, list[Doubt]] = {}
    for doubt in doubts:
        kinds.setdefault(doubt.kind, []).append(doubt)
    return kinds


def _row(doubt: Doubt, evaluated: EvaluatedSet) -> Iterator[Cell]:
    scored = evaluated.scored
    source_id = scored.source_ids[doubt.image]
    yield from (doubt.kind, evaluated.name, source_id)
    yield from evaluated.locate_record(doubt.image) if evaluated.locate_record else ("", "")
    name, other = classes_of(doubt, evaluated)
    yield name
    boxes, index = (
        (scored.objects.boxes, doubt.object)
        if doubt.object >= 0
        else (scored.found.boxes, doubt.found)
    )
    if index >= 0:
        ymin, xmin, ymax, xmax = (round(float(edge), 1) for edge in boxes[index])
        yield from (xmin, ymin, xmax, ymax)
    else:
        yield from ("",) * 4
    yield from (evaluated.name, source_id) if other else ("", "")
    yield from (other, f"{doubt.value:.4g}", doubt.explanation)
