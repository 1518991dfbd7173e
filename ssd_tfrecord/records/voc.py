"""Pascal VOC: the image sets of a VOCdevkit, or any folder of XML."""

import collections
import itertools
import os
import re

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.annotation import DROPPED, Reject, SourceImage, SourceSet
from ssd_tfrecord.records.paths import (
    IMAGE_SUFFIXES,
    ImageFolder,
    files_below,
    path_inside,
    printable,
)
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
    readers = []
    for name in sets:
        year, _, image_set = name.partition("_")
        folder = os.path.join(voc_root, "VOC" + year)
        flag = f"--sets={name}"
        reader = _Reader(
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
        reader.notes = [f"{name}: {note}" for note in reader.all_notes()]
        readers.append(reader)
    return _source_set(readers, pixel_origin, voc_root=voc_root, sets=list(sets))


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
    reader = _Reader(
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
    reader.notes = reader.all_notes()
    origin = {"annotations_dir": annotations_dir, "images_dir": images_dir, "image_set": image_set}
    return _source_set([reader], pixel_origin, **origin)


def _source_set(readers, pixel_origin, **origin):
    images, rejects, notes = (
        tuple(itertools.chain.from_iterable(getattr(reader, name) for reader in readers))
        for name in ("images", "rejects", "notes")
    )
    ordered = sorted(images, key=lambda image: image.source_id)
    for one, other in itertools.pairwise(ordered):
        if one.source_id == other.source_id:
            raise InputError(f"{one.source_id}: is listed twice: must be in one set, once")
    return SourceSet(
        images=images, origin=origin, pixel_origin=pixel_origin, notes=notes, rejects=rejects
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


class _Reader:
    """Reads one folder of XML and one of images; gathers what it found, and what it did not."""

    def __init__(
        self, annotations_dir, images_dir, *, pixel_origin, unannotated, bad_images, prefix=""
    ):
        self.images, self.rejects, self.notes = [], [], []
        self._annotations_dir, self._folder = annotations_dir, ImageFolder(images_dir)
        self._pixel_origin, self._prefix = pixel_origin, prefix
        self._unannotated, self._bad_images = unannotated, bad_images
        # How images were found, where not by <filename>: {how: XML files}.
        self._found = collections.defaultdict(list)
        self._num_read = 0

    def read_listed(self, stems, where):
        """``where`` is the flag and file that the stems are from."""
        files = [self._xml_of(stem, where) for stem in stems]
        missing = sum(not os.path.isfile(path) for _, path in files)
        if missing == len(stems) and self._unannotated == "skip":
            self.notes.append(
                f"no image has an XML in {self._annotations_dir}: converted without objects"
            )
            self._unannotated = "negative"
        for stem, path in files:
            if os.path.isfile(path):
                self._read(path, stem)
            else:
                self._take_unannotated(stem, path)
        self._note_unannotated(missing, len(stems))

    def read_all(self, flag):
        """Every XML, and the images that none of them has."""
        folder = self._annotations_dir
        names = files_below(folder, (".xml",))
        if not names and self._unannotated != "negative":
            raise InputError(f"{flag}={folder}: must hold .xml files")
        for name in names:
            self._read(os.path.join(folder, name), os.path.splitext(name)[0])
        taken = {os.path.normpath(image.image_path) for image in self.images}
        stems = {os.path.splitext(name)[0] for name in names}
        left = [
            name
            for name in self._folder.names()
            if os.path.splitext(name)[0] not in stems
            and os.path.normpath(os.path.join(self._folder.folder, name)) not in taken
        ]
        for name in left:
            path = self._folder.path(name, flag)
            self._take_unannotated(os.path.splitext(name)[0], path, path)
        self._note_unannotated(len(left), len(left) + len(names))

    def all_notes(self):
        """Lines for the user of what may not be expected."""
        found = [
            f"{how.split(':')[0]} in {len(files)} of {self._num_read} XML files ({files[0]}):"
            f"{how.split(':')[1]}"
            for how, files in sorted(self._found.items())
        ]
        several = collections.Counter(image.image_path for image in self.images)
        shared = [path for path, count in several.items() if count > 1]
        if shared:
            found.append(f"{len(shared)} images have several XML files ({shared[0]})")
        return [printable(note) for note in self.notes + found]

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
            self._found[how].append(path)
        if image_path is None:
            self._miss(path, source_id, content.filename, stem)
            return
        self.images.append(
            SourceImage(
                source_id=source_id,
                image_path=image_path,
                file=path,
                size=content.size,
                objects=content.objects,
            )
        )

    def _miss(self, path, source_id, filename, stem):
        if self._bad_images == "fail":
            wanted = f"neither {filename!r} nor {stem!r}" if filename else f"no {stem!r}"
            raise InputError(
                f"{path}: {wanted} with a suffix of {', '.join(IMAGE_SUFFIXES)} is in "
                f"{self._folder.folder}; or pass --bad_images=drop"
            )
        self.rejects.append(Reject(path, source_id, MISSING_IMAGE, DROPPED))

    def _take_unannotated(self, stem, file, image_path=None):
        source_id = printable(self._prefix + stem)
        if self._unannotated == "fail":
            raise InputError(
                f"{file}: has no XML in {self._annotations_dir}: must have one; or pass "
                "--unannotated=skip or negative"
            )
        if self._unannotated == "skip":
            self.rejects.append(Reject(file, source_id, UNANNOTATED, DROPPED))
            return
        image_path = image_path or self._folder.find("", stem, file)[0]
        if image_path is None:
            self._miss(file, source_id, "", stem)
        else:
            self.images.append(SourceImage(source_id, image_path, file))

    def _note_unannotated(self, missing, total):
        if missing and not self.notes:
            done = "skipped" if self._unannotated == "skip" else "converted without objects"
            self.notes.append(f"{missing} of {total} images have no XML: {done}")
