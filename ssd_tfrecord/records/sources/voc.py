"""Pascal VOC: the image sets of a VOCdevkit, or any folder of XML."""

import os
from collections.abc import Iterable, Sequence

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.source_set import SourceSet
from ssd_tfrecord.records.sources.voc_files.image_list import read_lines
from ssd_tfrecord.records.sources.voc_files.voc_folder import Found, Reading, VocFolder


def read_devkit(
    voc_root: str,
    sets: Sequence[str],
    pixel_origin: int = 1,
    unannotated: str = "skip",
    bad_images: str = "fail",
    workers: int = 1,
    links: str = "inside",
) -> SourceSet:
    """Reads the union of image sets of a VOCdevkit; source_id is VOC2007/000001 and the like.

    Args:
        voc_root: the folder of the devkit, which contains VOC2007 and the like.
        sets: names of the form year_set: 2007_trainval is VOC2007/ImageSets/Main/trainval.txt, and
            2007 is every XML in VOC2007/Annotations.
        pixel_origin: what the XML counts pixels from, 1 or 0 (see ``parse_voc_xml``).
        unannotated: skip, negative or fail: what to do with listed images that have no XML. If
            there is no XML at all (VOC2012 test), a set is read without objects unless this is
            ``fail``; if there is, but none of the set, skip is an error too.
        bad_images: fail, drop or repair: what to do with XML whose image is missing.
        workers: number of processes that read XML; 0: one per core, fewer for few files.
        links: inside or follow: which links in the folders are followed (see ``files_below``).

    Raises:
        InputError: a file is missing or damaged, or an image is in two sets.
    """
    reading = Reading(pixel_origin, unannotated, bad_images, workers, links)
    found = Found()
    notes: list[str] = []
    for name in sets:
        # At the first underscore: image sets have some of their own, as dog_train.
        year, _, image_set = name.partition("_")
        folder = os.path.join(voc_root, "VOC" + year)
        flag = f"--sets={name}"
        annotations_dir = os.path.join(folder, "Annotations")
        images_dir = os.path.join(folder, "JPEGImages")
        # The prefix keeps years apart, in which images may have the same name.
        reader = VocFolder(annotations_dir, images_dir, reading, found, prefix=f"VOC{year}/")
        lists = os.path.join(folder, "ImageSets", "Main")
        path = os.path.join(lists, image_set + ".txt")
        if image_set:
            reader.read_listed(read_lines(flag, path), f"{flag}: {path}")
        else:
            reader.read_all(f"{flag}: {annotations_dir}")
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
    links: str = "inside",
) -> SourceSet:
    """Reads a folder of XML with its sub-folders; source_id is the stem.

    Args:
        annotations_dir: the folder of XML.
        images_dir: the folder of images.
        image_set: a file with one name per line, to read only those; "" for every XML.
        pixel_origin: as for ``read_devkit``.
        unannotated: as for ``read_devkit``. Without ``image_set``, it concerns those images in
            ``images_dir`` that belong to no XML.
        bad_images: as for ``read_devkit``.
        workers: as for ``read_devkit``.
        links: as for ``read_devkit``.

    Raises:
        InputError: a file is missing or damaged, or an image is listed twice.
    """
    for flag, folder in (("annotations_dir", annotations_dir), ("images_dir", images_dir)):
        if not os.path.isdir(folder):
            raise InputError(f"--{flag}={folder}: must be a folder")
    reading = Reading(pixel_origin, unannotated, bad_images, workers, links)
    found = Found()
    reader = VocFolder(annotations_dir, images_dir, reading, found)
    if image_set:
        lines = read_lines("--image_set", image_set)
        reader.read_listed(lines, f"--image_set: {image_set}")
    else:
        reader.read_all(f"--annotations_dir={annotations_dir}")
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
        lost=found.lost,
    )
