"""A folder of VOC XML and one of images: which image belongs to which XML, and what has none."""

import bisect
import functools
import json
import os
from dataclasses import dataclass

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
from ssd_tfrecord.records.sources.voc_xml import parse_voc_xml

UNANNOTATED, MISSING_IMAGE = "unannotated", "missing_image"

# Names of image files by themselves.
_PATHS = Codec(str, json.dumps, json.loads)


class Found:
    """What several readers of one set have gathered."""

    def __init__(self):
        self.images, self.rejects = Spool(spool.IMAGES), Spool(spool.REJECTS)


@dataclass(frozen=True)
class Reading:
    """How XML is read, in ``read_devkit``'s words."""

    pixel_origin: int
    unannotated: str
    bad_images: str
    workers: int


class VocFolder:
    """Reads one folder of XML and one of images into ``found``; ``prefix`` begins a source_id."""

    def __init__(
        self,
        annotations_dir: str,
        images_dir: str,
        reading: Reading,
        found: Found,
        prefix: str = "",
    ):
        self._annotations_dir, self._folder = annotations_dir, ImageFolder(images_dir)
        self._reading, self._unannotated = reading, reading.unannotated
        self._found, self._prefix, self._notes = found, prefix, []
        # How images were found, where not by <filename>: {how: [XML files, the first one]}.
        self._ways = {}
        self._num_read = 0
        self._paths = Spool(_PATHS)

    def read_listed(self, stems, where):
        """``where`` is the flag and file that the stems are from."""
        files = (self._xml_of(stem, where) for stem in stems)
        if self._unannotated == "skip" and not any(is_file(path) for _, path in files):
            self._notes.append(
                f"no image has an XML in {self._annotations_dir}: converted without objects"
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

    def read_all(self, flag):
        """Every XML, and the images that none of them has."""
        folder = self._annotations_dir
        names = files_below(folder, (".xml",))
        if not names and self._unannotated != "negative":
            raise InputError(f"{flag}={folder}: must hold .xml files")
        xml_of = functools.partial(_split, folder)
        for stem, path, content in self._parsed(names, xml_of, parse_voc_xml):
            self._take(path, stem, content)
        missing = 0
        for name in self._folder.names():
            stem = os.path.splitext(name)[0]
            if not (_has_xml(names, stem) or self._is_taken(name)):
                path = self._folder.path(name, flag)
                self._take_unannotated(stem, path, path)
                missing += 1
        self._note_unannotated(missing, missing + len(names))

    def _parsed(self, names, place, parse):
        """Yields (stem, path, what ``parse`` makes of that) of each name, under a bar; ``place``
        gives the first two.
        """
        number = workers.choose_number(self._reading.workers, len(names), len(names))
        parse = functools.partial(parse, pixel_origin=self._reading.pixel_origin)
        paths = (path for _, path in map(place, names))
        with bar(len(names), " XML", "annotations") as progress:
            for (stem, path), content in zip(
                map(place, names), workers.map_in_order(parse, paths, number)
            ):
                yield stem, path, content
                progress.update()

    def _is_taken(self, name):
        path = os.path.normpath(os.path.join(self._folder.folder, name))
        return bool(self._paths.of_key(path))

    def all_notes(self):
        """Lines for the user of what may not be expected."""
        found = [
            f"{how.split(':')[0]} in {count} of {self._num_read} XML files ({first}):"
            f"{how.split(':')[1]}"
            for how, (count, first) in sorted(self._ways.items())
        ]
        if shared := self._paths.repeated_keys():
            found.append(f"{len(shared)} images have several XML files ({shared[0]})")
        return [printable(note) for note in self._notes + found]

    def _xml_of(self, stem, where):
        """(stem, path); lists of files rather than stems are common."""
        path = path_inside(self._annotations_dir, stem, where) + ".xml"
        bare, suffix = os.path.splitext(stem)
        if suffix.lower() in (*IMAGE_SUFFIXES, ".xml") and not is_file(path):
            return bare, os.path.join(self._annotations_dir, bare) + ".xml"
        return stem, path

    def _take(self, path, stem, content):
        source_id = printable(self._prefix + stem)
        image_path, how = self._folder.find(content.filename, stem, path)
        self._num_read += 1
        if how:
            self._ways.setdefault(how, [0, path])[0] += 1
        if image_path is None:
            self._miss(path, source_id, stem, content.filename, len(content.objects))
        else:
            self._add(SourceImage(source_id, image_path, path, content.size, content.objects))

    def _add(self, image):
        self._found.images.append(image)
        self._paths.append(os.path.normpath(image.image_path))

    def _miss(self, path, source_id, stem, filename="", num_objects=0):
        if self._reading.bad_images == "fail":
            wanted = f"neither {filename!r} nor {stem!r}" if filename else f"no {stem!r}"
            raise InputError(
                f"{path}: {wanted} with a suffix of {', '.join(IMAGE_SUFFIXES)} is in "
                f"{self._folder.folder}; or pass --bad_images=drop"
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

    def _take_unannotated(self, stem, file, image_path=None):
        source_id = printable(self._prefix + stem)
        if self._unannotated == "fail":
            raise InputError(
                f"{file}: has no XML in {self._annotations_dir}: must have one; or pass "
                "--unannotated=skip or negative"
            )
        if self._unannotated == "skip":
            self._found.rejects.append(Reject(file, source_id, UNANNOTATED, DROPPED))
            return
        image_path = image_path or self._folder.find("", stem, file)[0]
        if image_path is None:
            self._miss(file, source_id, stem)
        else:
            self._add(SourceImage(source_id, image_path, file))

    def _note_unannotated(self, missing, total):
        if missing and not self._notes:
            done = "skipped" if self._unannotated == "skip" else "converted without objects"
            self._notes.append(f"{missing} of {total} images have no XML: {done}")


def _split(folder, name):
    return os.path.splitext(name)[0], os.path.join(folder, name)


def _has_xml(names, stem):
    """Whether one of ``names``, which are sorted, is the stem's; a set would double the memory."""
    return any(
        bisect.bisect_left(names, name) != bisect.bisect_right(names, name)
        for name in (stem + ".xml", stem + ".XML")
    )


def _parse_if_there(path, pixel_origin):
    """None where there is no file; a link to nothing or a file that may not be read is one."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        pass  # parsing says what it is
    return parse_voc_xml(path, pixel_origin)
