"""The output folder: checked before a model is loaded, so that no work is done for nothing."""

import contextlib
import glob
import os
import pathlib
import tempfile
from collections.abc import Iterator, Sequence

from ssd_tfrecord.detection.sources.source_list import Source
from ssd_tfrecord.errors import DiskError, InputError

# Has a folder for each class.
CROPS = "crops"


def prepare(folder: pathlib.Path, sources: Sequence[Source], *, crops: bool = False) -> None:
    """Makes the folder, and tries to write to it.

    Args:
        folder: the output folder, which need not exist.
        sources: none of which may lie there: a picture could replace an image, and would be taken
            for one the next time.
        crops: whether crops are written: then none may lie among those of an earlier run.

    Raises:
        InputError: one of them, or the file to which it links, lies there; it is no folder; or it
            cannot be written to.
    """
    _check_sources(folder, [source.path for source in sources if source.kind != "camera"], crops)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Asked of the disk: permissions alone do not tell what it will do.
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"probe")
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"--output_dir={folder}: is a file, or in one; must be a folder") from None
    # ValueError: a null character.
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(
            f"--output_dir={folder}: cannot be written ({reason}); must be a folder that can"
        ) from None


def _check_sources(folder: pathlib.Path, paths: Sequence[pathlib.Path], crops: bool) -> None:
    # Compared as files, not by name: links and .. lead to one folder by several names.
    try:
        ours = [os.stat(folder)]
    except (OSError, ValueError):
        return
    if crops:
        inner = glob.glob(os.path.join(glob.escape(str(folder)), CROPS, "*"))
        ours += [os.stat(name) for name in inner if os.path.isdir(name)]
    # One look at each folder, of which there are fewer than images.
    same = {
        parent: _is_one_of(parent, ours)
        for path in paths
        for parent in {path.parent, _target(path).parent}
    }
    for path in paths:
        if same[path.parent] or same[_target(path).parent]:
            raise InputError(
                f"--output_dir={folder}: contains the input image {path}, which could be "
                "overwritten; must be another folder"
            )


def _target(path: pathlib.Path) -> pathlib.Path:
    # Not pathlib's, which raise where a name is too long or links lead in a circle.
    return pathlib.Path(os.path.realpath(path)) if os.path.islink(path) else path


def _is_one_of(folder: pathlib.Path, statuses: Sequence[os.stat_result]) -> bool:
    try:
        own = os.stat(folder)
    except OSError:
        return False
    return any(os.path.samestat(own, status) for status in statuses)


def clear(path: pathlib.Path) -> None:
    """Removes the file or the link of this name, if there is one; what it links to stays.

    A file that is opened to be written would change what its name is a link to, even a hard one.

    Raises:
        OSError: that cannot be done, as with a folder.
    """
    path.unlink(missing_ok=True)


def write_bytes(path: pathlib.Path, content: bytes) -> None:
    """Writes a file whole or not at all, unless the process is killed; a link is replaced.

    Raises:
        OSError: it cannot be written.
    """
    clear(path)
    try:
        with path.open("xb") as file:
            file.write(content)
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


@contextlib.contextmanager
def disk_errors(folder: pathlib.Path) -> Iterator[None]:
    """Makes a DiskError of whatever goes wrong with the files that are written in the context.

    Raises:
        DiskError: an OSError was raised.
    """
    try:
        yield
    except OSError as error:
        raise DiskError(f"{error.filename or folder}: {error.strerror or error}") from error
