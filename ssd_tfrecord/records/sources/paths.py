"""Image files, found by the names that annotation files give; no name leaves its folder."""

import errno
import functools
import os
import stat
import unicodedata

from ssd_tfrecord.errors import InputError

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm"),
)
# How an image was found, where not by its whole <filename>.
BY_STEM = "<filename> is not there: took the image that is named as the XML"
STALE = "<filename> is another's image: took the image that is named as the XML"
BY_NAME = "<filename> has no suffix or no folder: took the one image of that name"


def path_inside(folder: str, name: str, where: str) -> str:
    """``folder``/``name``; InputError that begins with ``where`` if that is outside ``folder``."""
    name = name.replace("\\", "/")
    if os.path.isabs(name) or ".." in name.split("/") or "\0" in name:
        raise InputError(f"{where}: {_short(name)} must be a name inside {folder}")
    return os.path.join(folder, name)


def _short(name):
    return repr(name if len(name) <= 100 else f"{name[:50]}…{name[-49:]}")


def printable(name: str) -> str:
    """``name`` as UTF-8 can hold it: bytes of a file name that are none are escaped."""
    return name.encode(errors="backslashreplace").decode()


def is_file(path: str) -> bool:
    """Whether ``path`` is a file.

    Raises:
        InputError where that cannot be told: a disk that fails is no image that is missing.
    """
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a null character in the name
        return False
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            return False
        raise InputError(f"{path!r}: cannot be read: {error.strerror}") from None


def files_below(folder: str, suffixes) -> list[str]:
    """Files of ``folder`` and its sub-folders with one of ``suffixes`` (any case), relative to it,
    with slashes, sorted. Links to folders are not followed, and what is hidden is passed over
    (a Mac's ._a.jpg, a notebook's .ipynb_checkpoints/a.jpg).

    Raises:
        InputError for a folder that cannot be read: its files would be missed.
    """
    found = []
    for parent, folders, names in os.walk(folder, onerror=_refuse_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        relative = os.path.relpath(parent, folder).replace(os.sep, "/")
        prefix = "" if relative == "." else relative + "/"
        found += [
            prefix + name
            for name in names
            if name.lower().endswith(suffixes) and not name.startswith(".")
        ]
    return sorted(found)


def _refuse_unreadable(error):
    if not isinstance(error, FileNotFoundError):
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from None


class ImageFolder:
    """A folder of images and its sub-folders."""

    def __init__(self, folder: str):
        self.folder = folder
        self._real = os.path.join(os.path.realpath(folder), "")

    def path(self, name: str, where: str) -> str:
        """The path of ``name``, which need not exist.

        Raises:
            InputError that begins with ``where`` if it leaves the folder, by a link too.
        """
        path = path_inside(self.folder, name, where)
        if not os.path.join(os.path.realpath(path), "").startswith(self._real):
            raise InputError(
                f"{where}: {_short(name)} is a link out of {self.folder}: must be a file inside it"
            )
        return path

    def find(self, filename: str, stem: str, where: str) -> tuple[str | None, str]:
        """The image of an annotation file.

        Renamed and copied XML keeps the old <filename>, so that it may be another's image: it
        counts where it is the stem with a suffix, or where nothing has the stem's name.

        Args:
            filename: as the annotation has it, beside ``stem`` or from the folder; "" for none.
            stem: of the annotation file, from its folder.

        Returns:
            (path or None, how it was found: BY_STEM, STALE, BY_NAME or "").

        Raises:
            InputError as ``path``.
        """
        beside = os.path.join(os.path.dirname(stem), filename) if filename else ""
        path_inside(self.folder, filename, where)
        names = dict.fromkeys((beside, filename))
        existing = [name for name in names if name and self._is_file(name)]
        if existing and os.path.splitext(existing[0])[0] == stem:
            return self.path(existing[0], where), ""
        for wanted, found_by in ((stem, BY_STEM if filename else ""), (beside, BY_NAME)):
            if found_by == BY_NAME and existing:
                return self.path(existing[0], where), ""
            names = self._of_stem(wanted, where)
            if names:
                return self.path(names[0], where), STALE if existing else found_by
        return None, ""

    def names(self) -> list[str]:
        """All images, relative to the folder."""
        return files_below(self.folder, IMAGE_SUFFIXES)

    def _is_file(self, name):
        return is_file(os.path.join(self.folder, name.replace("\\", "/")))

    def _of_stem(self, name, where):
        """Images called ``name`` and a suffix; else the only one so called of all sub-folders,
        where either has none.
        """
        path_inside(self.folder, name, where)
        whole, lone = self._index
        key = _key(name)
        if key in whole:
            return whole[key]
        names = lone.get(key.rpartition("/")[2], ())
        return names if names and not ("/" in key and "/" in names[0]) else ()

    @functools.cached_property
    def _index(self):
        """({stem from the folder: names}, {last part of a stem that is there once: its names})."""
        whole, lone = {}, {}
        order = {suffix: rank for rank, suffix in enumerate(IMAGE_SUFFIXES)}
        names = self.names()
        for name in sorted(names, key=lambda name: order[os.path.splitext(name)[1].lower()]):
            stem = _key(os.path.splitext(name)[0])
            whole.setdefault(stem, []).append(name)
        for stem, names in whole.items():
            lone.setdefault(stem.rpartition("/")[2], []).append(names)
        return whole, {last: found[0] for last, found in lone.items() if len(found) == 1}


def _key(name):
    # Archives made on a Mac hold decomposed letters, annotation files composed ones.
    return unicodedata.normalize("NFC", name.replace("\\", "/")).removeprefix("./")
