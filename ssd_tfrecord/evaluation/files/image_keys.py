"""What files of detections call the images of a set: which of them each name means."""

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ssd_tfrecord.records.sources.coco_files.coco_json import key_of
from ssd_tfrecord.records.sources.file_tree import plain

if TYPE_CHECKING:
    from ssd_tfrecord.evaluation.annotated_set import AnnotatedSet

# {name: place} for each kind of name, the surest first.
_Levels: TypeAlias = Sequence[dict[str, int]]
# Of a name that two images share.
_SEVERAL = -2


def match_keys(
    keys: Sequence[str],
    annotated: "AnnotatedSet",
    *,
    ids_first: bool = False,
    written: Sequence[str] = (),
    aliases: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Finds the image that each key means.

    A key may be an image id, a source_id, the name of a file, or one of these without folder or
    suffix; a name that several images share is none.

    Args:
        keys: what the files call their images.
        annotated: the set.
        ids_first: whether keys are image ids unless there is none such, rather than names first.
        written: what ``write_detections`` calls the images in such files, which tells those of one
            source_id apart.
        aliases: {key: source_id} where that is known.
        files: {key: name of the image's file} where that is known: then the key itself, a number of
            its own, says nothing unless the set does not know its files.

    Returns:
        int64 [K]: the place of each key's image in the set, -1 if there is none.
    """
    source_ids = [truth.source_id for truth in annotated.truths]
    ids = _by_name(map(key_of, annotated.image_ids))
    names = [
        _by_name(written),
        _by_name(source_ids),
        _by_name(map(plain, annotated.file_names)),
        _by_name(map(_last, annotated.file_names)),
        _by_name(map(_last, source_ids)),
        _by_name(map(_stem, annotated.file_names)),
        _by_name(map(_stem, source_ids)),
    ]
    # An id is whole: a part of a path that looks like one is none.
    levels = [ids, *names] if ids_first else [*names, ids]
    by_alias, aliases, files = _by_name(source_ids), aliases or {}, files or {}
    knows_files = any(annotated.file_names)
    found = []
    for key in keys:
        place = by_alias.get(aliases.get(key, ""), -1)
        if place < 0 and key in files:
            place = _find_any(files[key], names, names)
        if place < 0 and not (key in files and knows_files):
            place = _find_any(key, levels, names)
        found.append(max(place, -1))
    return np.array(found, np.int64)


def _find_any(key: str, whole: _Levels, parts: _Levels) -> int:
    """The place of the image called ``key``, or else of that called as its parts are."""
    place = _find(key, whole)
    for part in (plain(key), _last(key), _stem(key)):
        place = _find(part, parts) if place < 0 else place
    return place


def _by_name(names: Iterable[str]) -> dict[str, int]:
    """{name: its place, or _SEVERAL}, without the empty one."""
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        places[name] = _SEVERAL if name in places else place
    places.pop("", None)
    return places


def _find(key: str, levels: _Levels) -> int:
    return next((level[key] for level in levels if key in level), -1)


def _last(name: str) -> str:
    return plain(name).rpartition("/")[2]


def _stem(name: str) -> str:
    return posixpath.splitext(_last(name))[0]
