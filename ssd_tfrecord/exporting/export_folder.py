"""A folder of exports: files under their final names, parity.json, and images to check them on."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records import manifest_fields

if TYPE_CHECKING:
    from ssd_tfrecord.detection.detections import Detections
    from ssd_tfrecord.exporting.check_set import CheckImage
    from ssd_tfrecord.exporting.exported_file import ExportedFile

PARITY_FILE = "parity.json"
LABELS_FILE = "labels.txt"
CHECK = "check"
EXPECTED_FILE = "expected.json"
# Where files lie until they are checked.
ASIDE = ".partial"

_MAX_BYTES = 2**26


@contextlib.contextmanager
def aside(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """A new folder in ``folder`` for files that are not checked yet; it is gone afterwards."""
    place = folder / ASIDE
    # Of an export that was killed.
    _remove(place)
    place.mkdir(parents=True)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


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
    return _read_object(folder / PARITY_FILE)


def write(folder: pathlib.Path, head: Mapping[str, Any], files: Mapping[str, Any]) -> None:
    """Writes ``parity.json``: what was exported, and a row for each file."""
    _write_text(folder / PARITY_FILE, _json({**head, "files": dict(files)}))


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


def store_checks(
    folder: pathlib.Path,
    images: "Sequence[CheckImage]",
    expected: "Sequence[Detections]",
    class_names: Sequence[str],
) -> None:
    """Stores images with their ground truth and the Detector's detections, for ``--verify``.

    Args:
        folder: of exports.
        images: to store.
        expected: the Detector's detections of each.
        class_names: of the labels 1, 2, ….
    """
    place = folder / CHECK
    _remove(place)
    place.mkdir()
    rows = []
    for number, (image, found) in enumerate(zip(images, expected, strict=True)):
        name = f"{number:04d}.jpg"
        (place / name).write_bytes(image.encoded)
        np.save(place / f"{number:04d}.npy", image.prepared.pixels, allow_pickle=False)
        rows.append({"image": name, "truth": _plain(image.truth), "detections": _plain(found)})
    _write_text(place / EXPECTED_FILE, _json({"classes": list(class_names), "images": rows}))


def load_checks(
    folder: pathlib.Path,
) -> "tuple[list[CheckImage], list[Detections], tuple[str, ...]]":
    """What ``store_checks`` stored: images, the Detector's detections, and class names.

    Raises:
        InputError: there are none, or they are damaged.
    """
    from ssd_tfrecord.detection.detections import Detections
    from ssd_tfrecord.detection.detector import Prepared
    from ssd_tfrecord.detection.ground_truth import GroundTruth
    from ssd_tfrecord.exporting.check_set import CheckImage

    place = folder / CHECK
    content = _read_object(place / EXPECTED_FILE)
    if not content:
        raise InputError(f"--verify={folder}: has no {CHECK}/{EXPECTED_FILE}; export again")
    images, expected = [], []
    try:
        for row in content["images"]:
            # Names in the file are not trusted to stay in the folder.
            path = place / pathlib.PurePath(row["image"]).name
            truth = GroundTruth(**_arrays(row["truth"], GroundTruth))
            found = Detections(**_arrays(row["detections"], Detections))
            pixels = np.load(path.with_suffix(".npy"), allow_pickle=False)
            prepared = Prepared(truth.source_id, truth.height, truth.width, pixels)
            images.append(CheckImage(path.read_bytes(), prepared, truth))
            expected.append(found)
        return images, expected, tuple(map(str, content["classes"]))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{place}: damaged ({error}); export again") from None


def write_labels(folder: pathlib.Path, class_names: Sequence[str]) -> None:
    """Writes ``labels.txt``: a class a line, the one of label 1 first."""
    lines = [" ".join(name.splitlines()) for name in class_names]
    _write_text(folder / LABELS_FILE, "\n".join(lines) + "\n")


def _remove(place: pathlib.Path) -> None:
    """Removes a folder, or a link of its name."""
    if place.is_symlink():
        place.unlink()
    elif place.exists():
        shutil.rmtree(place)


_DTYPES = {
    "boxes": np.float32,
    "scores": np.float32,
    "labels": np.int32,
    "difficult": bool,
    "crowd": bool,
    "area": np.float32,
}


def _plain(item: Any) -> dict[str, Any]:
    pairs = ((field.name, getattr(item, field.name)) for field in dataclasses.fields(item))
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in pairs
    }


def _arrays(row: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        value = row[field.name]
        if field.name in _DTYPES:
            value = np.array(value, _DTYPES[field.name])
            found[field.name] = value.reshape(-1, 4) if field.name == "boxes" else value
        else:
            found[field.name] = str(value) if field.name == "source_id" else int(value)
    return found


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _write_text(path: pathlib.Path, text: str) -> None:
    from ssd_tfrecord.runs.run_files import write_text

    write_text(path, text.encode("utf-8", "backslashreplace").decode())


def _read_object(path: pathlib.Path) -> dict[str, Any]:
    try:
        return manifest_fields.read_object(str(path), _MAX_BYTES)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: damaged ({error}); export again") from None
