"""Image files, found by their names in annotation files; no name leads out of its folder."""

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
# How an image was found if not by its full <filename>. Notes to the user insert the number of XML
# files before the colon.
BY_STEM = "<filename> names no existing image: used the image with the name of the XML"
STALE = "<filename> names another image: used the image with the name of the XML"
BY_NAME = "<filename> has no suffix or no folder: used the only image of that name"


def path_inside(folder: str, name: str, where: str) -> str:
    """Joins ``folder`` and ``name``, which must not lead out of it.

    Args:
        folder: where the file is to be.
        name: a path as an annotation file has it, with slashes or backslashes.
        where: begins the message of an error.

    Raises:
        InputError: the path would be outside ``folder``.
    """
    name = name.replace("\\", "/")
    # Annotation files come from strangers.
    if os.path.isabs(name) or ".." in name.split("/") or "\0" in name:
        raise InputError(f"{where}: {_short(name)} must be a path inside {folder}")
    return os.path.join(folder, name)


def _short(name: str) -> str:
    return repr(name if len(name) <= 100 else f"{name[:50]}…{name[-49:]}")


def printable(name: str) -> str:
    """Returns ``name`` with those bytes of a file name escaped that are not UTF-8."""
    return name.encode(errors="backslashreplace").decode()


def is_file(path: str) -> bool:
    """Returns whether ``path`` is a file.

    Raises:
        InputError: this cannot be determined; a failing disk must not look like a missing image.
    """
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a null character in the name
        return False
    except OSError as error:
        # No file can have such a name, nor be reached through links that go in a circle.
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            return False
        raise InputError(f"{path!r}: cannot be read: {error.strerror}") from None


def files_below(folder: str, suffixes: tuple[str, ...]) -> list[str]:
    """Lists the files in ``folder`` and its sub-folders that have one of ``suffixes``.

    Links to folders are not followed, and hidden files and folders are skipped (a Mac's ._a.jpg, a
    notebook's .ipynb_checkpoints/a.jpg).

    Args:
        folder: where to begin.
        suffixes: in lower case; those of the files may be in any case.

    Returns:
        paths relative to ``folder``, with slashes, sorted.

    Raises:
        InputError: a folder cannot be read, so that its files would be missed.
    """
    found = []
    # Without onerror, walk() passes over folders that it cannot read.
    for parent, folders, names in os.walk(folder, onerror=_refuse_unreadable):
        # In place, which is how walk() is told where not to go.
        folders[:] = [name for name in folders if not name.startswith(".")]
        relative = os.path.relpath(parent, folder).replace(os.sep, "/")
        prefix = "" if relative == "." else relative + "/"
        found += [
            prefix + name
            for name in names
            if name.lower().endswith(suffixes) and not name.startswith(".")
        ]
    return sorted(found)


def _refuse_unreadable(error: OSError) -> None:
    # A folder that has just been removed has no files.
    if not isinstance(error, FileNotFoundError):
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from None


class ImageFolder:
    """A folder of images and its sub-folders."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        # The folder itself may be a link. With a separator at the end, a folder "images2" beside
        # "images" is not taken for a part of it.
        self._real = os.path.join(os.path.realpath(folder), "")

    def path(self, name: str, where: str) -> str:
        """Returns the path of ``name``, which need not exist.

        Args:
            name: relative to the folder.
            where: begins the message of an error.

        Raises:
            InputError: it is outside the folder, be it through a link.
        """
        path = path_inside(self.folder, name, where)
        if not os.path.join(os.path.realpath(path), "").startswith(self._real):
            raise InputError(
                f"{where}: {_short(name)} is a link out of {self.folder}: must be a file inside it"
            )
        return path

    def find(self, filename: str, stem: str, where: str) -> tuple[str | None, str]:
        """Finds the image of an annotation file.

        XML that was renamed or copied keeps its old <filename>, which may be that of another image.
        So <filename> counts only if it is the stem with a suffix, or if no image has the stem.

        Args:
            filename: as in the annotation, relative to the XML's sub-folder or to the image folder;
                "" for none.
            stem: of the annotation file, relative to its folder.
            where: begins the message of an error.

        Returns:
            (path or None, how it was found: BY_STEM, STALE, BY_NAME or "").

        Raises:
            InputError: as ``path``.
        """
        beside = os.path.join(os.path.dirname(stem), filename) if filename else ""
        path_inside(self.folder, filename, where)
        existing = [
            name for name in dict.fromkeys((beside, filename)) if name and self._is_file(name)
        ]
        # Decides between two images of one stem, such as 1.jpg and 1.png.
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
        """Lists all images, relative to the folder."""
        return files_below(self.folder, IMAGE_SUFFIXES)

    def _is_file(self, name: str) -> bool:
        return is_file(os.path.join(self.folder, name.replace("\\", "/")))

    def _of_stem(self, name: str, where: str) -> list[str]:
        """Returns the images called ``name`` with any suffix, the most usual one first.

        If there are none, folders are disregarded: a name without one matches in any sub-folder,
        and a name with one matches outside of sub-folders, as long as only one stem fits.
        """
        path_inside(self.folder, name, where)
        whole, lone = self._index
        key = _key(name)
        if key in whole:
            return whole[key]
        names = lone.get(key.rpartition("/")[2], [])
        return names if names and not ("/" in key and "/" in names[0]) else []

    @functools.cached_property
    def _index(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """({stem: its images}, {last part of a stem, if no two stems share it: its images})."""
        whole: dict[str, list[str]] = {}
        lone: dict[str, list[list[str]]] = {}
        order = {suffix: rank for rank, suffix in enumerate(IMAGE_SUFFIXES)}
        names = self.names()
        for name in sorted(names, key=lambda name: order[os.path.splitext(name)[1].lower()]):
            stem = _key(os.path.splitext(name)[0])
            whole.setdefault(stem, []).append(name)
        for stem, names in whole.items():
            lone.setdefault(stem.rpartition("/")[2], []).append(names)
        return whole, {last: found[0] for last, found in lone.items() if len(found) == 1}


def _key(name: str) -> str:
    # File names from a Mac have decomposed letters, annotation files mostly composed ones.
    return unicodedata.normalize("NFC", name.replace("\\", "/")).removeprefix("./")
