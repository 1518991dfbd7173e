"""Detections of an image, and what files of results need: boxes in pixels, and names."""

import collections
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

# File systems take 255 bytes; the rest is for what goes before and after.
_MAX_BYTES = 200
# What Windows forbids in file names, control characters, and lone surrogates, which UTF-8 lacks.
_INVALID = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')
# What Windows takes for a device, whatever the suffix.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])\s*(\.|$)", re.IGNORECASE)
_SPLITS = re.compile(r"[\s/\ud800-\udfff]")


@dataclass(frozen=True)
class Detections:
    """The N detections of one image, best first, without padding.

    ``boxes`` float32 [N, 4] as [ymin, xmin, ymax, xmax] in [0, 1], ``scores`` float32 [N],
    ``labels`` int32 [N] from 1. ``height`` and ``width`` in pixels.
    """

    source_id: str
    height: int
    width: int
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


def unpad(source_id: str, height: int, width: int, padded: Mapping[str, np.ndarray]) -> Detections:
    """One image's ``Detections``, without the rows of padding, which have label 0.

    Args:
        source_id: of the image.
        height: of the image, in pixels.
        width: of the image, in pixels.
        padded: the image's part of ``geometry.suppression``'s result: boxes [D, 4], scores [D] and
            labels [D].
    """
    found = padded["labels"] > 0
    arrays = {name: padded[name][found] for name in ("boxes", "scores", "labels")}
    return Detections(source_id, height, width, **arrays)


def pixel_boxes(boxes: ArrayLike, height: int, width: int) -> np.ndarray:
    """Boxes [N, 4] in pixels, rounded to a thousandth; edges count from 0.

    A float32 fraction keeps a pixel position to 1/25,000. Rounding to a thousandth restores the
    whole pixels and hundredths in which annotations are written, so that an IoU that lies exactly
    on a threshold falls on the same side as with the original files.

    Args:
        boxes: [N, 4] as fractions of the image.
        height: of the image, in pixels.
        width: of the image, in pixels.

    Returns:
        float64 [N, 4] in the order of ``boxes``.
    """
    # reshape: an empty list is [0], not [0, 4].
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    return np.round(boxes * [height, width, height, width], 3)


def pixel_rectangles(boxes: ArrayLike, height: int, width: int) -> np.ndarray:
    """COCO's rectangles, float64 [N, 4] as [x, y, width, height] in pixels; see ``pixel_boxes``."""
    ymin, xmin, ymax, xmax = pixel_boxes(boxes, height, width).T
    # Rounded again, because the difference of two rounded floats is not itself rounded.
    return np.round(np.stack([xmin, ymin, xmax - xmin, ymax - ymin], axis=-1), 3)


def devkit_boxes(boxes: ArrayLike, height: int, width: int) -> np.ndarray:
    """VOC's boxes, float64 [N, 4] as [xmin, ymin, xmax, ymax]; see ``pixel_boxes``.

    Pixels count from 1, and both ends are inside.
    """
    ymin, xmin, ymax, xmax = pixel_boxes(boxes, height, width).T
    # The last pixel inside, counted from 1, has the number of its far edge, counted from 0.
    return np.stack([xmin + 1, ymin + 1, xmax, ymax], axis=-1)


def json_entry(image: Detections, class_names: Sequence[str]) -> dict[str, Any]:
    """One image of detections.json.

    Args:
        image: its detections.
        class_names: of the labels 1, 2, ….

    Returns:
        {image: source_id, width, height, detections}. Each detection is {label: class name,
        class_id: from 1, score, box}; a box is [xmin, ymin, xmax, ymax] in pixels, edges counted
        from 0.
    """
    boxes = pixel_boxes(image.boxes, image.height, image.width)[:, [1, 0, 3, 2]].tolist()
    rows = zip(image.labels, image.scores.tolist(), boxes)
    return {
        "image": image.source_id,
        "width": image.width,
        "height": image.height,
        "detections": [
            {"label": class_names[label - 1], "class_id": int(label), "score": score, "box": box}
            for label, score, box in rows
        ],
    }


def file_names(names: Sequence[str]) -> list[str]:
    """File names for ``names``, without a suffix, that are distinct and valid on every system.

    A name that is valid and differs from those before it stays as it is. In another, what a file
    system may refuse becomes an underscore; -2, -3, … follow where that name is taken.

    Args:
        names: any; some may be equal.

    Returns:
        One per name: at most 200 bytes of UTF-8, and no two alike where a file system ignores case
        and the form of accents, as those of Windows and macOS do.
    """
    return _distinct(names, _valid_in_files, _caseless)


def word_names(names: Sequence[str]) -> list[str]:
    """``file_names`` without white space too, for files whose lines are split there."""
    return _distinct(names, lambda name: _as_word(_valid_in_files(name)), _caseless)


def image_names(source_ids: Sequence[str]) -> list[str]:
    """File names for images: 000001 for VOC2007/000001, or VOC2007_000001 where two would agree."""
    return file_names(_short(source_ids, _caseless))


def image_words(source_ids: Sequence[str]) -> list[str]:
    """Distinct names for images in lines that are split at white space: 000001 for VOC2007/000001.

    As no file has these names, they may differ in case alone, and hold any other character.
    """
    return _distinct(_short(source_ids, str), _as_word, str)


def _short(source_ids: Sequence[str], key: Callable[[str], str]) -> list[str]:
    """The stem of each id, or the id with _ for / where the keys of two stems agree."""
    stems = [source_id.rsplit("/", 1)[-1] for source_id in source_ids]
    counts = collections.Counter(map(key, stems))
    return [
        stem if counts[key(stem)] == 1 else source_id for stem, source_id in zip(stems, source_ids)
    ]


def _distinct(
    names: Sequence[str], cleaned: Callable[[str], str], key: Callable[[str], str]
) -> list[str]:
    """``names``, cleaned and numbered until no two have the same key."""
    # {key: position of the name that has it}
    taken: dict[str, int] = {}
    # First, so that no name is changed for the sake of one that is changed anyway.
    for place, name in enumerate(names):
        if cleaned(name) == name:
            taken.setdefault(key(name), place)
    found = []
    numbers: collections.Counter[str] = collections.Counter()
    for place, name in enumerate(names):
        first = candidate = cleaned(name)
        while taken.setdefault(key(candidate), place) != place:
            numbers[first] += 1
            number = f"-{numbers[first] + 1}"
            candidate = _cut(first, _MAX_BYTES - len(number)) + number
        found.append(candidate)
    return found


def _valid_in_files(name: str) -> str:
    name = _INVALID.sub("_", name)
    # "" and ".." are no names; one that begins with a dot is hidden.
    if not name or name[0] == "." or _DEVICE.match(name):
        name = "_" + name[1:]
    return _cut(name, _MAX_BYTES)


def _as_word(name: str) -> str:
    return _SPLITS.sub("_", name) or "_"


def _cut(text: str, num_bytes: int) -> str:
    # "ignore" drops a character of which only a part is left.
    return text.encode()[:num_bytes].decode(errors="ignore")


def _caseless(name: str) -> str:
    # Canonical caseless matching: The Unicode Standard 15.0, 3.13, D145.
    decomposed = unicodedata.normalize("NFD", name).casefold()
    return unicodedata.normalize("NFD", decomposed)
