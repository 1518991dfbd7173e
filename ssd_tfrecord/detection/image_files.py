"""Image files to detect in: found by name, opened by content, with unique output names."""

import glob
import os
import pathlib
from collections.abc import Iterable, Sequence

from PIL import Image

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import ImageOptions
from ssd_tfrecord.records.image_suffixes import IMAGE_SUFFIXES
from ssd_tfrecord.records.images.decoding import decode_upright
from ssd_tfrecord.records.images.limits import RefusedImageError, read_file


def find_images(patterns: Iterable[str]) -> list[pathlib.Path]:
    """The image files that ``patterns`` match, each once.

    Args:
        patterns: files, which may have any suffix; folders; and globs, in which ``**`` matches
            folders at any depth. The images of a folder or glob are sorted by name; hidden ones,
            such as a Mac's ._a.jpg, are skipped.

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
                + ", ".join(IMAGE_SUFFIXES)
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
    return [path for path in paths if _is_image(path)]


def _is_image(path: pathlib.Path) -> bool:
    suffix = path.suffix.lower()
    return suffix in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


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
    paths: Iterable[pathlib.Path], *, stretch: str = "none"
) -> tuple[dict[pathlib.Path, Image.Image], dict[pathlib.Path, str]]:
    """Opens those of ``paths`` that can be read; see ``open_image``.

    Returns:
        {path: image}, and for the others {path: message}.
    """
    opened: dict[pathlib.Path, Image.Image] = {}
    errors: dict[pathlib.Path, str] = {}
    for path in paths:
        try:
            opened[path] = open_image(path, stretch=stretch)
        except InputError as error:
            errors[path] = str(error)
    return opened, errors


def open_image(
    file: str | os.PathLike[str] | bytes,
    name: str = "",
    *,
    stretch: str = "none",
    max_pixels: int = ImageOptions.max_pixels,
) -> Image.Image:
    """Opens an image in RGB, turned as its EXIF orientation says; 16 bits become 8.

    It is read as the converters read it: what they refuse is refused here.

    Args:
        file: the path of an image file, or its bytes.
        name: of the file in messages; default: its path.
        stretch: as ``ImageOptions.stretch``: that of the records with which the model was trained.
        max_pixels: larger images are not decoded, which even a small file can claim to be.

    Raises:
        InputError: it is no file, neither a JPEG nor one of ``records.images.formats.FORMATS``,
            damaged, or too large.
    """
    # Validated as the flags are: a misspelt word would count as none.
    ImageOptions(stretch=stretch, max_pixels=max_pixels)
    name = name or ("image" if isinstance(file, bytes) else os.fspath(file))
    try:
        content = file if isinstance(file, bytes) else read_file(file, max_pixels)
        return decode_upright(content, max_pixels, stretch)
    except RefusedImageError as error:
        raise InputError(f"{name}: {error}") from None


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
