"""Archives that are not trusted: regular files and folders, within one folder and within limits.

Nothing is extracted by ``tarfile`` or ``zipfile`` themselves: names are checked here, and bytes are
written to files that are new and have the usual permissions. So no link is ever made, and none can
be followed.
"""

import functools
import os
import pathlib
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from ssd_tfrecord.datasets.download.catalogue import Archive
from ssd_tfrecord.errors import InputError

_DEEPEST = 16
_LONGEST_NAME = 255
_CHUNK = 1 << 20
_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, struct.error, EOFError),
    # What both modules raise on headers that make no sense; RuntimeError: on passwords and loops.
    *(ValueError, OverflowError, MemoryError, RuntimeError, IndexError, KeyError),
)


@dataclass(frozen=True)
class Count:
    """How much was unpacked."""

    files: int
    num_bytes: int


@dataclass(frozen=True)
class _Member:
    """A file or folder of an archive.

    Attributes:
        name: its path, as the archive has it.
        kind: "file" or "folder"; anything else is what it is instead.
        num_bytes: the size that is declared.
        stored_bytes: what it takes in the archive.
        open: opens it for reading.
    """

    name: str
    kind: str
    num_bytes: int
    stored_bytes: int
    open: Callable[[], IO[bytes] | None]


def unpack(
    path: pathlib.Path,
    archive: Archive,
    destination: pathlib.Path,
    advance: Callable[[int], object] = lambda stored_bytes: None,
) -> Count:
    """Unpacks the content of ``archive.folder`` into ``destination``.

    Args:
        path: of the archive, a .tar or a .zip.
        archive: what it may hold.
        destination: an existing folder. Files of another archive may be there, but none that this
            one has too.
        advance: called with the bytes of the archive that were dealt with.

    Returns:
        what was unpacked.

    Raises:
        InputError: the archive is damaged or holds what is not allowed. What was unpacked before
            that stays.
        OSError: a file cannot be written.
    """
    members = _zip_members if path.suffix == ".zip" else _tar_members
    files = num_members = num_bytes = 0
    try:
        for member in members(path):
            num_members += 1
            num_bytes += member.num_bytes
            _check_limits(path, archive, num_members, num_bytes)
            files += _place(path, archive, member, destination)
            advance(member.stored_bytes)
    except InputError:
        raise
    except _DAMAGE as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: is damaged: {text}") from None
    if not files:
        raise InputError(f"{path}: has no files in {archive.folder}/")
    return Count(files, num_bytes)


def _tar_members(path: pathlib.Path) -> Iterator[_Member]:
    # Not "r": that would look for compression, too.
    with tarfile.open(path, "r:") as tar:
        for info in tar:
            yield _Member(
                info.name,
                _tar_kind(info),
                info.size,
                tarfile.BLOCKSIZE + info.size,
                functools.partial(tar.extractfile, info),
            )
        # What is no header ends the iteration like the end of the archive.
        with open(path, "rb") as file:
            file.seek(tar.offset)
            if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
                raise tarfile.ReadError("bad header")


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.isdir():
        return "folder"
    if info.islnk() or info.issym():
        return "link"
    # Sparse: the size is made of holes, and costs nothing to declare.
    return "file" if info.isreg() and not info.issparse() else "device, pipe or sparse file"


def _zip_members(path: pathlib.Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as file:
        for info in file.infolist():
            yield _Member(
                info.filename,
                _zip_kind(info),
                info.file_size,
                info.compress_size,
                functools.partial(file.open, info),
            )


def _zip_kind(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & 1:
        return "file with a password"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "file of an unusual compression"
    # What Unix made has its mode in the upper half.
    mode = stat.S_IFMT(info.external_attr >> 16)
    if info.is_dir():
        return "folder" if mode in (0, stat.S_IFDIR) else "link or device"
    return "file" if mode in (0, stat.S_IFREG) else "link or device"


def _check_limits(path: pathlib.Path, archive: Archive, num_members: int, num_bytes: int) -> None:
    if num_members > archive.max_members:
        raise InputError(f"{path}: has more than {archive.max_members} files and folders")
    if num_bytes > archive.max_bytes:
        raise InputError(f"{path}: its files have more than {archive.max_bytes} bytes")


def _place(path: pathlib.Path, archive: Archive, member: _Member, destination: pathlib.Path) -> int:
    """Makes the file or folder; returns the number of files, 0 or 1."""
    if member.kind not in ("file", "folder"):
        raise _refused(path, member, f"is a {member.kind}; must be a file or a folder")
    parts = _parts(path, member)
    inside = archive.folder.split("/")
    if parts[: len(inside)] != inside:
        return 0
    target = destination.joinpath(*parts[len(inside) :])
    try:
        if member.kind == "folder":
            target.mkdir(parents=True, exist_ok=True)
            return 0
        target.parent.mkdir(parents=True, exist_ok=True)
        # Exclusively: a name that is taken, a link's too, is an error.
        with open(target, "xb") as file:
            _write(path, member, file)
        return 1
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise _refused(path, member, "is there twice") from None


def _parts(path: pathlib.Path, member: _Member) -> list[str]:
    """The names that the member's path is made of; all are harmless.

    Raises:
        InputError: one is not.
    """
    name = member.name
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        raise _refused(path, member, "is an absolute path")
    if re.search(r"[\x00-\x1f\x7f\\]", name):
        raise _refused(path, member, "has a control character or a backslash in its name")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _refused(path, member, "leads out of the folder")
    if len(parts) > _DEEPEST or any(len(os.fsencode(part)) > _LONGEST_NAME for part in parts):
        raise _refused(path, member, "has too long a name, or too many folders")
    return parts


def _write(path: pathlib.Path, member: _Member, file: IO[bytes]) -> None:
    source = member.open()
    if source is None:
        raise _refused(path, member, "has no content")
    with source:
        left = member.num_bytes
        while data := source.read(_CHUNK):
            left -= len(data)
            if left < 0:
                break
            file.write(data)
    if left:
        raise _refused(path, member, f"does not have the {member.num_bytes} bytes it declares")


def _refused(path: pathlib.Path, member: _Member, reason: str) -> InputError:
    return InputError(f"{path}: {member.name[:200]!r} {reason}; nothing of it is used")
