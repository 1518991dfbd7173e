"""From what --images names to sources: files, folders, patterns, lists, videos and cameras."""

import glob
import os
import pathlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TextIO

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.image_suffixes import IMAGE_SUFFIXES

# Those for which OpenCV's wheels have a demuxer. What a file is, its content says.
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts"),
    *(".3gp", ".ogv"),
)
LIST_SUFFIX = ".txt"
STDIN = "-"
_CAMERA = re.compile(r"camera:([0-9]{1,3})")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
# Enough for a million long paths.
_MAX_LIST_BYTES = 2**28


@dataclass(frozen=True)
class Source:
    """An image file, a video file, or a camera, whose ``path`` is then its number."""

    path: pathlib.Path
    kind: Literal["image", "video", "camera"] = "image"

    @property
    def name(self) -> str:
        """What it is called in detections.json and in messages."""
        return f"camera:{self.path}" if self.kind == "camera" else str(self.path)

    @property
    def stem(self) -> str:
        """What the names of its output files begin with."""
        return f"camera-{self.path}" if self.kind == "camera" else self.path.stem


def find_sources(
    patterns: Sequence[str], *, recursive: bool = False, stdin: TextIO | None = None
) -> list[Source]:
    """The sources that ``patterns`` name, each once.

    Args:
        patterns: the parts of a text between commas. Files, which may have any suffix; folders;
            globs, in which ``**`` matches folders at any depth; .txt files with one of these per
            line, relative to the working folder or else to the list's; - for lines on ``stdin``;
            camera:N. Parts that only together are the name of a file are taken together. What is
            in a folder or matches a glob is sorted by name; hidden files, such as a Mac's
            ._a.jpg, are skipped.
        recursive: whether folders include their sub-folders.
        stdin: the standard input.

    Raises:
        InputError: a pattern matches nothing, or is the address of a page; a folder or a list
            cannot be read.
    """
    # A dict, because it keeps the order.
    found: dict[Source, None] = {}
    for pattern in _joined(patterns):
        try:
            if pattern == STDIN:
                matches = _listed(stdin or (), pathlib.Path(), recursive)
            elif pattern.lower().endswith(LIST_SUFFIX) and os.path.isfile(pattern):
                matches = _read_list(pathlib.Path(pattern), recursive)
            else:
                matches = _matches(pattern, recursive)
        except OSError as error:
            raise InputError(
                f"--images={pattern}: cannot be read ({error.strerror}); must be a file, a folder "
                "or a list that can"
            ) from None
        if not matches:
            raise InputError(
                f"--images={pattern}: no image found; must be a file, a folder, a list (.txt) or a "
                f"glob of {', '.join(IMAGE_SUFFIXES)} or videos ({', '.join(VIDEO_SUFFIXES)})"
            )
        found.update(dict.fromkeys(matches))
    return list(found)


def _joined(patterns: Sequence[str]) -> list[str]:
    """``patterns``, but parts that only joined by commas are the name of something are joined."""
    joined, begin = [], 0
    while begin < len(patterns):
        # The longest name first, of four commas at most: more are no name that people give.
        ends = range(min(len(patterns), begin + 5), begin + 1, -1)
        names = ((",".join(patterns[begin:end]), end) for end in ends)
        single = os.path.exists(patterns[begin])
        taken = (item for item in names if not single and os.path.exists(item[0]))
        name, begin = next(taken, (patterns[begin], begin + 1))
        joined.append(name)
    return joined


def _matches(pattern: str, recursive: bool) -> list[Source]:
    """The sources that a pattern names, which is no list.

    Raises:
        InputError: it is an address.
        OSError: it is a folder that cannot be read.
    """
    if camera := _CAMERA.fullmatch(pattern):
        return [Source(pathlib.Path(str(int(camera[1]))), "camera")]
    if _ADDRESS.match(pattern):
        raise InputError(
            f"--images={pattern}: addresses are not opened; download the file first, as with "
            "`curl -LO`, and give its path"
        )
    path = pathlib.Path(pattern)
    # First, because names may contain the brackets of a glob: d[1].jpg. os.path's functions take
    # what can be no name, as a long one, for one that is not there; pathlib's raise.
    if os.path.isfile(path):
        return [_source(path)]
    names: Iterable[str | pathlib.Path]
    if os.path.isdir(path):
        names = path.rglob("*") if recursive else path.iterdir()
    else:
        names = glob.glob(pattern, recursive=True)
    paths = sorted(pathlib.Path(name) for name in names)
    return [_source(path) for path in paths if _is_wanted(path)]


def _source(path: pathlib.Path) -> Source:
    return Source(path, "video" if path.suffix.lower() in VIDEO_SUFFIXES else "image")


def _is_wanted(path: pathlib.Path) -> bool:
    suffixes = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
    hidden = path.name.startswith(".")
    return path.suffix.lower() in suffixes and not hidden and os.path.isfile(path)


def _read_list(path: pathlib.Path, recursive: bool) -> list[Source]:
    """The sources that the lines of a text file name.

    Raises:
        InputError: it cannot be read, or is too large for a list.
    """
    try:
        if path.stat().st_size > _MAX_LIST_BYTES:
            raise InputError(f"{path}: a list must be smaller than {_MAX_LIST_BYTES} bytes")
        # Names on disk need not be UTF-8; utf-8-sig: Windows' editors begin with a mark.
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
            return _listed(file, path.parent, recursive)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _listed(lines: Iterable[str], folder: pathlib.Path, recursive: bool) -> list[Source]:
    found: dict[Source, None] = {}
    for line in filter(None, map(str.strip, lines)):
        name = line.replace("\0", "?")
        if not os.path.exists(name) and os.path.exists(folder / name):
            name = str(folder / name)
        try:
            matches = _matches(name, recursive)
        except OSError:
            matches = []
        # What is not there is an image that cannot be read, which stops no other.
        found.update(dict.fromkeys(matches or [Source(pathlib.Path(name))]))
    return list(found)
