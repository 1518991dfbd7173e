"""What the readers of all layouts share: images found, objects refused, and notes about both."""

import collections
import dataclasses
import json
import math
import os
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.annotation import degeneracy
from ssd_tfrecord.records.rejects import (
    DROPPED,
    ENCLOSED,
    MISSING_IMAGE,
    NOT_FINITE,
    POLYGON,
    UNANNOTATED,
    UNKNOWN_CLASS,
    Reject,
)
from ssd_tfrecord.records.sources import spool
from ssd_tfrecord.records.sources.layouts.layout import Policies
from ssd_tfrecord.records.sources.paths import ImageFolder, printable
from ssd_tfrecord.records.sources.shapes import Box
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceObject, SourceSet
from ssd_tfrecord.records.sources.spool import Codec, Spool

# Of an object whose file does not say where it is.
NO_BOX: Box = (math.nan, math.nan, math.nan, math.nan)

_PATHS: Codec[str] = Codec(str, json.dumps, json.loads)


def number(text: str) -> float | None:
    """Returns the number that ``text`` spells, or None; it may be infinite or NaN."""
    # Python also takes 1_000 and digits of other scripts.
    if not text.isascii() or "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def quoted(text: str) -> str:
    """Returns ``text`` in quotes, shortened, whatever it contains."""
    return reprlib.repr(text)


class Collector:
    """One SourceSet in the making.

    Args:
        folder: of the images.
        policies: what to do with faults.
    """

    def __init__(self, folder: ImageFolder, policies: Policies) -> None:
        self.images, self.rejects = Spool(spool.IMAGES), Spool(spool.REJECTS)
        self.policies = policies
        # What has been seen and is worth a note: {note, of which "{}" is the number: how often}.
        self.seen: collections.Counter[str] = collections.Counter()
        self._folder = folder
        self._lost: collections.Counter[str] = collections.Counter()
        self._first_of: dict[str, str] = {}
        self._paths = Spool(_PATHS)

    def note(self, text: str, where: str = "", count: int = 1) -> None:
        """Counts something for a note.

        Args:
            text: what was seen; "{}" in it becomes the number of times.
            where: of the first such thing the note says where it is.
            count: how often it was seen.
        """
        self.seen[text] += count
        self._first_of.setdefault(text, where)

    def locate(self, name: str, where: str) -> str | None:
        """Finds the image that an annotation names.

        Args:
            name: as there: a path, absolute or relative to some folder, or a bare name.
            where: the annotation, for messages and notes.

        Returns:
            its path, or None if there is no such image.
        """
        path, way = self._folder.locate(name, where)
        if way:
            what, _, done = way.partition(":")
            self.note(f"{what} for {{}} images:{done}", where)
        return path

    def add(self, image: SourceImage) -> None:
        """Adds an image."""
        self.images.append(image)
        if not image.num_bytes:
            # One spelling of each path.
            self._paths.append(os.path.normpath(image.image_path))

    def miss(
        self,
        file: str,
        source_id: str,
        problem: str,
        names: Sequence[str] = (),
        reason: str = MISSING_IMAGE,
    ) -> None:
        """Leaves out an image, or stops, as --bad_images says.

        Args:
            file: the annotation, for messages.
            source_id: of the image.
            problem: what is wrong with it.
            names: the class of each object that is lost with it.
            reason: of the reject.

        Raises:
            InputError: ``policies.bad_images`` is fail.
        """
        if self.policies.bad_images == "fail":
            raise InputError(f"{file}: {problem}; correct it, or pass --bad_images=drop")
        self._lost.update(names)
        self.rejects.append(
            Reject(file, source_id, reason, DROPPED, detail=problem, num_objects=len(names))
        )

    def unannotated(self, name: str, path: str, what: str, usual: str) -> None:
        """Takes an image that has no annotations as --unannotated says.

        Args:
            name: its path in the folder, which becomes its source_id.
            path: its path.
            what: what it has none of, as "label file".
            usual: skip or negative: what is done unless the user says otherwise.

        Raises:
            InputError: ``policies.unannotated`` is fail.
        """
        chosen = self.policies.for_unannotated(usual)
        if chosen == "fail":
            raise InputError(
                f"{path}: has no {what}; add one, or pass --unannotated=skip or "
                "--unannotated=negative"
            )
        source_id = printable(name)
        if chosen == "skip":
            self.note(f"images without a {what}: {{}}, skipped", path)
            self.rejects.append(Reject(path, source_id, UNANNOTATED, DROPPED))
        else:
            self.note(f"images without a {what}: {{}}, converted without objects", path)
            self.add(SourceImage(source_id, path, path))

    def sound(self, index: int, name: str, box: Box, **flags: bool) -> SourceObject:
        """Makes an object; ``flags`` are difficult, truncated, occluded and crowd."""
        item = SourceObject(index, name, box, flaw=degeneracy(box))
        changes: dict[str, Any] = {kind: True for kind, value in flags.items() if value}
        return dataclasses.replace(item, **changes) if changes else item

    def boxless(self, index: int, name: str, where: str, problem: str) -> SourceObject:
        """Makes an object whose box cannot be read, or stops, as --bad_boxes says.

        Args:
            index: the object's number.
            name: its class.
            where: its place, for the message.
            problem: what is wrong, and what it must be.

        Raises:
            InputError: ``policies.bad_boxes`` is fail.
        """
        if self.policies.bad_boxes == "fail":
            raise InputError(f"{where}: {problem}; correct it, or pass --bad_boxes=drop")
        self.note("objects whose box cannot be read: {}", f"{where}: {problem}")
        return SourceObject(index, name, NO_BOX, flaw=NOT_FINITE)

    def unknown_class(self, index: int, where: str, source_id: str, problem: str) -> None:
        """Drops an object whose class the layout's own list lacks, or stops.

        Args:
            index: the object's number.
            where: its place, for messages.
            source_id: of its image.
            problem: what its class is, and what it must be.

        Raises:
            InputError: ``policies.unknown_classes`` is fail.
        """
        if self.policies.unknown_classes == "fail":
            raise InputError(f"{where}: {problem}; correct it, or pass --unknown_classes=drop")
        self.rejects.append(Reject(where, source_id, UNKNOWN_CLASS, DROPPED, index, detail=problem))

    def enclosed(
        self, item: SourceObject, where: str, source_id: str, reason: str = POLYGON
    ) -> None:
        """Records that the box of ``item`` is that around a shape of another kind."""
        self.rejects.append(
            Reject(where, source_id, reason, ENCLOSED, item.index, item.name, item.box)
        )

    def skipped(self, index: int, name: str, where: str, source_id: str, reason: str) -> None:
        """Records that something that is no region, such as a point, has been passed over."""
        self.rejects.append(Reject(where, source_id, reason, "skipped", index, name))

    def result(
        self,
        origin: Mapping[str, object],
        category_ids: Mapping[str, int] | None = None,
        notes: Iterable[str] = (),
    ) -> SourceSet:
        """Returns what has been collected.

        Args:
            origin: where it comes from, for the manifest.
            category_ids: {class name: number} of the layout's own list, if it has one.
            notes: further lines for the user.

        Raises:
            InputError: two annotations are of the same image file.
        """
        if twice := self._paths.repeated_keys():
            raise InputError(
                f"{twice[0]}: is annotated in two places; an image may be listed only once"
            )
        return SourceSet(
            images=self.images,
            origin=origin,
            category_ids=category_ids or {},
            notes=tuple(map(printable, [*notes, *self._counted()])),
            rejects=self.rejects,
            lost=self._lost,
        )

    def _counted(self) -> Iterable[str]:
        for text, count in sorted(self.seen.items()):
            first = self._first_of[text]
            yield text.replace("{}", str(count)) + (f" ({first})" if first else "")
