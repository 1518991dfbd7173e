"""The files in a folder and its sub-folders: by exact name, or by what is right in a wrong one.

Names come from strangers, and paths from other machines: no name leads out of the folder, and no
link does unless asked for.
"""

import bisect
import collections
import errno
import functools
import heapq
import itertools
import os
import posixpath
import re
import stat
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence

from ssd_tfrecord.errors import InputError

# Of longer paths, the beginning is disregarded: nobody nests like that.
_MAX_PARTS = 16
# Longer names are not normalized: of 100,000 accents in a row it would take a minute.
_MAX_LENGTH = 1024
# Parts of a path that are no names: a drive of Windows, steps, and nothing between two slashes.
_NO_NAME = re.compile(r"[A-Za-z]:|\.{0,2}").fullmatch


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


def leads_outside(name: str) -> bool:
    """Returns whether a path with slashes is absolute, goes upward or cannot be a path at all."""
    return os.path.isabs(name) or ".." in name.split("/") or "\0" in name


def files_below(
    folder: str, suffixes: tuple[str, ...], links: str = "inside", refused: set[str] | None = None
) -> list[str]:
    """Lists the files in ``folder`` and its sub-folders that have one of ``suffixes``.

    Each folder is listed once, whatever links lead to it. Hidden files and folders are skipped (a
    Mac's ._a.jpg, a notebook's .ipynb_checkpoints/a.jpg).

    Args:
        folder: where to begin.
        suffixes: in lower case; those of the files may be in any case.
        links: inside: links are followed to what is below ``folder``; follow: all are.
        refused: the paths of links that are not followed are added to it.

    Returns:
        paths relative to ``folder``, with slashes, sorted.

    Raises:
        InputError: a folder cannot be read, so that its files would be missed.
    """
    root, refused = os.path.realpath(folder), set() if refused is None else refused
    found: list[str] = []
    seen: set[str] = set()
    # Prefixes of names, and the real folders that these stand for. Links come last and in their
    # order, so that it is always the same of several names by which a folder is listed.
    folders, linked = collections.deque([("", root)]), list[tuple[str, str]]()
    while folders or linked:
        prefix, real = folders.popleft() if folders else heapq.heappop(linked)
        if real in seen:
            continue
        seen.add(real)
        for entry in _entries(os.path.join(folder, prefix[:-1]) if prefix else folder):
            name, is_folder = prefix + entry.name, _is_folder(entry)
            if not (is_folder or name.lower().endswith(suffixes)):
                continue
            is_link = entry.is_symlink()
            target = os.path.realpath(entry.path) if is_link else os.path.join(real, entry.name)
            if links == "inside" and is_link and not _is_below(target, root):
                refused.add(entry.path)
            elif not is_folder:
                found.append(name)
            elif is_link:
                heapq.heappush(linked, (name + "/", target))
            else:
                folders.append((name + "/", target))
    return sorted(found)


def _entries(folder: str) -> Iterator["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if not entry.name.startswith("."))
    except FileNotFoundError:
        pass  # a folder that has just been removed has no files
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from None


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that goes in a circle
        return False


def _is_below(real: str, root: str) -> bool:
    # With a separator at the end, a folder "images2" beside "images" is not taken for a part of it.
    return os.path.join(real, "").startswith(os.path.join(root, ""))


def short(name: str) -> str:
    """Returns ``name`` in quotes for a message, without its middle if it is long."""
    return repr(name if len(name) <= 100 else f"{name[:50]}…{name[-49:]}")


def link_note(refused: Collection[str]) -> str:
    """Returns a line about links that are not followed, or "" if there are none."""
    if not refused:
        return ""
    first = min(refused)
    return (
        f"links not followed: {len(refused)} ({first} -> {os.path.realpath(first)}), as they lead "
        "out of the folder; pass --links=follow to follow them"
    )


class FileTree:
    """The files of one kind in a folder and its sub-folders.

    Names are relative to the folder, with slashes or backslashes. Nothing is listed until a name is
    looked for that is not exact. ``refused`` are the paths of links that are not followed, as far
    as they have been met.

    Args:
        folder: may be a link itself.
        suffixes: of the files, in lower case, the most usual one first.
        links: inside or follow, as for ``files_below``.
    """

    def __init__(self, folder: str, suffixes: tuple[str, ...], links: str = "inside") -> None:
        self.folder = folder
        self.refused: set[str] = set()
        self._suffixes, self._links = suffixes, links
        self._root = os.path.realpath(folder)
        # {folder: whether it really is inside}: to find out takes long, and many files share one.
        self._is_inside: dict[str, bool] = {}

    def names(self) -> list[str]:
        """Lists all files, sorted.

        Raises:
            InputError: as of ``files_below``.
        """
        return files_below(self.folder, self._suffixes, self._links, self.refused)

    def path_of(self, name: str) -> str | None:
        """Returns the path of the file with exactly this name, or None if there is none.

        Raises:
            InputError: as of ``is_file``.
        """
        name = name.replace("\\", "/")
        if leads_outside(name):
            return None
        path = os.path.join(self.folder, name)
        return path if is_file(path) and self.allows(path) else None

    def allows(self, path: str) -> bool:
        """Returns whether a path in the folder leads to where ``links`` allows."""
        if self._links == "follow":
            return True
        folder = os.path.dirname(path)
        if folder not in self._is_inside:
            self._is_inside[folder] = _is_below(os.path.realpath(folder), self._root)
        allowed = self._is_inside[folder]
        if allowed and os.path.islink(path):
            allowed = _is_below(os.path.realpath(path), self._root)
        if not allowed:
            self.refused.add(self._link_of(path))
        return allowed

    def _link_of(self, path: str) -> str:
        """Returns the first part of ``path`` that leads out of the folder."""
        parts = os.path.relpath(path, self.folder).split(os.sep)
        starts = (os.path.join(self.folder, *parts[:end]) for end in range(1, len(parts)))
        outside = (start for start in starts if not _is_below(os.path.realpath(start), self._root))
        return next(outside, path)

    def near(self, stem: str) -> list[str]:
        """Finds a file by its name without suffix; its folder may be another one, or missing.

        A stem without a folder fits in any sub-folder. One with a folder also fits outside of
        sub-folders if no other file has its name: a/1 is never b/1.

        Returns:
            one file for each stem that fits, that of the most usual suffix: none, the one that is
            meant, or several that may be.
        """
        folder, _, last = plain(stem).rpartition("/")
        return self._of_stem(stem)[:1] or self._elsewhere(last, anywhere=not folder)

    def search(self, name: str, where: str, beside: str = "") -> str | None:
        """Finds a file by a path that does not lead to it, as one from another machine.

        Of its folders, those at the end count as long as any of them fit: data/a/1.jpg is a/1.jpg
        rather than b/1.jpg. The same suffix is better than another.

        Args:
            name: any path.
            where: begins the message of an error.
            beside: a folder of the tree in which the file is expected, "" for none. It is then not
                looked for in other sub-folders that the path does not name.

        Returns:
            its name in the tree, or None.

        Raises:
            InputError: several files fit equally well, or a folder cannot be read.
        """
        found = self._search(name, beside)
        if len(found) > 1:
            # Several links may lead to one file.
            files = {os.path.realpath(os.path.join(self.folder, item)): item for item in found}
            found = list(files.values())
        if len(found) > 1:
            raise InputError(
                f"{where}: {short(name)} may be {short(found[0])} or {short(found[1])} in "
                f"{self.folder}; rename one of them, or give the path in that folder"
            )
        return found[0] if found else None

    def _search(self, name: str, beside: str) -> list[str]:
        parts = plain(name).split("/")
        *folders, last = [part for part in parts if not _NO_NAME(part)][-_MAX_PARTS:] or [""]
        bare, suffix = os.path.splitext(last)
        stem = bare if suffix.lower() in self._suffixes else last
        ends = ["/".join(folders[start:]) for start in range(len(folders))]
        places = [*ends, beside] if beside else ends
        # A bare name is a whole path too, unless it is what is left of one.
        if len(parts) == 1:
            places.append("")
        for folder in places:
            if names := self._of_stem(posixpath.join(folder, stem)):
                return [_best(names, last)]
        names = self._elsewhere(stem, anywhere=not beside, last=last)
        return [found for found in names if plain(found).rpartition("/")[2] == last] or names

    def _of_stem(self, stem: str) -> list[str]:
        """Returns the files called ``stem`` with any suffix, the most usual one first."""
        names, _ = self._index
        return names[_span(names, plain(stem), _stem)]

    def _elsewhere(self, stem: str, anywhere: bool, last: str = "") -> list[str]:
        """Finds files whose names without folder and suffix are ``stem``.

        Args:
            stem: what to look for.
            anywhere: in all sub-folders; else only outside of them, and only if no two stems fit.
            last: of several files of one stem, the one of this name is preferred.
        """
        _, names = self._index
        span = _span(names, stem, _last)
        if not anywhere:
            # Sorted by whole stems too: if those at both ends are without a folder, all are.
            found = names[span.start : span.stop]
            alone = found and _stem(found[0]) == _stem(found[-1]) == stem
            return [_best(found, last)] if alone else []
        return [_best(list(group), last) for _, group in itertools.groupby(names[span], _stem)]

    @functools.cached_property
    def _index(self) -> tuple[list[str], list[str]]:
        """All names by their stems, and by the last parts of these; then by their suffixes.

        Lists that are searched by bisection: dictionaries would take several times the memory.
        """
        ranks = {suffix: rank for rank, suffix in enumerate(self._suffixes)}
        names = self.names()
        names.sort(key=lambda name: ranks[os.path.splitext(name)[1].lower()])
        # Sorting keeps the order of what is equal.
        names.sort(key=_stem)
        return names, sorted(names, key=_last)


def _span(names: list[str], wanted: str, key: Callable[[str], str]) -> slice:
    """Returns where ``names``, which are sorted by ``key``, have the key ``wanted``."""
    start = bisect.bisect_left(names, wanted, key=key)
    return slice(start, bisect.bisect_right(names, wanted, lo=start, key=key))


def _best(names: Sequence[str], last: str) -> str:
    same = (name for name in names if plain(name).rpartition("/")[2] == last)
    return next(same, names[0])


def plain(name: str) -> str:
    """Returns a path in the form in which two spellings of it are equal.

    File names from a Mac have decomposed letters, annotation files mostly composed ones.
    """
    name = name.replace("\\", "/").removeprefix("./")
    return _composed(name) if len(name) <= _MAX_LENGTH else name


def _composed(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _stem(name: str) -> str:
    # Of a listed name, which has a suffix; bisection calls this often.
    stem = name[: name.rindex(".")]
    return _composed(stem)


def _last(name: str) -> str:
    return _stem(name).rpartition("/")[2]
