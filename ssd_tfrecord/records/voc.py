"""Pascal VOC: the image sets of a VOCdevkit, or any folder of XML."""

import itertools
import os

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.annotation import SourceImage, SourceSet
from ssd_tfrecord.records.paths import find_image, path_inside
from ssd_tfrecord.records.voc_xml import parse_voc_xml


def read_devkit(voc_root: str, sets, pixel_origin: int = 1) -> SourceSet:
    """The union of image sets, each named year_set: 2007_trainval is
    VOC2007/ImageSets/Main/trainval.txt. source_id is VOC2007/000001.

    A set none of whose images has an XML (VOC2012 test) comes without objects.

    Raises: InputError for a missing or damaged file, and for an image that is in two sets.
    """
    images, notes = [], []
    for name in sets:
        year, _, image_set = name.partition("_")
        folder = os.path.join(voc_root, "VOC" + year)
        lists = os.path.join(folder, "ImageSets", "Main")
        flag, path = f"--sets={name}", os.path.join(lists, image_set + ".txt")
        found, note = _read_images(
            _read_image_set(flag, path),
            os.path.join(folder, "Annotations"),
            os.path.join(folder, "JPEGImages"),
            pixel_origin=pixel_origin,
            prefix=f"VOC{year}/",
            where=f"{flag}: {path}",
        )
        images += found
        notes += [f"{name}: {note}"] if note else []
    return _source_set(images, notes, pixel_origin, voc_root=voc_root, sets=list(sets))


def read_folder(
    annotations_dir: str, images_dir: str, image_set: str = "", pixel_origin: int = 1
) -> SourceSet:
    """Every XML of ``annotations_dir``, or those that ``image_set`` (a file, a stem a line) names.

    source_id is the stem. Raises as ``read_devkit``.
    """
    for flag, folder in (("annotations_dir", annotations_dir), ("images_dir", images_dir)):
        if not os.path.isdir(folder):
            raise InputError(f"--{flag}={folder}: must be a folder")
    if image_set:
        stems = _read_image_set("--image_set", image_set)
    else:
        names = sorted(os.listdir(annotations_dir))
        stems = [name[:-4] for name in names if name.endswith(".xml")]
        if not stems:
            raise InputError(f"--annotations_dir={annotations_dir}: must hold .xml files")
    where = f"--image_set: {image_set}"
    images, note = _read_images(
        stems, annotations_dir, images_dir, pixel_origin=pixel_origin, where=where
    )
    origin = {"annotations_dir": annotations_dir, "images_dir": images_dir, "image_set": image_set}
    return _source_set(images, [note] if note else [], pixel_origin, **origin)


def _source_set(images, notes, pixel_origin, **origin):
    ordered = sorted(images, key=lambda image: image.source_id)
    for one, other in itertools.pairwise(ordered):
        if one.source_id == other.source_id:
            raise InputError(f"{one.source_id}: is listed twice: must be in one set, once")
    return SourceSet(
        images=tuple(images), origin=origin, pixel_origin=pixel_origin, notes=tuple(notes)
    )


def _read_image_set(flag, path):
    """First word of each line: files of one class have a second."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            stems = [line.split()[0] for line in file if line.strip()]
    except FileNotFoundError:
        raise InputError(f"{flag}: no {path}{_others(os.path.dirname(path))}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{flag}: {path} cannot be read: {error}") from None
    if not stems:
        raise InputError(f"{flag}: {path} is empty: must have an image's stem a line")
    return stems


def _others(folder):
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    names = [name for name in names if name.endswith(".txt")]
    return f"; there are {', '.join(names)}" if names else ""


def _read_images(stems, annotations_dir, images_dir, *, pixel_origin, where, prefix=""):
    """(images, note): the note says what the user may not expect, or is empty.

    ``where`` is the flag and file that the stems are from.
    """
    files = [path_inside(annotations_dir, stem, where) + ".xml" for stem in stems]
    missing = [path for path in files if not os.path.isfile(path)]
    if len(missing) == len(files):
        return [_unannotated(stem, images_dir, prefix) for stem in stems], (
            f"no image has an XML in {annotations_dir}: converted without objects"
        )
    if missing:
        raise InputError(
            f"{missing[0]}: is missing, with {len(missing)} of {len(files)} files: must be all "
            "there, or none for a set without annotations"
        )
    read = [
        _annotated(path, stem, images_dir, pixel_origin, prefix) for path, stem in zip(files, stems)
    ]
    images = [image for image, _ in read]
    stale = [image.file for image, is_stale in read if is_stale]
    if not stale:
        return images, ""
    return images, (
        f"<filename> is another's image in {len(stale)} of {len(files)} XML files ({stale[0]}): "
        "took the image that is named as the XML"
    )


def _unannotated(stem, images_dir, prefix):
    path, _ = find_image(images_dir, "", stem, prefix + stem)
    return SourceImage(source_id=prefix + stem, image_path=path, file=path)


def _annotated(path, stem, images_dir, pixel_origin, prefix):
    """(image, whether its <filename> names another image that is there)."""
    source_id = prefix + stem
    content = parse_voc_xml(path, source_id, pixel_origin)
    image_path, is_stale = find_image(images_dir, content.filename, stem, path)
    image = SourceImage(
        source_id=source_id,
        image_path=image_path,
        file=path,
        size=content.size,
        objects=content.objects,
    )
    return image, is_stale
