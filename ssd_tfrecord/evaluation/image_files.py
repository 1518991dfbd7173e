"""Image files to detect in: found by name, opened by content, named apart in the output."""

import glob
import pathlib
import warnings

from PIL import Image, ImageOps

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records import images

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
# Pillow opens MPO, which some cameras and telephones write, as JPEG.
FORMATS = ("JPEG", *images.FORMATS)


def find_images(patterns) -> list[pathlib.Path]:
    """The files that ``patterns`` name, each once: files as they are, the images of folders and
    globs (``**`` goes through folders) sorted by name.

    Raises: InputError for a pattern without any.
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


def open_image(path) -> Image.Image:
    """The image of a file in RGB, upright as its EXIF orientation says, 16 bits scaled to 8.

    Raises: InputError if it is none of FORMATS or cannot be decoded, or for more pixels than
    Pillow's ``MAX_IMAGE_PIXELS``, which a small file can claim.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                return images.to_rgb(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(
            f"{path}: too many pixels: must be at most {Image.MAX_IMAGE_PIXELS}"
        ) from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise InputError(
            f"{path}: cannot be decoded ({error}); must be a whole {', '.join(FORMATS)}, of 8 or "
            "16 bits a channel"
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
