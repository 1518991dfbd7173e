"""Image files to detect in: found by name, opened by content, with unique output names."""

import glob
import os
import pathlib
import struct
import warnings
from collections.abc import Iterable, Sequence
from typing import IO

from PIL import Image, ImageOps

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.images import formats

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


def find_images(patterns: Iterable[str]) -> list[pathlib.Path]:
    """The image files that ``patterns`` match, each once.

    Args:
        patterns: files, which may have any suffix; folders; and globs, in which ``**`` matches
            folders at any depth. The images of a folder or glob are sorted by name.

    Raises:
        InputError: a pattern matches no image.
    """
    # A dict, because it keeps the order.
    found: dict[pathlib.Path, None] = {}
    for pattern in patterns:
        matches = _matches(pattern)
        if not matches:
            raise InputError(
                f"--images={pattern}: no image found; must be a file, a folder or a glob of "
                + ", ".join(SUFFIXES)
            )
        found.update(dict.fromkeys(matches))
    return list(found)


def _matches(pattern: str) -> list[pathlib.Path]:
    path = pathlib.Path(pattern)
    # First, because names may contain the brackets of a glob: d[1].jpg.
    if path.is_file():
        return [path]
    names: Iterable[str | pathlib.Path]
    names = path.iterdir() if path.is_dir() else glob.glob(pattern, recursive=True)
    paths = sorted(pathlib.Path(name) for name in names)
    return [path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file()]


def check_output_dir(folder: pathlib.Path, paths: Sequence[pathlib.Path]) -> None:
    """Checks that none of the images lies in the output folder.

    A picture written there could replace an image, and would be taken for one the next time.

    Args:
        folder: the output folder, which need not exist.
        paths: of the images.

    Raises:
        InputError: one of them, or the file to which it links, lies there.
    """
    # samefile, not a comparison of names: links and .. lead to one folder by several names.
    for path in paths if folder.is_dir() else ():
        if path.parent.samefile(folder) or path.resolve().parent.samefile(folder):
            raise InputError(
                f"--output_dir={folder}: contains the input image {path}, which could be "
                "overwritten; must be another folder"
            )


def open_images(
    paths: Iterable[pathlib.Path],
) -> tuple[dict[pathlib.Path, Image.Image], dict[pathlib.Path, str]]:
    """Opens those of ``paths`` that can be read; see ``open_image``.

    Returns:
        {path: image}, and for the others {path: message}.
    """
    opened: dict[pathlib.Path, Image.Image] = {}
    errors: dict[pathlib.Path, str] = {}
    for path in paths:
        try:
            opened[path] = open_image(path)
        except InputError as error:
            errors[path] = str(error)
    return opened, errors


def open_image(file: str | os.PathLike[str] | IO[bytes], name: str = "") -> Image.Image:
    """Opens an image in RGB, turned as its EXIF orientation says; 16 bits are scaled to 8.

    Args:
        file: path, or an open binary file.
        name: of the file in messages; default: its path.

    Raises:
        InputError: it is neither a JPEG nor one of ``records.images.formats.FORMATS``, cannot be
            decoded, or has more pixels than Pillow's ``MAX_IMAGE_PIXELS``, which even a small file
            can claim.
    """
    name = name or str(file)
    # Includes MPO, which some cameras and phones write: Pillow opens it as JPEG.
    kinds = ("JPEG", *formats.FORMATS)
    try:
        with warnings.catch_warnings():
            # Pillow only warns up to twice the limit.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=kinds) as image:
                return formats.to_rgb(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(
            f"{name}: too many pixels; must be at most {Image.MAX_IMAGE_PIXELS}"
        ) from None
    # Pillow's plugins raise all of these for damaged files.
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:
        raise InputError(
            f"{name}: cannot be decoded ({error}); must be an intact {', '.join(kinds[:-1])} or "
            f"{kinds[-1]} with 8 or 16 bits per channel"
        ) from None


def output_names(paths: Iterable[pathlib.Path]) -> list[str]:
    """<stem>.jpg for each path; repeated stems, in any case, get -2, -3, … appended."""
    # Compared in lower case, because some file systems do not distinguish case.
    taken: set[str] = set()
    names = []
    for path in paths:
        name, number = path.stem, 1
        while name.lower() in taken:
            number += 1
            name = f"{path.stem}-{number}"
        taken.add(name.lower())
        names.append(f"{name}.jpg")
    return names
