"""Boxes drawn on pictures: detections, beside the ground truth where there is one."""

import colorsys
import io
import pathlib

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from ssd_tfrecord.detection.detections import image_names
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.schema import parse_example

# Evaluation keeps scores down to 0.01; a picture of them all would show nothing.
MIN_SCORE = 0.3
# Smaller pictures are enlarged, so that names can be read.
_MIN_SIDE = 400
# In each JPEG that is written: by it the next evaluation knows which it may remove.
_MARK = b"ssd_tfrecord.evaluate"
# (width, height) of a sheet's cell: detections beside ground truth, and one image alone.
_PAIR, ALONE = (640, 260), (480, 360)
_BACKGROUND = (24, 24, 27)
_CAPTION = (228, 228, 231)


def draw_detections(image, detections, class_names, min_score=0.0):
    """``image`` (RGB Pillow) with the ``Detections`` of at least ``min_score``: name and score."""
    shown = detections.scores >= min_score
    tags = [
        f"{class_names[label - 1]} {score:.2f}"
        for label, score in zip(detections.labels[shown], detections.scores[shown])
    ]
    return _draw(image, detections.boxes[shown], detections.labels[shown], tags)


def draw_ground_truth(image, truth, class_names):
    """``image`` (RGB Pillow) with the objects of a ``GroundTruth``; difficult and crowd say so."""
    marks = np.where(truth.crowd, " (crowd)", np.where(truth.difficult, " (difficult)", ""))
    tags = [f"{class_names[label - 1]}{mark}" for label, mark in zip(truth.labels, marks)]
    return _draw(image, truth.boxes, truth.labels, tags)


def side_by_side(left, right, captions=("detections", "ground truth")):
    """Two Pillow images of one size beside each other, a caption above each."""
    font = ImageFont.load_default(size=max(14, left.height // 30))
    bar, gap = 2 * font.size, max(4, left.width // 100)
    canvas = Image.new("RGB", (2 * left.width + gap, left.height + bar), _BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for image, caption, x in zip((left, right), captions, (0, left.width + gap)):
        canvas.paste(image, (x, bar))
        center = (x + left.width // 2, bar // 2)
        draw.text(center, caption, fill=_CAPTION, font=font, anchor="mm")
    return canvas


def contact_sheet(pictures, columns=2, cell=_PAIR):
    """Pillow images shrunk into the cells of one sheet, row by row."""
    width, height = cell
    gap = 8
    rows = -(-len(pictures) // columns)
    size = (columns * (width + gap) + gap, rows * (height + gap) + gap)
    sheet = Image.new("RGB", size, _BACKGROUND)
    for index, picture in enumerate(pictures):
        scale = min(width / picture.width, height / picture.height)
        small = picture.resize(
            (max(1, round(picture.width * scale)), max(1, round(picture.height * scale))),
            Image.Resampling.LANCZOS,
        )
        x = gap + index % columns * (width + gap) + (width - small.width) // 2
        y = gap + index // columns * (height + gap) + (height - small.height) // 2
        sheet.paste(small, (x, y))
    return sheet


def record_pictures(manifest: Manifest, ground_truths, detections, count):
    """Detections of ``count`` records spread evenly over ``manifest``, beside the ground truth.

    A set without annotations has detections alone.

    Args:
        ground_truths: list of ``GroundTruth`` of every record, in record order.
        detections: list of ``Detections``, likewise; those above ``MIN_SCORE`` are drawn.
        count: pictures; at most one a record.

    Returns:
        list of (source_id, Pillow image).
    """
    indices = spread(manifest.num_records, count)
    pictures = []
    for index, image in zip(indices, _read_images(manifest, indices)):
        names = manifest.class_names
        picture = draw_detections(image, detections[index], names, MIN_SCORE)
        if manifest.num_objects:
            truth = draw_ground_truth(image, ground_truths[index], names)
            picture = side_by_side(picture, truth)
        pictures.append((ground_truths[index].source_id, picture))
    return pictures


def write_pictures(folder, pictures):
    """Writes each (source_id, Pillow image) as a JPEG, and contact_sheet.jpg of them all.

    JPEGs in ``folder`` that an earlier call wrote are removed.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for path in filter(_is_ours, folder.glob("*.jpg")):
        path.unlink()
    names = image_names([source_id for source_id, _ in pictures])
    for name, (_, picture) in zip(names, pictures):
        picture.save(folder / f"{name}.jpg", quality=90, comment=_MARK)
    sheet = contact_sheet([picture for _, picture in pictures])
    sheet.save(folder / "contact_sheet.jpg", quality=90, comment=_MARK)


def _is_ours(path):
    try:
        with Image.open(path, formats=["JPEG"]) as image:
            return image.info.get("comment") == _MARK
    except OSError:
        return False


def spread(total, count):
    """At most ``count`` different indices spread evenly over 0 … ``total`` - 1."""
    count = min(total, count)
    return [index * total // count for index in range(count)]


def _read_images(manifest, indices):
    wanted = tf.constant(indices, tf.int64)
    records = tf.data.TFRecordDataset(list(manifest.shard_paths)).enumerate()
    records = records.filter(lambda index, _: tf.reduce_any(wanted == index))
    for _, serialized in records:
        encoded = parse_example(serialized)["encoded"].numpy()
        yield Image.open(io.BytesIO(encoded)).convert("RGB")


def _draw(image, boxes, labels, tags):
    """A copy of ``image`` with a box and a tag for each row, the first row on top."""
    scale = max(1.0, _MIN_SIDE / max(image.size))
    picture = image.resize((round(image.width * scale), round(image.height * scale)))
    draw = ImageDraw.Draw(picture)
    side = min(picture.size)
    line = max(2, side // 160)
    font = ImageFont.load_default(size=max(12, side // 28))
    corners = np.round(boxes * np.tile([picture.height - 1, picture.width - 1], 2)).astype(int)
    rows = list(zip(corners.tolist(), labels, tags))[::-1]
    for (ymin, xmin, ymax, xmax), label, _ in rows:
        draw.rectangle((xmin, ymin, xmax, ymax), outline=class_color(label), width=line)
    for corner, label, tag in rows:
        _draw_tag(draw, corner, tag, class_color(label), font)
    return picture


def _draw_tag(draw, corner, tag, color, font):
    """The tag above the box, or inside at its top where there is no room; never off the picture."""
    pad = max(2, font.size // 6)
    width = int(draw.textlength(tag, font=font)) + 2 * pad
    height = font.size + 2 * pad
    ymin, xmin = corner[:2]
    x = max(0, min(xmin, draw.im.size[0] - width))
    y = ymin - height if ymin >= height else ymin
    draw.rectangle((x, y, x + width, y + height), fill=color)
    bright = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 140
    ink = (0, 0, 0) if bright else (255, 255, 255)
    draw.text((x + pad, y + height // 2), tag, fill=ink, font=font, anchor="lm")


def class_color(label):
    """RGB of a class: hues a golden section apart, in three shades, so that neighbours differ."""
    hue = (int(label) * 0.618034) % 1.0
    saturation, value = ((0.85, 0.95), (0.6, 1.0), (0.95, 0.7))[int(label) // 13 % 3]
    return tuple(round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, saturation, value))
