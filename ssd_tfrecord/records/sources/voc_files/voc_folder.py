"""A folder of VOC XML and one of images: which image belongs to which XML, and which has none."""

import bisect
import collections
import dataclasses
import functools
import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.image_suffixes import IMAGE_SUFFIXES
from ssd_tfrecord.records.processes import workers
from ssd_tfrecord.records.processes.progress import bar
from ssd_tfrecord.records.rejects import DROPPED, MISSING_IMAGE, UNANNOTATED, Reject
from ssd_tfrecord.records.sources import spool
from ssd_tfrecord.records.sources.file_tree import FileTree, leads_outside, link_note, plain, short
from ssd_tfrecord.records.sources.paths import ImageFolder, printable
from ssd_tfrecord.records.sources.source_set import SourceImage
from ssd_tfrecord.records.sources.spool import Codec, Spool
from ssd_tfrecord.records.sources.voc_files.image_list import split_pair, without_labels
from ssd_tfrecord.records.sources.voc_files.voc_notes import VocNotes, counted
from ssd_tfrecord.records.sources.voc_files.voc_xml import VocFile, parse_voc_xml

# Paths of image files, found by themselves.
_PATHS: Codec[str] = Codec(str, json.dumps, json.loads)


class Found:
    """What the readers of one set have found together; ``lost`` is as of SourceSet."""

    def __init__(self) -> None:
        self.images, self.rejects = Spool(spool.IMAGES), Spool(spool.REJECTS)
        self.lost: collections.Counter[str] = collections.Counter()


@dataclass(frozen=True)
class Reading:
    """How XML is read; the fields are arguments of ``read_devkit``."""

    pixel_origin: int
    unannotated: str
    bad_images: str
    workers: int
    links: str


class _Place(NamedTuple):
    """Where one image's annotations are: an XML's stem and path, "" if there is none.

    ``listed`` is what a list calls it, and ``image`` what the list calls its image; or "".
    """

    stem: str
    path: str
    listed: str = ""
    image: str = ""


class VocFolder:
    """Reads one folder of XML and one of images into ``found``; ``prefix`` begins source_ids."""

    def __init__(
        self,
        annotations_dir: str,
        images_dir: str,
        reading: Reading,
        found: Found,
        prefix: str = "",
    ) -> None:
        self._annotations_dir = annotations_dir
        self._xml = FileTree(annotations_dir, (".xml",), reading.links)
        self._folder = ImageFolder(images_dir, reading.links)
        self._reading, self._unannotated = reading, reading.unannotated
        self._found, self._prefix = found, prefix
        self._notes: list[str] = []
        self._counts = VocNotes()
        self._paths = Spool(_PATHS)

    def read_listed(self, lines: Sequence[str], where: str) -> None:
        """Reads the XML of images that a file lists.

        Args:
            lines: what the file lists: stems, names or paths of images or XML, or both in pairs.
            where: the flag and the file, for messages.

        Raises:
            InputError: an XML or image is missing or faulty, or a name may be that of several.
        """
        place = functools.partial(self._place, where=where)
        names = without_labels(
            lines,
            lambda name: bool(self._exact(name)),
            lambda name: bool(place(name).path),
            lambda name: bool(self._folder.tree.near(name)),
        )
        self._expect_xml(names, place, where)
        missing, elsewhere, first = 0, 0, ""
        for item, content in self._parsed(names, place):
            if content is None:
                self._take_unannotated(item)
                missing += 1
                continue
            self._take(item, content)
            if plain(item.stem) not in (plain(item.listed), plain(_without_suffix(item.listed))):
                elsewhere, first = elsewhere + 1, first or item.listed
        if elsewhere:
            self._notes.append(
                f"{elsewhere} of {counted(len(names), 'listed name')} ({first}) "
                f"{'is' if elsewhere == 1 else 'are'} not in {self._annotations_dir} under that "
                "path: used the only XML of that name"
            )
        self._note_unannotated(missing, len(names))

    def read_all(self, where: str) -> None:
        """Reads every XML, and the images that belong to none.

        Args:
            where: the flag and the folder, for messages.

        Raises:
            InputError: there is no XML, or an XML or image is missing or faulty.
        """
        names = self._xml.names()
        if not names and self._unannotated != "negative":
            raise InputError(f"{where}: must contain .xml files{self._hint()}")
        for item, content in self._parsed(names, self._split):
            if content is not None:
                self._take(item, content)
        missing = 0
        for name in self._folder.names():
            stem = os.path.splitext(name)[0]
            # By name, or by an XML of another name whose <filename> led to it.
            if not (_has_xml(names, stem) or self._is_taken(name)):
                path = os.path.join(self._folder.folder, name)
                # With its path: a search by stem might find another image, as a.jpg for a.png.
                self._take_unannotated(_Place(stem, ""), path)
                missing += 1
        self._note_unannotated(missing, missing + len(names))

    def all_notes(self) -> list[str]:
        """Returns lines for the user about what may be unexpected."""
        found = [*self._notes, *self._counts.lines()]
        if shared := self._paths.repeated_keys():
            found.append(f"images with several XML files: {len(shared)} ({shared[0]})")
        if links := link_note(self._xml.refused | self._folder.tree.refused):
            found.append(links)
        return [printable(note) for note in found]

    def _parsed(
        self, names: Sequence[str], place: Callable[[str], _Place]
    ) -> Iterator[tuple[_Place, VocFile | None]]:
        """Parses XML in worker processes, under a progress bar.

        Args:
            names: what the XML files are known by, in any form that ``place`` accepts.
            place: returns where the XML of a name is.

        Yields:
            (place, content) for each name; None if it has no XML.
        """
        number = workers.choose_number(self._reading.workers, len(names), len(names))
        parse = functools.partial(_parse_if_there, pixel_origin=self._reading.pixel_origin)
        # Workers read a few chunks ahead, which wait here for the results.
        places, ahead = itertools.tee(map(place, names))
        paths = (item.path for item in ahead)
        with bar(len(names), " XML", "annotations") as progress:
            for found in zip(places, workers.map_in_order(parse, paths, number)):
                yield found
                progress.update()

    def _split(self, name: str) -> _Place:
        return _Place(os.path.splitext(name)[0], os.path.join(self._annotations_dir, name))

    def _place(self, line: str, where: str) -> _Place:
        """Finds the XML of a line of a list."""
        image, name = split_pair(line, where)
        name = name.replace("\\", "/").removeprefix("./")
        if exact := self._exact(name):
            return exact._replace(image=image)
        stem = _without_suffix(name)
        found = self._xml.search(stem + ".xml", where)
        if found:
            return self._split(found)._replace(listed=name, image=image)
        stem = stem.rpartition("/")[2] if leads_outside(stem) else stem
        return _Place(stem, "", name, image)

    def _exact(self, name: str) -> _Place | None:
        # The whole name first: there may be an a.jpg.xml, whose stem is a.jpg.
        for stem in dict.fromkeys((name, _without_suffix(name))):
            if path := self._xml.path_of(stem + ".xml"):
                return _Place(stem, path, name)
        return None

    def _expect_xml(self, names: Sequence[str], place: Callable[[str], _Place], where: str) -> None:
        """Decides what it means if none of ``names`` has an XML: no annotations, or a mistake."""
        # any() stops at the first XML.
        if self._unannotated != "skip" or any(place(name).path for name in names):
            return
        others = self._xml.names()
        if others or self._xml.refused:
            example = f", which has {short(others[0])} and others" if others else ""
            raise InputError(
                f"{where}: none of its {counted(len(names), 'name')} ({short(names[0])} and so on) "
                f"has an XML in {self._annotations_dir}{example}; correct the list, or pass "
                f"--unannotated=negative to convert all without objects{self._hint()}"
            )
        # A set was published so, VOC2012 test: skipping its images would leave nothing.
        self._notes.append(
            f"no image has an XML in {self._annotations_dir}; all are converted without objects"
        )
        self._unannotated = "negative"

    def _hint(self) -> str:
        note = link_note(self._xml.refused)
        return note and f"; {note}"

    def _is_taken(self, name: str) -> bool:
        path = os.path.normpath(os.path.join(self._folder.folder, name))
        return bool(self._paths.of_key(path))

    def _take(self, place: _Place, content: VocFile) -> None:
        path, how = None, ""
        if place.image:
            path, _ = self._folder.locate(place.image, place.path)
        if path is None:
            path, how = self._folder.find(content.filename, place.stem, place.path)
        self._counts.add(place.path, how, content.odd)
        if path is None:
            self._miss(place, place.path, content)
            return
        source_id = printable(self._prefix + place.stem)
        for reject in content.rejects:
            self._found.rejects.append(dataclasses.replace(reject, source_id=source_id))
        self._add(SourceImage(source_id, path, place.path, content.size, content.objects))

    def _add(self, image: SourceImage) -> None:
        self._found.images.append(image)
        # One spelling of each path: <filename> may be ./a.jpg.
        self._paths.append(os.path.normpath(image.image_path))

    def _miss(self, place: _Place, file: str, content: VocFile) -> None:
        filename, stem, folder = content.filename, place.stem, self._folder
        if self._reading.bad_images == "fail":
            wanted = f"neither {short(filename)} nor {short(stem)}" if filename else f"no {stem!r}"
            raise InputError(
                f"{file}: {wanted} with a suffix of {', '.join(IMAGE_SUFFIXES)} is in "
                f"{folder.folder}; add the image, or pass --bad_images=drop{folder.hint()}"
            )
        names = f"{short(filename)} and {short(stem)}" if filename else repr(stem)
        self._found.lost.update(item.name for item in content.objects)
        self._found.rejects.append(
            Reject(
                file,
                printable(self._prefix + stem),
                MISSING_IMAGE,
                DROPPED,
                detail=f"looked for {names}{folder.hint()}",
                num_objects=len(content.objects),
            )
        )

    def _take_unannotated(self, place: _Place, image_path: str = "") -> None:
        """Takes an image without XML; ``image_path`` is "" if only a list knows of it."""
        source_id = printable(self._prefix + place.stem)
        file = image_path or os.path.join(self._annotations_dir, place.stem) + ".xml"
        if self._unannotated == "fail":
            raise InputError(
                f"{file}: has no XML in {self._annotations_dir}; add one, or pass "
                f"--unannotated=skip or --unannotated=negative{self._hint()}"
            )
        if self._unannotated == "skip":
            self._found.rejects.append(Reject(file, source_id, UNANNOTATED, DROPPED))
            return
        path: str | None = image_path
        if not image_path:
            path, _ = self._folder.find(place.image or place.listed, place.stem, file)
        if path is None:
            self._miss(place, file, VocFile("", None, ()))
        else:
            self._add(SourceImage(source_id, path, file))

    def _note_unannotated(self, missing: int, total: int) -> None:
        # Unless the note of a set without any XML says so already.
        if missing and self._unannotated == self._reading.unannotated:
            done = "skipped" if self._unannotated == "skip" else "converted without objects"
            have = "has" if missing == 1 else "have"
            self._notes.append(f"{missing} of {counted(total, 'image')} {have} no XML: {done}")


def _without_suffix(name: str) -> str:
    """Returns the stem that a list means by a name, which may be that of an image or XML."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in (*IMAGE_SUFFIXES, ".xml") else name


def _has_xml(names: Sequence[str], stem: str) -> bool:
    """Returns whether one of ``names``, which are sorted, is the stem's XML."""
    # By bisection: a set of the names would double the memory.
    return any(
        bisect.bisect_left(names, name) != bisect.bisect_right(names, name)
        for name in (stem + ".xml", stem + ".XML", stem + ".Xml")
    )


def _parse_if_there(path: str, pixel_origin: int) -> VocFile | None:
    """Parses an XML; returns None for the path ""."""
    return parse_voc_xml(path, pixel_origin) if path else None
