"""A folder of exports: files under their final names, and what lies beside them."""

import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records import manifest_fields

if TYPE_CHECKING:
    from ssd_tfrecord.exporting.exported_file import ExportedFile

PARITY_FILE = "parity.json"
LABELS_FILE = "labels.txt"
CHECK = "check"
# Where files lie until they are checked.
ASIDE = ".partial"

_MAX_BYTES = 2**26


@contextlib.contextmanager
def aside(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """A new folder in ``folder`` for files that are not checked yet; it is gone afterwards."""
    place = new_folder(folder / ASIDE)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def new_folder(place: pathlib.Path) -> pathlib.Path:
    """Makes an empty folder in place of an earlier one, or of a link of its name."""
    if place.is_symlink():
        place.unlink()
    elif place.exists():
        shutil.rmtree(place)
    place.mkdir(parents=True)
    return place


def publish(file: "ExportedFile", folder: pathlib.Path) -> pathlib.Path:
    """Gives a checked file its final name, in place of an earlier one; returns its path.

    A link of that name is replaced, and not what it leads to.
    """
    final = folder / file.name
    if os.path.lexists(final) and (
        file.path.is_dir() or (not final.is_symlink() and final.is_dir())
    ):
        # A folder cannot be replaced in one step, nor anything by a folder.
        os.rename(final, file.path.parent / f"{file.name}.old")
    os.replace(file.path, final)
    return final


def read(folder: pathlib.Path) -> dict[str, Any]:
    """The content of ``parity.json``; {} if there is none.

    Raises:
        InputError: it is damaged.
    """
    return read_object(folder / PARITY_FILE)


def write(folder: pathlib.Path, head: Mapping[str, Any], files: Mapping[str, Any]) -> None:
    """Writes ``parity.json``: what was exported, and a row for each file."""
    write_object(folder / PARITY_FILE, {**head, "files": dict(files)})


def read_object(path: pathlib.Path) -> dict[str, Any]:
    """The JSON object in a file of the folder; {} if there is none.

    Raises:
        InputError: it is damaged.
    """
    try:
        return manifest_fields.read_object(str(path), _MAX_BYTES)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: damaged ({error}); export again") from None


def write_object(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON object that ``read_object`` reads."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    _write_text(path, f"{text}\n")


def check_same_model(folder: pathlib.Path, head: Mapping[str, Any]) -> dict[str, Any]:
    """The rows of ``parity.json`` in ``folder``, if they are of the same model.

    Args:
        folder: of exports.
        head: what is to be exported: weights_sha256 and thresholds.

    Raises:
        InputError: the folder holds the exports of another model, or with other thresholds.
    """
    known = read(folder)
    # One that lists nothing is of an export that has not come to its first file.
    if not known.get("files"):
        return {}
    for name, what in (("weights_sha256", "another model"), ("thresholds", "other thresholds")):
        if known.get(name) != head[name]:
            raise InputError(
                f"--output_dir={folder}: holds exports of {what} "
                f"({known.get('run')}, step {known.get('step')}, {known.get('thresholds')}); must "
                "be another folder, or delete it"
            )
    files = known.get("files")
    return dict(files) if isinstance(files, dict) else {}


def num_bytes(path: pathlib.Path) -> int:
    """Size of a file, or of all files in a folder."""
    files = [item for item in path.rglob("*") if item.is_file()] if path.is_dir() else [path]
    return sum(item.stat().st_size for item in files)


def write_labels(folder: pathlib.Path, class_names: Sequence[str]) -> None:
    """Writes ``labels.txt``: a class a line, the one of label 1 first."""
    lines = [" ".join(name.splitlines()) for name in class_names]
    _write_text(folder / LABELS_FILE, "\n".join(lines) + "\n")


def _write_text(path: pathlib.Path, text: str) -> None:
    from ssd_tfrecord.runs.run_files import write_text

    write_text(path, text.encode("utf-8", "backslashreplace").decode())
