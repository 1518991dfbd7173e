"""The images that are stored with exports, for ``--verify``, and what the run finds in them."""

import dataclasses
import pathlib
import re
import reprlib
import tokenize
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.detector import Prepared
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting import export_folder
from ssd_tfrecord.exporting.check_set import CheckImage
from ssd_tfrecord.options.records import ImageOptions
from ssd_tfrecord.records.images import decoding, limits

EXPECTED_FILE = "expected.json"

_NAME = re.compile(r"\d{4,8}\.jpg", re.ASCII)
# No stored image and no number of one is larger.
_MAX_BYTES = 2**28
_LARGEST = 2**31 - 1
_DTYPES = {
    "boxes": np.float32,
    "scores": np.float32,
    "labels": np.int32,
    "difficult": bool,
    "crowd": bool,
    "area": np.float32,
}


def store_checks(
    folder: pathlib.Path,
    images: Sequence[CheckImage],
    expected: Sequence[Detections],
    class_names: Sequence[str],
) -> None:
    """Stores images with their ground truth and the Detector's detections, for ``--verify``.

    Args:
        folder: of exports.
        images: to store.
        expected: the Detector's detections of each.
        class_names: of the labels 1, 2, ….
    """
    place = export_folder.new_folder(folder / export_folder.CHECK)
    rows = []
    for number, (image, found) in enumerate(zip(images, expected, strict=True)):
        name = f"{number:04d}.jpg"
        (place / name).write_bytes(image.encoded)
        np.save(place / f"{number:04d}.npy", image.prepared.pixels, allow_pickle=False)
        rows.append({"image": name, "truth": _plain(image.truth), "detections": _plain(found)})
    export_folder.write_object(
        place / EXPECTED_FILE, {"classes": list(class_names), "images": rows}
    )


def load_checks(
    folder: pathlib.Path,
) -> tuple[list[CheckImage], list[Detections], tuple[str, ...]]:
    """What ``store_checks`` stored: images, the Detector's detections, and class names.

    Raises:
        InputError: there are none, or they are damaged; a stranger's, too, are read without trust.
    """
    place = folder / export_folder.CHECK
    path = place / EXPECTED_FILE
    content = export_folder.read_object(path)
    if not content:
        raise InputError(
            f"--verify={folder}: has no {export_folder.CHECK}/{EXPECTED_FILE}; export again"
        )
    try:
        names = _classes(content.get("classes"))
        rows = content.get("images")
        if not isinstance(rows, list) or not rows:
            raise _refused("images", rows, "a list of at least one image")
        parsed = [_row(f"images[{number}]", row, len(names)) for number, row in enumerate(rows)]
    except _DamageError as error:
        raise InputError(f"{path}: damaged ({error}); export again") from None
    images = [_image(place / name, truth) for name, truth, _ in parsed]
    return images, [found for _, _, found in parsed], names


class _DamageError(Exception):
    """What in expected.json is not what it must be."""


def _refused(where: str, value: object, what: str) -> _DamageError:
    # reprlib: a value may be as long as the file.
    return _DamageError(f"{where}: {reprlib.repr(value)}: must be {what}")


def _classes(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(x, str) for x in value):
        raise _refused("classes", value, "a list of at least one name")
    return tuple(value)


def _row(where: str, row: object, num_classes: int) -> tuple[str, GroundTruth, Detections]:
    """The name of an image, its objects, and the Detector's detections."""
    row = _object(where, row)
    name = row.get("image")
    # A name in the file is not trusted to stay in the folder.
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _refused(f"{where}.image", name, "a name like 0000.jpg")
    truth: GroundTruth = _read(f"{where}.truth", row.get("truth"), GroundTruth, num_classes)
    found: Detections = _read(f"{where}.detections", row.get("detections"), Detections, num_classes)
    keys = ("source_id", "height", "width")
    if any(getattr(truth, key) != getattr(found, key) for key in keys):
        raise _DamageError(f"{where}: truth and detections must be of one {', '.join(keys)}")
    return name, truth, found


def _object(where: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _refused(where, value, "a JSON object")
    return value


def _read(where: str, value: object, kind: Any, num_classes: int) -> Any:
    """A ``kind``, GroundTruth or Detections, of what ``_plain`` made of it."""
    row = _object(where, value)
    found: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        here, item = f"{where}.{field.name}", row.get(field.name)
        if field.name in _DTYPES:
            found[field.name] = _array(here, item, field.name, num_classes)
        elif field.name == "source_id":
            if not isinstance(item, str):
                raise _refused(here, item, "a text")
            found[field.name] = item
        else:
            if not _is_whole(item, _LARGEST):
                raise _refused(here, item, f"a whole number from 1 to {_LARGEST}")
            found[field.name] = item
    lengths = {name: len(found[name]) for name in _DTYPES if name in found}
    if len(set(lengths.values())) > 1:
        words = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise _DamageError(f"{where}: must have lists of one length, and has {words}")
    return kind(**found)


def _array(where: str, value: object, name: str, num_classes: int) -> np.ndarray:
    is_item: Callable[[object], bool] = _is_number
    what = "numbers"
    if name == "labels":
        is_item, what = lambda item: _is_whole(item, num_classes), f"labels from 1 to {num_classes}"
    elif _DTYPES[name] is bool:
        is_item, what = lambda item: isinstance(item, bool), "true and false"
    elif name == "boxes":
        is_item, what = _is_box, "boxes of 4 numbers"
    if not isinstance(value, list):
        raise _refused(where, value, f"a list of {what}")
    for place, item in enumerate(value):
        if not is_item(item):
            raise _refused(f"{where}[{place}]", item, f"one of {what}")
    # reshape: an empty list is [0], not [0, 4].
    array = np.array(value, _DTYPES[name])
    return array.reshape(-1, 4) if name == "boxes" else array


def _is_whole(item: object, most: int) -> bool:
    # True is an int of Python's.
    return type(item) is int and 1 <= item <= most


def _is_number(item: object) -> bool:
    return type(item) in (int, float) and abs(item) <= _LARGEST  # type: ignore[arg-type]


def _is_box(item: object) -> bool:
    return isinstance(item, list) and len(item) == 4 and all(map(_is_number, item))


def _image(path: pathlib.Path, truth: GroundTruth) -> CheckImage:
    """The stored image at ``path``, and its pixels beside it."""
    pixels = _pixels(path.with_suffix(".npy"))
    try:
        encoded = _bytes(path)
        header = limits.read_header(encoded, ImageOptions.max_pixels)
        image = decoding.decode(encoded, header, ImageOptions.max_pixels, "none").image
    except (OSError, limits.RefusedImageError) as error:
        raise _damaged(path, error) from None
    if image.size != (truth.width, truth.height):
        size = f"{image.width}x{image.height} pixels"
        raise InputError(
            f"{path}: damaged (has {size}; {EXPECTED_FILE} says {truth.width}x{truth.height}); "
            "export again"
        )
    return CheckImage(encoded, Prepared(truth.source_id, truth.height, truth.width, pixels), truth)


def _pixels(path: pathlib.Path) -> np.ndarray:
    """What the network takes of an image, uint8 [S, S, 3]."""
    try:
        _check_size(path)
        # Mapped: what its header claims is not allocated.
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        shape = mapped.shape
        if mapped.dtype != np.uint8 or len(shape) != 3 or shape[0] != shape[1] or shape[2] != 3:
            raise ValueError(f"{mapped.dtype} {list(shape)}, must be uint8 [S, S, 3]")
        return np.array(mapped)
    # All that a header of other bytes, which is a Python literal, leads to.
    except (
        *(OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, OverflowError),
        *(SyntaxError, RecursionError, MemoryError, tokenize.TokenError),
    ) as error:
        raise _damaged(path, error) from None


def _bytes(path: pathlib.Path) -> bytes:
    _check_size(path)
    return path.read_bytes()


def _check_size(path: pathlib.Path) -> None:
    # A pipe would block.
    if not path.is_file():
        raise OSError("no such file")
    if (size := path.stat().st_size) > _MAX_BYTES:
        raise OSError(f"has {size:,} bytes, must have at most {_MAX_BYTES:,}")


def _damaged(path: pathlib.Path, error: BaseException) -> InputError:
    words = " ".join(str(getattr(error, "strerror", "") or error).split())
    return InputError(f"{path}: damaged ({words or type(error).__name__}); export again")


def _plain(item: Any) -> dict[str, Any]:
    pairs = ((field.name, getattr(item, field.name)) for field in dataclasses.fields(item))
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in pairs
    }
