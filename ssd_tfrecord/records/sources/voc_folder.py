"""A folder of VOC XML and one of images: which image belongs to which XML, and which has none."""

import bisect
import collections
import functools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.processes import workers
from ssd_tfrecord.records.processes.progress import bar
from ssd_tfrecord.records.rejects import DROPPED, Reject
from ssd_tfrecord.records.sources import spool
from ssd_tfrecord.records.sources.paths import (
    IMAGE_SUFFIXES,
    ImageFolder,
    files_below,
    is_file,
    path_inside,
    printable,
)
from ssd_tfrecord.records.sources.source_set import SourceImage
from ssd_tfrecord.records.sources.spool import Codec, Spool
from ssd_tfrecord.records.sources.voc_xml import VocFile, parse_voc_xml

UNANNOTATED, MISSING_IMAGE = "unannotated", "missing_image"

# What parsing returns: a VocFile, or None as well if XML may be missing.
Content = TypeVar("Content")

# Paths of image files, found by themselves.
_PATHS: Codec[str] = Codec(str, json.dumps, json.loads)


class Found:
    """What the readers of one set have found together."""

    def __init__(self) -> None:
        self.images, self.rejects = Spool(spool.IMAGES), Spool(spool.REJECTS)


@dataclass(frozen=True)
class Reading:
    """How XML is read; the fields are arguments of ``read_devkit``."""

    pixel_origin: int
    unannotated: str
    bad_images: str
    workers: int


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
        self._annotations_dir, self._folder = annotations_dir, ImageFolder(images_dir)
        self._reading, self._unannotated = reading, reading.unannotated
        self._found, self._prefix = found, prefix
        self._notes: list[str] = []
        # For images not found by <filename>: how often each other way was taken, and the first XML.
        self._ways: collections.Counter[str] = collections.Counter()
        self._first_of: dict[str, str] = {}
        self._num_read = 0
        self._paths = Spool(_PATHS)

    def read_listed(self, stems: Sequence[str], where: str) -> None:
        """Reads the XML of images that a file lists.

        Args:
            stems: what the file lists.
            where: the flag and the file, for messages.

        Raises:
            InputError: an XML or image is missing or faulty.
        """
        # A set without any XML was published so, as VOC2012 test: skipping its images would leave
        # nothing. The generator lets any() stop at the first XML that exists.
        files = (self._xml_of(stem, where) for stem in stems)
        if self._unannotated == "skip" and not any(is_file(path) for _, path in files):
            self._notes.append(
                f"no image has an XML in {self._annotations_dir}; all are converted without objects"
            )
            self._unannotated = "negative"
        missing = 0
        xml_of = functools.partial(self._xml_of, where=where)
        for stem, path, content in self._parsed(stems, xml_of, _parse_if_there):
            if content is None:
                self._take_unannotated(stem, path)
                missing += 1
            else:
                self._take(path, stem, content)
        self._note_unannotated(missing, len(stems))

    def read_all(self, flag: str) -> None:
        """Reads every XML, and the images that belong to none.

        Args:
            flag: what named the folder, for messages.

        Raises:
            InputError: there is no XML, or an XML or image is missing or faulty.
        """
        folder = self._annotations_dir
        names = files_below(folder, (".xml",))
        if not names and self._unannotated != "negative":
            raise InputError(f"{flag}={folder}: must contain .xml files")
        xml_of = functools.partial(_split, folder)
        for stem, path, content in self._parsed(names, xml_of, parse_voc_xml):
            self._take(path, stem, content)
        missing = 0
        for name in self._folder.names():
            stem = os.path.splitext(name)[0]
            # By name, or by an XML of another name whose <filename> led to it.
            if not (_has_xml(names, stem) or self._is_taken(name)):
                path = self._folder.path(name, flag)
                # With its path: a search by stem might find another image, as a.jpg for a.png.
                self._take_unannotated(stem, path, path)
                missing += 1
        self._note_unannotated(missing, missing + len(names))

    def _parsed(
        self,
        names: Sequence[str],
        place: Callable[[str], tuple[str, str]],
        parse: Callable[..., Content],
    ) -> Iterator[tuple[str, str, Content]]:
        """Parses XML in worker processes, under a progress bar.

        Args:
            names: what the XML files are known by, in any form that ``place`` accepts.
            place: returns the stem and path that belong to a name.
            parse: called in the workers, with a path and ``pixel_origin``.

        Yields:
            (stem, path, what ``parse`` returned) for each name.
        """
        number = workers.choose_number(self._reading.workers, len(names), len(names))
        parse = functools.partial(parse, pixel_origin=self._reading.pixel_origin)
        # Made a second time for zip() below: the workers read ahead, and results come in order.
        paths = (path for _, path in map(place, names))
        with bar(len(names), " XML", "annotations") as progress:
            for (stem, path), content in zip(
                map(place, names), workers.map_in_order(parse, paths, number)
            ):
                yield stem, path, content
                progress.update()

    def _is_taken(self, name: str) -> bool:
        path = os.path.normpath(os.path.join(self._folder.folder, name))
        return bool(self._paths.of_key(path))

    def all_notes(self) -> list[str]:
        """Returns lines for the user about what may be unexpected."""
        found = [
            f"{how.split(':')[0]} in {count} of {self._num_read} XML files ({self._first_of[how]}):"
            f"{how.split(':')[1]}"
            for how, count in sorted(self._ways.items())
        ]
        if shared := self._paths.repeated_keys():
            found.append(f"images with several XML files: {len(shared)} ({shared[0]})")
        return [printable(note) for note in self._notes + found]

    def _xml_of(self, stem: str, where: str) -> tuple[str, str]:
        """Returns (stem, path) of a listed image; many lists have file names rather than stems."""
        path = path_inside(self._annotations_dir, stem, where) + ".xml"
        # Unless there is an a.jpg.xml, whose stem is a.jpg.
        bare, suffix = os.path.splitext(stem)
        if suffix.lower() in (*IMAGE_SUFFIXES, ".xml") and not is_file(path):
            return bare, os.path.join(self._annotations_dir, bare) + ".xml"
        return stem, path

    def _take(self, path: str, stem: str, content: VocFile) -> None:
        source_id = printable(self._prefix + stem)
        image_path, how = self._folder.find(content.filename, stem, path)
        self._num_read += 1
        if how:
            self._ways[how] += 1
            self._first_of.setdefault(how, path)
        if image_path is None:
            self._miss(path, source_id, stem, content.filename, len(content.objects))
        else:
            self._add(SourceImage(source_id, image_path, path, content.size, content.objects))

    def _add(self, image: SourceImage) -> None:
        self._found.images.append(image)
        # One spelling of each path: <filename> may be ./a.jpg.
        self._paths.append(os.path.normpath(image.image_path))

    def _miss(
        self, path: str, source_id: str, stem: str, filename: str = "", num_objects: int = 0
    ) -> None:
        if self._reading.bad_images == "fail":
            wanted = f"neither {filename!r} nor {stem!r}" if filename else f"no {stem!r}"
            raise InputError(
                f"{path}: {wanted} with a suffix of {', '.join(IMAGE_SUFFIXES)} is in "
                f"{self._folder.folder}; add the image, or pass --bad_images=drop"
            )
        names = f"{filename!r} and {stem!r}" if filename else repr(stem)
        self._found.rejects.append(
            Reject(
                path,
                source_id,
                MISSING_IMAGE,
                DROPPED,
                detail=f"looked for {names}",
                num_objects=num_objects,
            )
        )

    def _take_unannotated(self, stem: str, file: str, image_path: str | None = None) -> None:
        source_id = printable(self._prefix + stem)
        if self._unannotated == "fail":
            raise InputError(
                f"{file}: has no XML in {self._annotations_dir}; add one, or pass "
                "--unannotated=skip or --unannotated=negative"
            )
        if self._unannotated == "skip":
            self._found.rejects.append(Reject(file, source_id, UNANNOTATED, DROPPED))
            return
        image_path = image_path or self._folder.find("", stem, file)[0]
        if image_path is None:
            self._miss(file, source_id, stem)
        else:
            self._add(SourceImage(source_id, image_path, file))

    def _note_unannotated(self, missing: int, total: int) -> None:
        # Unless the note of a set without any XML says so already.
        if missing and not self._notes:
            done = "skipped" if self._unannotated == "skip" else "converted without objects"
            self._notes.append(f"{missing} of {total} images have no XML: {done}")


def _split(folder: str, name: str) -> tuple[str, str]:
    return os.path.splitext(name)[0], os.path.join(folder, name)


def _has_xml(names: Sequence[str], stem: str) -> bool:
    """Returns whether one of ``names``, which are sorted, is the stem's XML."""
    # By bisection: a set of the names would double the memory.
    return any(
        bisect.bisect_left(names, name) != bisect.bisect_right(names, name)
        for name in (stem + ".xml", stem + ".XML")
    )


def _parse_if_there(path: str, pixel_origin: int) -> VocFile | None:
    """Parses an XML, or returns None if there is no such file.

    A link to nothing counts as a file, and so does a file that may not be read.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        pass  # parsing reports what is wrong
    return parse_voc_xml(path, pixel_origin)
