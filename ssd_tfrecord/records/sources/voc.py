"""Pascal VOC: the image sets of a VOCdevkit, or any folder of XML."""

import os
import re

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.source_set import SourceSet
from ssd_tfrecord.records.sources.voc_folder import Found, Reading, VocFolder


def read_devkit(
    voc_root: str,
    sets,
    pixel_origin: int = 1,
    unannotated: str = "skip",
    bad_images: str = "fail",
    workers: int = 1,
) -> SourceSet:
    """The union of image sets, each named year_set: 2007_trainval is
    VOC2007/ImageSets/Main/trainval.txt, and 2007 is every XML of VOC2007/Annotations. source_id is
    VOC2007/000001.

    Args:
        unannotated: skip, negative or fail: listed images without an XML. A set that has none at
            all (VOC2012 test) comes without objects unless it is ``fail``.
        bad_images: fail, drop or repair: XML whose image is missing.
        workers: processes that read XML; 0: one a core, fewer for few.

    Raises:
        InputError for a missing or damaged file, and for an image that is in two sets.
    """
    reading = Reading(pixel_origin, unannotated, bad_images, workers)
    found, notes = Found(), []
    for name in sets:
        year, _, image_set = name.partition("_")
        folder = os.path.join(voc_root, "VOC" + year)
        flag = f"--sets={name}"
        folders = os.path.join(folder, "Annotations"), os.path.join(folder, "JPEGImages")
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
    """Every XML of ``annotations_dir`` and its sub-folders, or those that ``image_set`` (a file, a
    stem a line) names.

    source_id is the stem. Without ``image_set``, ``unannotated`` is for the images of
    ``images_dir`` that no XML has. Arguments and errors as ``read_devkit``.
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
