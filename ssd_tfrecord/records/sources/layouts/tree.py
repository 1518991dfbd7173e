"""The files of a folder and its sub-folders, listed once."""

import functools
import os
import posixpath
from collections.abc import Iterable, Iterator

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.image_suffixes import IMAGE_SUFFIXES
from ssd_tfrecord.records.sources.file_tree import files_below
from ssd_tfrecord.records.sources.layouts.layout import split_of


class Tree:
    """The files below a folder, by their paths relative to it, with slashes.

    Args:
        folder: where to begin.
        without: a folder inside it that is passed over, such as that of the output; "" for none.
        links: which links are followed: inside or follow, as by ``files_below``.

    Raises:
        InputError: ``folder`` is not a folder, cannot be read, or is the same as ``without``.
    """

    def __init__(self, folder: str, without: str = "", links: str = "inside") -> None:
        if not os.path.isdir(folder):
            what = "is a file; unpack it" if os.path.isfile(folder) else "does not exist"
            raise InputError(f"--input={folder}: {what}; must be a folder")
        if without and os.path.realpath(without) == os.path.realpath(folder):
            raise InputError(f"--output_dir={without}: must be another folder than --input")
        self.folder = folder
        self.refused: set[str] = set()
        hidden = _relative(without, folder) if without else ""
        # "" ends every name.
        found = files_below(folder, ("",), links, self.refused)
        self.files = [name for name in found if not _is_below(name, hidden)]
        self.known = frozenset(self.files)

    def path(self, name: str) -> str:
        """Returns the path of a file or folder; "" stands for the whole folder."""
        return os.path.join(self.folder, name) if name else self.folder

    def with_suffix(self, *suffixes: str) -> list[str]:
        """Lists the files whose names end with one of ``suffixes``, which are in lower case."""
        return [name for name in self.files if name.lower().endswith(suffixes)]

    def below(self, folder: str, names: Iterable[str]) -> Iterator[str]:
        """Yields those of ``names`` that are below ``folder``; "" is above all."""
        return (name for name in names if _is_below(name, folder) or not folder)

    @functools.cached_property
    def images(self) -> list[str]:
        """The image files, by their suffixes."""
        return self.with_suffix(*IMAGE_SUFFIXES)

    @functools.cached_property
    def folders(self) -> frozenset[str]:
        """All folders that have files in them, at any depth; "" is the whole folder."""
        found = {""}
        for name in self.files:
            folder = posixpath.dirname(name)
            # Up to the first that is known: with it come all above.
            while folder not in found:
                found.add(folder)
                folder = posixpath.dirname(folder)
        return frozenset(found)

    @functools.cached_property
    def image_folders(self) -> list[str]:
        """The folders that hold images themselves, sorted."""
        return sorted({posixpath.dirname(name) for name in self.images})

    def images_for(self, split: str, near: str, example: str = "") -> str:
        """Returns the folder in which the images of annotations are to be looked for.

        Args:
            split: of the annotations, "" for none.
            near: the folder of the annotations.
            example: an image as the annotations call it, "" if that is not known.
        """
        name = example.replace("\\", "/").removeprefix("./")
        ends = [path for path in self.images if name and f"/{path}".endswith(f"/{name}")]
        # Where that image is, if it is clear which one is meant.
        for chosen in (
            [path for path in ends if split and split_of(posixpath.dirname(path)) == split],
            [path for path in ends if near and path.startswith(f"{near}/")],
            [path for path in ends if split_of(posixpath.dirname(path)) in ("", split)],
        ):
            if len(chosen) == 1:
                return chosen[0][: -len(name)].rstrip("/")
        own = [folder for folder in self.image_folders if split_of(folder) == split]
        if split and own:
            return common_folder(own)
        while near and not any(self.below(near, self.images)):
            near = posixpath.dirname(near)
        return near

    def lead(self, text: str, bases: Iterable[str] = ("",)) -> str | None:
        """Finds the file or folder that a path from another machine means.

        Paths in configuration files are relative to a folder that nobody has, or absolute
        (/content/data/train/images), or begin with ../ although they should not. So names at the
        beginning are dropped until what is left exists, but not the name of a split: train/images
        is never images. The result is always inside the folder.

        Args:
            text: the path, with slashes or backslashes.
            bases: folders of the tree that it may be relative to, the most likely first.

        Returns:
            A path relative to the folder ("" is the folder itself), or None.
        """
        names = [name for name in text.replace("\\", "/").split("/") if name not in ("", ".", "..")]
        split = split_of("/".join(names))
        # All names dropped would lead anywhere; but a path may be "." or "..".
        for start in range(max(1, len(names))):
            rest = names[start:]
            if split_of("/".join(rest)) != split:
                return None
            for base in bases:
                found = posixpath.join(base, *rest) if rest else base
                if found in self.known or found in self.folders:
                    return found
        return None


def common_folder(folders: Iterable[str]) -> str:
    """Returns the deepest folder that is above all of ``folders``, or is the only one."""
    split = [folder.split("/") if folder else [] for folder in folders]
    shared = os.path.commonprefix(split) if split else []
    return "/".join(shared)


def _is_below(name: str, folder: str) -> bool:
    return bool(folder) and name.startswith(folder + "/")


def _relative(inner: str, outer: str) -> str:
    """``inner`` relative to ``outer``, or "" if it is not inside."""
    found = os.path.relpath(os.path.realpath(inner), os.path.realpath(outer))
    outside = found == "." or found.split(os.sep)[0] == ".."
    return "" if outside else found.replace(os.sep, "/")
