"""The text files of Cartucho/mAP: one per image in detection-results, a line per detection."""

import os

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.evaluation.files.changed_names import read_changed_names
from ssd_tfrecord.evaluation.files.outside_detections import (
    MALFORMED,
    OutsideDetections,
    RowCollector,
    quoted,
    voc_box,
)
from ssd_tfrecord.evaluation.files.result_folders import (
    last_numbers,
    read_rows,
    stem_of,
    text_names,
)

FOLDER = "detection-results"
FORM = f"{FOLDER}/<image>.txt with lines of class score left top right bottom"
_WANTED = (
    "must be class score left top right bottom, in VOC's pixels (from 1, both ends inside) and "
    "with a score from 0 to 1"
)


def read(path: str) -> OutsideDetections:
    """Reads the files of all images; a class may have spaces, as its name ends where numbers begin.

    Args:
        path: the folder, or that which contains detection-results.

    Raises:
        InputError: there is no such file, one cannot be read, or most rows are faulty.
    """
    inner = os.path.join(path, FOLDER)
    folder = inner if os.path.isdir(inner) else path
    names, notes = text_names(folder)
    if not names:
        raise InputError(f"{folder}: has no {FORM}")
    # Written beside detection-results.
    above = os.path.dirname(os.path.abspath(folder))
    beside = above if os.path.basename(os.path.abspath(folder)) == FOLDER else folder
    changed = read_changed_names(beside)
    rows = RowCollector(path, _WANTED)
    rows.notes.extend(notes)
    rows.aliases = changed.images
    for name in names:
        file, key = os.path.join(folder, name), stem_of(name)
        rows.add_key(key)
        for index, line in read_rows(file):
            where = f"{file}: line {index}"
            found = last_numbers(line, 5)
            if found is None:
                rows.drop(where, MALFORMED, quoted(line))
                continue
            word, (score, *edges) = found
            rows.add(where, key, changed.classes.get(word, word), voc_box(*edges), score)
    return rows.result()
