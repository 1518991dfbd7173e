"""Pascal VOC: the image sets of a VOCdevkit, or any folder of XML."""

import os
import re
from collections.abc import Iterable, Sequence

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.source_set import SourceSet
from ssd_tfrecord.records.sources.voc_folder import Found, Reading, VocFolder


def read_devkit(
    voc_root: str,
    sets: Sequence[str],
    pixel_origin: int = 1,
    unannotated: str = "skip",
    bad_images: str = "fail",
    workers: int = 1,
) -> SourceSet:
    """Reads the union of image sets of a VOCdevkit; source_id is VOC2007/000001 and the like.

    Args:
        voc_root: the folder of the devkit, which contains VOC2007 and the like.
        sets: names of the form year_set: 2007_trainval is VOC2007/ImageSets/Main/trainval.txt, and
            2007 is every XML in VOC2007/Annotations.
        pixel_origin: what the XML counts pixels from, 1 or 0 (see ``parse_voc_xml``).
        unannotated: skip, negative or fail: what to do with listed images that have no XML. A set
            without any XML (VOC2012 test) is read without objects unless this is ``fail``.
        bad_images: fail, drop or repair: what to do with XML whose image is missing.
        workers: number of processes that read XML; 0: one per core, fewer for few files.

    Raises:
        InputError: a file is missing or damaged, or an image is in two sets.
    """
    reading = Reading(pixel_origin, unannotated, bad_images, workers)
    found = Found()
    notes: list[str] = []
    for name in sets:
        # At the first underscore: image sets have some of their own, as dog_train.
        year, _, image_set = name.partition("_")
        folder = os.path.join(voc_root, "VOC" + year)
        flag = f"--sets={name}"
        folders = os.path.join(folder, "Annotations"), os.path.join(folder, "JPEGImages")
        # The prefix keeps years apart, in which images may have the same name.
        reader = VocFolder(*folders, reading, found, prefix=f"VOC{year}/")
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
    workers: int = 1,
) -> SourceSet:
    """Reads a folder of XML with its sub-folders; source_id is the stem.

    Args:
        annotations_dir: the folder of XML.
        images_dir: the folder of images.
        image_set: a file with one stem per line, to read only those; "" for every XML.
        pixel_origin: as for ``read_devkit``.
        unannotated: as for ``read_devkit``. Without ``image_set``, it concerns those images in
            ``images_dir`` that belong to no XML.
        bad_images: as for ``read_devkit``.
        workers: as for ``read_devkit``.

    Raises:
        InputError: a file is missing or damaged, or an image is listed twice.
    """
    for flag, folder in (("annotations_dir", annotations_dir), ("images_dir", images_dir)):
        if not os.path.isdir(folder):
            raise InputError(f"--{flag}={folder}: must be a folder")
    reading = Reading(pixel_origin, unannotated, bad_images, workers)
    found = Found()
    reader = VocFolder(annotations_dir, images_dir, reading, found)
    if image_set:
        stems = _read_image_set("--image_set", image_set)
        reader.read_listed(stems, f"--image_set: {image_set}")
    else:
        reader.read_all("--annotations_dir")
    origin = {"annotations_dir": annotations_dir, "images_dir": images_dir, "image_set": image_set}
    return _source_set(found, reader.all_notes(), pixel_origin, **origin)


def _source_set(
    found: Found, notes: Iterable[str], pixel_origin: int, **origin: object
) -> SourceSet:
    # Over all sets together: an image in two of them would count twice in training.
    if repeated := found.images.repeated_keys():
        raise InputError(
            f"{repeated[0]}: listed twice; an image may be in only one set, and only once"
        )
    return SourceSet(
        images=found.images,
        origin=origin,
        pixel_origin=pixel_origin,
        notes=tuple(notes),
        rejects=found.rejects,
    )


def _read_image_set(flag: str, path: str) -> list[str]:
    """Returns the stems that a file lists, without the second column of files of one class.

    That column, such as of dog_train.txt, is -1, 0 or 1: whether the image shows the class. Stems
    may contain spaces.
    """
    try:
        # With or without a byte order mark, which some Windows editors write.
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file if line.strip()]
    except FileNotFoundError:
        others = _others(os.path.dirname(path))
        raise InputError(f"{flag}: {path} does not exist{others}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{flag}: {path} cannot be read: {error}") from None
    if not lines:
        raise InputError(f"{flag}: {path} is empty: must have one image name per line")
    columns = [re.fullmatch(r"(.*\S)\s+(?:-1|0|1)", line) for line in lines]
    # Only if every line has the column: a name like "photo 1" looks as if it had one too.
    stems = [match[1] for match in columns if match]
    return stems if len(stems) == len(lines) else lines


def _others(folder: str) -> str:
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    names = [name for name in names if name.endswith(".txt")]
    return f"; the folder has {', '.join(names)}" if names else ""
