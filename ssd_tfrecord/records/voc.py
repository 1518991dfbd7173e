"""Pascal VOC: the image sets of a VOCdevkit, or any folder of XML."""

import json
import os
import re

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records import spool
from ssd_tfrecord.records.annotation import DROPPED, Reject, SourceImage, SourceSet
from ssd_tfrecord.records.paths import (
    IMAGE_SUFFIXES,
    ImageFolder,
    files_below,
    path_inside,
    printable,
)
from ssd_tfrecord.records.progress import bar
from ssd_tfrecord.records.spool import Codec, Spool
from ssd_tfrecord.records.voc_xml import parse_voc_xml

UNANNOTATED, MISSING_IMAGE = "unannotated", "missing_image"


def read_devkit(
    voc_root: str, sets, pixel_origin: int = 1, unannotated: str = "skip", bad_images: str = "fail"
) -> SourceSet:
    """The union of image sets, each named year_set: 2007_trainval is
    VOC2007/ImageSets/Main/trainval.txt, and 2007 is every XML of VOC2007/Annotations. source_id is
    VOC2007/000001.

    Args:
      unannotated: skip, negative or fail: listed images without an XML. A set that has none at all
        (VOC2012 test) comes without objects unless it is ``fail``.
      bad_images: fail, drop or repair: XML whose image is missing.

    Raises: InputError for a missing or damaged file, and for an image that is in two sets.
    """
    found, notes = _Found(), []
    for name in sets:
        year, _, image_set = name.partition("_")
        folder = os.path.join(voc_root, "VOC" + year)
        flag = f"--sets={name}"
        reader = _Reader(
            found,
            os.path.join(folder, "Annotations"),
            os.path.join(folder, "JPEGImages"),
            pixel_origin=pixel_origin,
            unannotated=unannotated,
            bad_images=bad_images,
            prefix=f"VOC{year}/",
        )
        lists = os.path.join(folder, "ImageSets", "Main")
        path = os.path.join(lists, image_set + ".txt")
        if image_set:
            reader.read_listed(_read_image_set(flag, path), f"{flag}: {path}")
        else:
            reader.read_all(flag)
        notes += [f"{name}: {note}" for note in reader.all_notes()]
    return _source_set(found, notes, pixel_origin, voc_root=voc_root, sets=list(sets))


def read_folder(
    annotations_dir: str,
    images_dir: str,
    image_set: str = "",
    pixel_origin: int = 1,
    unannotated: str = "skip",
    bad_images: str = "fail",
) -> SourceSet:
    """Every XML of ``annotations_dir`` and its sub-folders, or those that ``image_set`` (a file, a
    stem a line) names.

    source_id is the stem. Without ``image_set``, ``unannotated`` is for the images of
    ``images_dir`` that no XML has. Arguments and errors as ``read_devkit``.
    """
    for flag, folder in (("annotations_dir", annotations_dir), ("images_dir", images_dir)):
        if not os.path.isdir(folder):
            raise InputError(f"--{flag}={folder}: must be a folder")
    found = _Found()
    reader = _Reader(
        found,
        annotations_dir,
        images_dir,
        pixel_origin=pixel_origin,
        unannotated=unannotated,
        bad_images=bad_images,
    )
    if image_set:
        stems = _read_image_set("--image_set", image_set)
        reader.read_listed(stems, f"--image_set: {image_set}")
    else:
        reader.read_all("--annotations_dir")
    origin = {"annotations_dir": annotations_dir, "images_dir": images_dir, "image_set": image_set}
    return _source_set(found, reader.all_notes(), pixel_origin, **origin)


def _source_set(found, notes, pixel_origin, **origin):
    if repeated := found.images.repeated_keys():
        raise InputError(f"{repeated[0]}: is listed twice: must be in one set, once")
    return SourceSet(
        images=found.images,
        origin=origin,
        pixel_origin=pixel_origin,
        notes=tuple(notes),
        rejects=found.rejects,
    )


def _read_image_set(flag, path):
    """Stems, which may hold spaces: files of one class have a second column, of -1, 0 or 1."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file if line.strip()]
    except FileNotFoundError:
        raise InputError(f"{flag}: no {path}{_others(os.path.dirname(path))}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{flag}: {path} cannot be read: {error}") from None
    if not lines:
        raise InputError(f"{flag}: {path} is empty: must have an image's stem a line")
    columns = [re.fullmatch(r"(.*\S)\s+(?:-1|0|1)", line) for line in lines]
    return [match[1] for match in columns] if all(columns) else lines


def _others(folder):
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    names = [name for name in names if name.endswith(".txt")]
    return f"; there are {', '.join(names)}" if names else ""


# Names of image files by themselves.
_PATHS = Codec(str, json.dumps, json.loads)


class _Found:
    """What several readers of one set have gathered."""

    def __init__(self):
        self.images, self.rejects = Spool(spool.IMAGES), Spool(spool.REJECTS)


class _Reader:
    """Reads one folder of XML and one of images."""

    def __init__(
        self,
        found,
        annotations_dir,
        images_dir,
        *,
        pixel_origin,
        unannotated,
        bad_images,
        prefix="",
    ):
        self._found, self._notes = found, []
        self._annotations_dir, self._folder = annotations_dir, ImageFolder(images_dir)
        self._pixel_origin, self._prefix = pixel_origin, prefix
        self._unannotated, self._bad_images = unannotated, bad_images
        # How images were found, where not by <filename>: {how: [XML files, the first one]}.
        self._ways = {}
        self._num_read = 0
        self._paths = Spool(_PATHS)

    def read_listed(self, stems, where):
        """``where`` is the flag and file that the stems are from."""
        files = (self._xml_of(stem, where) for stem in stems)
        if self._unannotated == "skip" and not any(os.path.isfile(path) for _, path in files):
            self._notes.append(
                f"no image has an XML in {self._annotations_dir}: converted without objects"
            )
            self._unannotated = "negative"
        missing = 0
        with bar(len(stems), " XML", "annotations") as progress:
            for stem, path in (self._xml_of(stem, where) for stem in stems):
                if os.path.isfile(path):
                    self._read(path, stem)
                else:
                    self._take_unannotated(stem, path)
                    missing += 1
                progress.update()
        self._note_unannotated(missing, len(stems))

    def read_all(self, flag):
        """Every XML, and the images that none of them has."""
        folder = self._annotations_dir
        names = files_below(folder, (".xml",))
        if not names and self._unannotated != "negative":
            raise InputError(f"{flag}={folder}: must hold .xml files")
        with bar(len(names), " XML", "annotations") as progress:
            for name in names:
                self._read(os.path.join(folder, name), os.path.splitext(name)[0])
                progress.update()
        stems = {os.path.splitext(name)[0] for name in names}
        missing = 0
        for name in self._folder.names():
            stem = os.path.splitext(name)[0]
            if stem not in stems and not self._is_taken(name):
                path = self._folder.path(name, flag)
                self._take_unannotated(stem, path, path)
                missing += 1
        self._note_unannotated(missing, missing + len(names))

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
        if suffix.lower() in (*IMAGE_SUFFIXES, ".xml") and not os.path.isfile(path):
            return bare, os.path.join(self._annotations_dir, bare) + ".xml"
        return stem, path

    def _read(self, path, stem):
        source_id = printable(self._prefix + stem)
        content = parse_voc_xml(path, self._pixel_origin)
        image_path, how = self._folder.find(content.filename, stem, path)
        self._num_read += 1
        if how:
            self._ways.setdefault(how, [0, path])[0] += 1
        if image_path is None:
            self._miss(path, source_id, content.filename, stem)
        else:
            self._add(SourceImage(source_id, image_path, path, content.size, content.objects))

    def _add(self, image):
        self._found.images.append(image)
        self._paths.append(os.path.normpath(image.image_path))

    def _miss(self, path, source_id, filename, stem):
        if self._bad_images == "fail":
            wanted = f"neither {filename!r} nor {stem!r}" if filename else f"no {stem!r}"
            raise InputError(
                f"{path}: {wanted} with a suffix of {', '.join(IMAGE_SUFFIXES)} is in "
                f"{self._folder.folder}; or pass --bad_images=drop"
            )
        self._found.rejects.append(Reject(path, source_id, MISSING_IMAGE, DROPPED))

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
            self._miss(file, source_id, "", stem)
        else:
            self._add(SourceImage(source_id, image_path, file))

    def _note_unannotated(self, missing, total):
        if missing and not self._notes:
            done = "skipped" if self._unannotated == "skip" else "converted without objects"
            self._notes.append(f"{missing} of {total} images have no XML: {done}")
