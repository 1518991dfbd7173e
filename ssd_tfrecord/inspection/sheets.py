"""Contact sheets of record sets: some records with their boxes, and suspects with captions."""

import io
import os
import pathlib
import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ssd_tfrecord.detection import pictures
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.inspection import frames
from ssd_tfrecord.inspection.facts import SearchedSet
from ssd_tfrecord.inspection.suspects import KINDS, Suspect
from ssd_tfrecord.inspection.suspects_report import class_of, describe
from ssd_tfrecord.records import schema
from ssd_tfrecord.records.manifest import Manifest

# Three rows of four.
_IN_SHEET = 12
# Suspects on a sheet, and in a row of it.
MAX_SUSPECTS, _SUSPECTS_IN_ROW = 24, 3
# Of a suspect: (width, height) of its pictures, and the height of its caption and of the letters.
_SCENE, _CAPTION, _LETTERS = (640, 300), 64, 15
_INK, _PAPER = (228, 228, 231), (39, 39, 42)
# A box whose longer side is below this share of the image is shown again, enlarged.
_SMALL = 0.25
# The part of the image that is shown then: so many times the box, but at least so many pixels.
_AROUND, _MIN_PIXELS = 3.0, 48

_Image = Image.Image


def write_sheets(manifest: Manifest, count: int, folder: str) -> list[tuple[str, list[str]]]:
    """Draws some records, spread evenly over the set, on PNG sheets of twelve.

    Args:
        manifest: of the set.
        count: number of records.
        folder: created if it does not exist.

    Returns:
        (path, source_id of each picture) of each sheet.
    """
    drawn, names = [], []
    # The same records at every call, and only these are read.
    for serialized in frames.read_records(manifest, pictures.spread(manifest.num_records, count)):
        record = {name: value.numpy() for name, value in schema.parse_example(serialized).items()}
        image = Image.open(io.BytesIO(record.pop("encoded"))).convert("RGB")
        names.append(record["source_id"].decode())
        truth = GroundTruth(**{**record, "source_id": names[-1]})
        drawn.append(pictures.draw_ground_truth(image, truth, manifest.class_names))
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    sheets = []
    for start in range(0, len(drawn), _IN_SHEET):
        path = os.path.join(folder, f"pictures-{start // _IN_SHEET + 1:02d}.png")
        part = drawn[start : start + _IN_SHEET]
        pictures.contact_sheet(part, columns=4, cell=pictures.ALONE).save(path)
        sheets.append((path, names[start : start + _IN_SHEET]))
    return sheets


def write_suspect_sheets(
    suspects: Sequence[Suspect], sets: Sequence[SearchedSet], folder: str
) -> list[str]:
    """Draws the worst suspects of each kind, with captions, on suspects-KIND.png.

    Sheets that an earlier call has left there are removed.

    Args:
        suspects: of ``find_suspects``.
        sets: that were searched.
        folder: must exist.

    Returns:
        The paths of the sheets.
    """
    paths = []
    for kind in KINDS:
        path = pathlib.Path(folder, f"suspects-{kind}.png")
        path.unlink(missing_ok=True)
        # Of a class without objects there is nothing to draw.
        drawn = [item for item in suspects if item.kind == kind and item.place[1] >= 0]
        if panels := _panels(drawn[:MAX_SUSPECTS], sets):
            cell = (_SCENE[0], _SCENE[1] + _CAPTION)
            columns = min(_SUSPECTS_IN_ROW, len(panels))
            pictures.contact_sheet(panels, columns=columns, cell=cell).save(path)
            paths.append(str(path))
    return paths


def _panels(suspects: Sequence[Suspect], sets: Sequence[SearchedSet]) -> list[_Image]:
    places = {place for item in suspects for place in (item.place, item.other) if place}
    encoded = _read_images(places, sets)
    return [_panel(item, encoded, sets) for item in suspects]


def _read_images(
    places: Iterable[tuple[int, int]], sets: Sequence[SearchedSet]
) -> dict[tuple[int, int], bytes]:
    """The images of (set, record), not yet decoded: all of them would take much memory."""
    images = {}
    for number, one in enumerate(sets):
        wanted = sorted(record for other, record in places if other == number)
        for record, serialized in zip(wanted, frames.read_records(one.manifest, wanted)):
            images[number, record] = schema.parse_example(serialized)["encoded"].numpy()
    return images


def _decode(encoded: bytes) -> _Image:
    # Pillow raises all kinds of errors on damaged files, of which there may be two equal ones.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(io.BytesIO(encoded), formats=["JPEG"]).convert("RGB")
    except Exception:
        return Image.new("RGB", _SCENE, _PAPER)


def _panel(
    item: Suspect, encoded: Mapping[tuple[int, int], bytes], sets: Sequence[SearchedSet]
) -> _Image:
    """One suspect: its image with the box, or two images, above a caption."""
    image = _decode(encoded[item.place])
    if item.box is None:
        parts = [image, *([_decode(encoded[item.other])] if item.other else [])]
    else:
        box = np.array(item.box)
        tag = class_of(item)
        parts = [_boxed(image, box, tag)]
        if max(box[2:] - box[:2]) < _SMALL:
            parts.append(_boxed(*_around(image, box), tag))
    panel = Image.new("RGB", (_SCENE[0], _SCENE[1] + _CAPTION), _PAPER)
    gap = 4
    width = (_SCENE[0] - gap * (len(parts) - 1)) // len(parts)
    for index, part in enumerate(parts):
        scale = min(width / part.width, _SCENE[1] / part.height)
        size = (max(1, round(part.width * scale)), max(1, round(part.height * scale)))
        x = index * (width + gap) + (width - size[0]) // 2
        panel.paste(part.resize(size, Image.Resampling.LANCZOS), (x, (_SCENE[1] - size[1]) // 2))
    _write_caption(panel, [describe(item, sets), item.explanation])
    return panel


def _boxed(image: _Image, box: np.ndarray, tag: str) -> _Image:
    no = np.zeros(1, bool)
    truth = GroundTruth(
        source_id="",
        height=image.height,
        width=image.width,
        boxes=box[np.newaxis],
        labels=np.ones(1, np.int32),
        difficult=no,
        crowd=no,
        area=np.zeros(1, np.float32),
    )
    return pictures.draw_ground_truth(image, truth, [tag])


def _around(image: _Image, box: np.ndarray) -> tuple[_Image, np.ndarray]:
    """The part of an image around a box, and the box in it."""
    size = np.array([image.height, image.width])
    low, high = box[:2] * size, box[2:] * size
    side = np.minimum(max(_AROUND * max(high - low), _MIN_PIXELS), size)
    # Moved into the image where it would reach beyond it.
    begin = np.clip(np.round((low + high - side) / 2), 0, size - np.ceil(side)).astype(int)
    end = begin + np.ceil(side).astype(int)
    part = image.crop((begin[1], begin[0], end[1], end[0]))
    return part, (box * np.tile(size, 2) - np.tile(begin, 2)) / np.tile(end - begin, 2)


def _write_caption(panel: _Image, texts: Sequence[str]) -> None:
    """Writes texts below the pictures, in as many lines as there is room for."""
    font = ImageFont.load_default(size=_LETTERS)
    draw = ImageDraw.Draw(panel)
    lines = [""]
    for word in (word for text in texts for word in [*text.split(), "\n"]):
        longer = f"{lines[-1]} {word}".strip()
        if word == "\n" or draw.textlength(longer, font=font) > panel.width - 12:
            lines.append("" if word == "\n" else word)
        else:
            lines[-1] = longer
    for number, line in enumerate(lines[: _CAPTION // (_LETTERS + 4)]):
        draw.text((6, _SCENE[1] + 4 + number * (_LETTERS + 4)), line, fill=_INK, font=font)
