"""Several SourceSets as one: what several files say about one split, or all splits together."""

import dataclasses
import json
import os
from collections.abc import Mapping

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.rejects import Reject
from ssd_tfrecord.records.sources import spool
from ssd_tfrecord.records.sources.layouts.collector import quoted
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceSet
from ssd_tfrecord.records.sources.spool import Codec, Spool

_PATHS: Codec[str] = Codec(str, json.dumps, json.loads)


def join(sets: Mapping[str, SourceSet], origin: Mapping[str, object]) -> SourceSet:
    """Makes one set of several, in their order.

    Images keep their source_ids unless two of different sets have the same one; then all begin with
    the names of their sets.

    Args:
        sets: {name: set}, at least one.
        origin: where the result comes from.

    Raises:
        InputError: two sets have the same image file, or give a class different ids.
    """
    if len(sets) == 1:
        (only,) = sets.values()
        return dataclasses.replace(only, origin={**only.origin, **origin})
    images, paths = Spool(spool.IMAGES), Spool(_PATHS)
    for item in sets.values():
        for image in item.images:
            images.append(image)
            if not image.num_bytes:
                paths.append(os.path.normpath(image.image_path))
    if twice := paths.repeated_keys():
        raise InputError(
            f"{twice[0]}: is annotated twice, in two of {', '.join(sets)}; an image may be in only "
            "one of them"
        )
    rejects = [reject for item in sets.values() for reject in item.rejects]
    rejected = Spool(spool.REJECTS, rejects)
    if images.repeated_keys():
        images, rejected = _prefixed(sets)
    lost: dict[str, int] = {}
    for item in sets.values():
        for name, count in item.lost.items():
            lost[name] = lost.get(name, 0) + count
    first = next(iter(sets.values()))
    return SourceSet(
        images=images,
        origin={**first.origin, **origin},
        pixel_origin=first.pixel_origin,
        category_ids=joined_ids(sets),
        notes=tuple(f"{name}: {note}" for name, item in sets.items() for note in item.notes),
        rejects=rejected,
        lost=lost,
    )


def joined_ids(sets: Mapping[str, SourceSet]) -> dict[str, int]:
    """Returns {class name: id} of all sets together, sorted by id.

    Raises:
        InputError: two sets give one class different ids, or two classes the same id.
    """
    found: dict[str, int] = {}
    name_of: dict[int, str] = {}
    set_of: dict[str, str] = {}
    for set_name, item in sets.items():
        for name, number in item.category_ids.items():
            other = name if name in found else name_of.get(number)
            if other is not None and (found[other], other) != (number, name):
                raise InputError(
                    f"class {quoted(name)} has id {number} in {set_name}, but in {set_of[other]} "
                    f"{quoted(other)} has id {found[other]}; must be the same in all splits; or "
                    "pass --classes=auto"
                )
            found[name], name_of[number] = number, name
            set_of.setdefault(name, set_name)
    return dict(sorted(found.items(), key=lambda pair: pair[1]))


def _prefixed(sets: Mapping[str, SourceSet]) -> tuple[Spool[SourceImage], Spool[Reject]]:
    images, rejects = Spool(spool.IMAGES), Spool(spool.REJECTS)
    for name, item in sets.items():
        for image in item.images:
            images.append(dataclasses.replace(image, source_id=f"{name}/{image.source_id}"))
        for reject in item.rejects:
            rejects.append(dataclasses.replace(reject, source_id=f"{name}/{reject.source_id}"))
    return images, rejects
