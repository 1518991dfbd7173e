"""The small files of a run folder: written whole or not at all, and read without trust."""

import contextlib
import errno
import os
import pathlib
import re
from collections.abc import Iterator

from ssd_tfrecord.errors import DiskError, InputError

# What a restart mends once there is room or the disk is back; of all else the user has to know.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE)
_ASIDE = re.compile(r"(.+)\.\d+\.part")
# Bytes of a name, of 255 that file systems take: the rest is for the number of the process.
_MAX_ASIDE = 240
# Flags of absl, which would open other files or let a wrong flag pass.
_NOT_OURS = ("flagfile", "undefok")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes ``text`` to a temporary file and renames it: a reader never sees half a file.

    On return it is on the disk: after a power failure, too, the file is the old or the new one.

    Args:
        path: of the file; an existing one is replaced.
        text: its content, written as UTF-8; bytes of paths that are not UTF-8 are kept.

    Raises:
        OSError: it cannot be written; what was there is still there.
    """
    path = pathlib.Path(path)
    # A name of its own: training and an evaluation may write one file at once.
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(aside, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
    sync_folder(path.parent)


def write_bytes(path: pathlib.Path, content: bytes) -> None:
    """``write_text`` for what can be made again: whole or not at all, but not synced to the disk.

    Args:
        path: of the file; an existing one is replaced, and a link too, not what it leads to.
        content: of the file.

    Raises:
        OSError: it cannot be written; what was there is still there.
    """
    # Cut where the file system would not take the whole.
    name = os.fsdecode(os.fsencode(path.name)[:_MAX_ASIDE])
    aside = path.with_name(f"{name}.{os.getpid()}.part")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def written_aside(name: str) -> str:
    """The file that a killed writer of this module has left ``name`` of; "" if none has."""
    match = _ASIDE.fullmatch(name)
    return match[1] if match else ""


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Puts the names in ``folder`` on the disk, where its file system can.

    Raises:
        OSError: the disk has failed, or there is no such folder.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems do not know this for folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(descriptor)


def read_text(path: str | os.PathLike[str], max_bytes: int) -> str:
    """The text of a small file, as ``write_text`` writes it.

    Args:
        path: of the file.
        max_bytes: a larger file is not read.

    Raises:
        ValueError: it is empty, too large or binary.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"larger than {max_bytes} bytes")
    if not content.strip():
        raise ValueError("empty")
    # A power failure may leave zeros where the data were to come.
    if b"\0" in content:
        raise ValueError("binary")
    return content.decode("utf-8", errors="surrogateescape")


def holds(path: str | os.PathLike[str], text: bytes) -> bool:
    """Whether a file has ``text`` in its first megabyte, or had: it is empty or unreadable."""
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            content = file.read(2**20)
            return not content or text in content
    except OSError:
        return True


def flag_lines(text: str) -> list[str]:
    """The flags of a text that ``flags.to_lines`` wrote, without comments.

    Raises:
        ValueError: a line is something other than a flag with a value.
    """
    # Not splitlines: a path may contain what Unicode takes for the end of a line.
    lines = [line.lstrip().rstrip("\r") for line in text.split("\n")]
    lines = [line for line in lines if line and not line.startswith(("#", "//"))]
    for line in lines:
        match = re.match(r"--(\w+)=", line)
        if match is None or match[1] in _NOT_OURS:
            raise ValueError(f"{line[:40]!r} is not a flag with a value")
    return lines


def disk_error(run_dir: str | os.PathLike[str], error: OSError) -> InputError:
    """The error in one line of a run folder that cannot be read or written."""
    kind = DiskError if error.errno in _DISK_ERRORS else InputError
    file = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, str | bytes) else ""
    return kind(f"--run_dir={run_dir}: {error.strerror or error}{file}")


@contextlib.contextmanager
def in_one_line(run_dir: str | os.PathLike[str]) -> Iterator[None]:
    """Turns what the system says of ``run_dir`` into ``disk_error``."""
    try:
        yield
    except OSError as error:
        raise disk_error(run_dir, error) from None
