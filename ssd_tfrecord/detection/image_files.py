"""Image files to detect in: found by name, opened by content, named apart in the output."""

import glob
import pathlib
import struct
import warnings

from PIL import Image, ImageOps

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.images import formats

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


def find_images(patterns) -> list[pathlib.Path]:
    """The files that ``patterns`` name, each once: files as they are, the images of folders and
    globs (``**`` goes through folders) sorted by name.

    Raises:
        InputError for a pattern without any.
    """
    found = {}
    for pattern in patterns:
        matches = _matches(pattern)
        if not matches:
            raise InputError(
                f"--images={pattern}: no image there; must be a file, a folder or a glob of "
                + ", ".join(SUFFIXES)
            )
        found.update(dict.fromkeys(matches))
    return list(found)


def _matches(pattern):
    path = pathlib.Path(pattern)
    if path.is_file():
        return [path]
    names = path.iterdir() if path.is_dir() else glob.glob(pattern, recursive=True)
    paths = sorted(pathlib.Path(name) for name in names)
    return [path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file()]


def check_output_dir(folder, paths):
    """Raises InputError if one of the image files ``paths`` is in ``folder``: what is written there
    could replace it, and would be taken for an image the next time.
    """
    for path in paths if folder.is_dir() else ():
        if path.parent.samefile(folder) or path.resolve().parent.samefile(folder):
            raise InputError(
                f"--output_dir={folder}: holds {path}, which is to be detected in and could be "
                "overwritten; must be another folder"
            )


def open_images(paths):
    """The images of those ``paths`` that can be read, and the reasons of the others.

    Returns:
        {path: image}, {path: text}; see ``open_image``.
    """
    opened, errors = {}, {}
    for path in paths:
        try:
            opened[path] = open_image(path)
        except InputError as error:
            errors[path] = str(error)
    return opened, errors


def open_image(file, name: str = "") -> Image.Image:
    """The image of a file in RGB, upright as its EXIF orientation says, 16 bits scaled to 8.

    Args:
        file: path, or an open file of bytes.
        name: what messages call it; default: its path.

    Raises:
        InputError if it is neither JPEG nor of ``records.images.formats.FORMATS``, cannot be
        decoded, or has more pixels than Pillow's ``MAX_IMAGE_PIXELS``, which a small file can
        claim.
    """
    name = name or str(file)
    # Pillow opens MPO, which some cameras and telephones write, as JPEG.
    kinds = ("JPEG", *formats.FORMATS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=kinds) as image:
                return formats.to_rgb(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(
            f"{name}: too many pixels: must be at most {Image.MAX_IMAGE_PIXELS}"
        ) from None
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:
        raise InputError(
            f"{name}: cannot be decoded ({error}); must be a whole {', '.join(kinds)}, of 8 or "
            "16 bits per channel"
        ) from None


def output_names(paths) -> list[str]:
    """<stem>.jpg for each path; stems that were there before get -2, -3, … (any case)."""
    taken, names = set(), []
    for path in paths:
        name, number = path.stem, 1
        while name.lower() in taken:
            number += 1
            name = f"{path.stem}-{number}"
        taken.add(name.lower())
        names.append(f"{name}.jpg")
    return names
