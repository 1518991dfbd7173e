"""Image files, found by the names that annotation files give; no name leaves its folder."""

import os

from ssd_tfrecord.errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".JPG", ".JPEG", ".PNG", ".BMP")


def path_inside(folder: str, name: str, where: str) -> str:
    """``folder``/``name``; InputError that begins with ``where`` if that is outside ``folder``."""
    name = name.replace("\\", "/")
    if os.path.isabs(name) or ".." in name.split("/"):
        raise InputError(f"{where}: {name!r} must be a name inside {folder}")
    return os.path.join(folder, name)


def find_image(images_dir: str, filename: str, stem: str, where: str) -> tuple[str, bool]:
    """The image of ``stem`` in ``images_dir`` or, where that is not there, ``filename``.

    Renamed and copied XML keeps the old <filename>, so that it may be another's image; it counts
    where it is the stem with a suffix.

    Returns: (path, whether ``filename`` is there as well, and is another).
    Raises: InputError that begins with ``where`` if there is neither.
    """
    named = path_inside(images_dir, filename, where)
    named_exists = bool(filename) and os.path.isfile(named)
    if named_exists and os.path.splitext(filename)[0] == stem:
        return named, False
    path = path_inside(images_dir, stem, where)
    for suffix in IMAGE_SUFFIXES:
        if os.path.isfile(path + suffix):
            return path + suffix, named_exists
    if named_exists:
        return named, False
    wanted = f"neither {filename!r} nor {stem!r}" if filename else f"no {stem!r}"
    raise InputError(
        f"{where}: {wanted} with a suffix of .jpg, .jpeg, .png or .bmp is in {images_dir}"
    )
