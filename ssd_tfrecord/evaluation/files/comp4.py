"""VOC's devkit files: one per class, comp4_det_<set>_<class>.txt, with lines of detections."""

import os
import re
from collections.abc import Iterable, Sequence

from ssd_tfrecord.detection.detections import file_names
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

FORM = "comp4_det_<set>_<class>.txt"
# comp3: trained on VOC's own data alone. The devkit gives both the same form.
_FILE = re.compile(r"comp[34]_det_(.+)\.txt", re.IGNORECASE | re.DOTALL)
_WANTED = "must be image score xmin ymin xmax ymax, in pixels from 1 and with a score from 0 to 1"


def is_file_of(name: str) -> bool:
    """Whether ``name`` is that of one of the devkit's files."""
    return bool(_FILE.fullmatch(name.rpartition("/")[2]))


def read(path: str, class_names: Sequence[str] = ()) -> OutsideDetections:
    """Reads the files of all classes; pixels count from 1, and both ends are inside.

    Args:
        path: the folder.
        class_names: of the set. They tell where in a file's name that of its class begins, since
            those of sets and classes may have underscores; by default at the first.

    Raises:
        InputError: there is no such file, one cannot be read, or most rows are faulty.
    """
    names, notes = text_names(path)
    names = [name for name in names if is_file_of(name)]
    if not names:
        raise InputError(f"{path}: has no {FORM}")
    changed = read_changed_names(path)
    rows = RowCollector(path, _WANTED)
    rows.notes.extend(notes)
    rows.aliases = changed.images
    known = {*class_names, *file_names(class_names), *changed.classes}
    words = _classes([stem_of(name.rpartition("/")[2]) for name in names], known)
    for name, word in zip(names, words):
        file = os.path.join(path, name)
        class_name = changed.classes.get(word, word)
        rows.add_word(class_name)
        for index, line in read_rows(file):
            where = f"{file}: line {index}"
            found = last_numbers(line, 5)
            if found is None:
                rows.drop(where, MALFORMED, quoted(line))
                continue
            image, (score, *edges) = found
            rows.add(where, image, class_name, voc_box(*edges), score)
    return rows.result()


def _classes(stems: Sequence[str], known: Iterable[str]) -> list[str]:
    """The class of each file: what follows the name of the set, which all have in common."""
    known = set(known)
    rests = [re.sub(r"^comp[34]_det_", "", stem, flags=re.IGNORECASE) for stem in stems]
    # Whatever may be the set's name, with the underscore behind it; "" if there is none.
    first = min(rests, key=len)
    prefixes = [first[: found.end()] for found in re.finditer("_", first) if first[found.end() :]]
    common = [prefix for prefix in prefixes if all(rest.startswith(prefix) for rest in rests)]

    def num_known(prefix: str) -> int:
        return sum(rest[len(prefix) :] in known for rest in rests)

    # max() takes the first of several, which is the shortest.
    chosen = max(common or [""], key=num_known)
    return [rest[len(chosen) :] for rest in rests]
