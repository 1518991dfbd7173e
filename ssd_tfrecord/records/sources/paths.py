"""Image files, found by their names in annotation files; no name leads out of its folder."""

import os
import re
import urllib.parse
from collections.abc import Iterator

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.image_suffixes import IMAGE_SUFFIXES
from ssd_tfrecord.records.sources.file_tree import (
    FileTree,
    leads_outside,
    short,
)

# How an image was found if not by its exact path. Notes to the user say before the colon how many.
BY_STEM = "<filename> names no existing image: used the image with the name of the XML"
STALE = "<filename> names another image: used the image with the name of the XML"
_NOT_EXACT = "is not the exact path of an image: used the only image that fits"
_DECODED = "is percent-encoded: used the image of the decoded name"
_PREFIXED = "begins with the prefix of an upload: used the only image of the name without it"

# Label Studio puts eight hexadecimal digits and a dash before the name of a file that is uploaded.
# A date, as in 20240131-cam1.jpg, is no such thing.
_UPLOAD = re.compile(r"(?!(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])-)[0-9a-f]{8}-(?=.)")


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
    if leads_outside(name):
        raise InputError(f"{where}: {short(name)} must be a path inside {folder}")
    return os.path.join(folder, name)


def printable(name: str) -> str:
    """Returns ``name`` with those bytes of a file name escaped that are not UTF-8."""
    return name.encode(errors="backslashreplace").decode()


class ImageFolder:
    """A folder of images and its sub-folders; ``links`` are followed as by ``files_below``."""

    def __init__(self, folder: str, links: str = "inside") -> None:
        self.folder = folder
        self.tree = FileTree(folder, IMAGE_SUFFIXES, links)

    def path(self, name: str, where: str) -> str:
        """Returns the path of ``name``, which need not exist.

        Args:
            name: relative to the folder.
            where: begins the message of an error.

        Raises:
            InputError: it is outside the folder, be it through a link that is not followed.
        """
        path = path_inside(self.folder, name, where)
        if not self.tree.allows(path):
            raise InputError(
                f"{where}: {short(name)} is a link out of {self.folder}: must be a file inside "
                "it; or pass --links=follow"
            )
        return path

    def find(self, filename: str, stem: str, where: str) -> tuple[str | None, str]:
        """Finds the image of a VOC annotation file.

        XML that was renamed or copied keeps its old <filename>, which may be that of another image.
        So <filename> counts only if it is the stem with a suffix, or if no image has the stem.

        Args:
            filename: as in the annotation, relative to the XML's sub-folder or to the image folder;
                "" for none.
            stem: of the annotation file, relative to its folder.
            where: begins the message of an error.

        Returns:
            (path or None, how it was found: BY_STEM, STALE, or as ``locate`` says it, or "").

        Raises:
            InputError: several images may be meant, or it cannot be told whether one exists.
        """
        filename = filename.replace("\\", "/").removeprefix("./")
        folder = os.path.dirname(stem)
        existing = [
            (name, path)
            for name in dict.fromkeys((os.path.join(folder, filename), filename))
            if filename and (path := self.tree.path_of(name))
        ]
        # Decides between two images of one stem, such as 1.jpg and 1.png.
        if existing and os.path.splitext(existing[0][0])[0] == stem:
            return existing[0][1], ""
        same_stem = self.tree.near(stem)
        if len(same_stem) == 1:
            how = STALE if existing else BY_STEM if filename else ""
            return os.path.join(self.folder, same_stem[0]), how
        if existing:
            return existing[0][1], ""
        for name in dict.fromkeys((filename or stem, stem)):
            path, how = self._search(name, where, folder)
            if path:
                return path, f"<filename> {how}"
        return None, ""

    def locate(self, name: str, where: str) -> tuple[str | None, str]:
        """Finds the image that an annotation file calls ``name``.

        Args:
            name: relative to the folder; or any path, of which then the last part counts most.
            where: begins the message of an error.

        Returns:
            (path or None, how it was found if not by its exact path: a fault and, after a colon,
            what was done; else "").

        Raises:
            InputError: as of ``find``.
        """
        for spelling, how in _spellings(name):
            if path := self.tree.path_of(spelling):
                return path, how and f"file name {how}"
        path, how = self._search(name, where)
        return path, how and f"file name {how}"

    def hint(self) -> str:
        """Ends a message about a missing image: links that are not followed, or ""."""
        if not self.tree.refused:
            return ""
        return "; links that lead out of the folder are not followed unless you pass --links=follow"

    def names(self) -> list[str]:
        """Lists all images, relative to the folder."""
        return self.tree.names()

    def _search(self, name: str, where: str, beside: str = "") -> tuple[str | None, str]:
        for spelling, how in _spellings(name):
            if found := self.tree.search(spelling, where, beside):
                return os.path.join(self.folder, found), how or _NOT_EXACT
        return None, ""


def _spellings(name: str) -> Iterator[tuple[str, str]]:
    """Yields (what ``name`` may mean, how it was found if it means that)."""
    yield name, ""
    decoded = urllib.parse.unquote(name)
    if decoded != name:
        yield decoded, _DECODED
    folder, slash, last = decoded.replace("\\", "/").rpartition("/")
    if _UPLOAD.match(last):
        yield folder + slash + _UPLOAD.sub("", last, count=1), _PREFIXED
