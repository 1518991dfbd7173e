"""One record, looked at as training will: it must parse, decode and make sense."""

import functools
import hashlib
import math
from dataclasses import dataclass

import tensorflow as tf

from ssd_tfrecord.records import schema
from ssd_tfrecord.records.annotation import ImageAnnotation, ObjectAnnotation, degeneracy
from ssd_tfrecord.records.images.jpeg_header import read_header


@dataclass(frozen=True)
class CheckedRecord:
    """``annotation`` is None where the record does not parse; ``damages`` is empty for a good one.

    ``texts`` are the class names that the record itself gives, if any, in its objects' order.
    """

    annotation: ImageAnnotation | None
    damages: tuple[str, ...]
    texts: tuple[str, ...] = ()


def check(serialized: bytes, class_names) -> CheckedRecord:
    """Parses the record and decodes its image by training's decoder.

    Args:
        class_names: label i is ``class_names[i - 1]``; None takes whatever there is, and
            does not look at the image.
    """
    try:
        record, extra = _parse()(serialized)
    except tf.errors.InvalidArgumentError as error:
        return CheckedRecord(None, (f"does not parse: {_reason(error)}",))
    texts = tuple(text.decode(errors="replace") for text in extra["texts"].numpy())
    height, width = int(record["height"]), int(record["width"])
    objects = _objects(record, class_names)
    annotation = ImageAnnotation(
        source_id=record["source_id"].numpy().decode(errors="replace"),
        filename="",
        height=height,
        width=width,
        objects=tuple(objects),
        original_format=extra["format"].numpy().decode(errors="replace"),
    )
    if class_names is None:
        return CheckedRecord(annotation, (), texts)
    damages = [*_image_damages(record["encoded"].numpy(), extra["sha256"].numpy(), height, width)]
    for number, item in enumerate(objects, 1):
        damages += [f"object {number}: {what}" for what in _object_damages(item, class_names)]
    if texts and not damages:
        names = tuple(item.name for item in objects)
        if texts != names:
            damages.append(f"classes are {', '.join(texts)}: by their labels {', '.join(names)}")
    return CheckedRecord(annotation, tuple(damages), texts)


@functools.cache
def _parse():
    features = {
        schema.SHA256: tf.io.FixedLenFeature([], tf.string, ""),
        schema.ORIGINAL_FORMAT: tf.io.FixedLenFeature([], tf.string, "jpeg"),
        schema.TEXT: tf.io.FixedLenSequenceFeature([], tf.string, allow_missing=True),
    }

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def parse(serialized):
        extra = tf.io.parse_single_example(serialized, features)
        return schema.parse_example(serialized), {
            "sha256": extra[schema.SHA256],
            "format": extra[schema.ORIGINAL_FORMAT],
            "texts": extra[schema.TEXT],
        }

    return parse


def _reason(error):
    # Before it stands where in the graph it was, behind it which node.
    text = error.message.split("\n\t [[")[0].strip().splitlines()[-1]
    return "".join(letter if letter.isprintable() else "?" for letter in text[:200])


def _objects(record, class_names):
    names = class_names or ()
    fields = (record[key].numpy() for key in ("labels", "boxes", "difficult", "crowd", "area"))
    return [
        ObjectAnnotation(
            label=int(label),
            name=names[label - 1] if 0 < label <= len(names) else str(label),
            box=tuple(map(float, box)),
            difficult=bool(difficult),
            crowd=bool(crowd),
            area=float(area),
        )
        for label, box, difficult, crowd, area in zip(*fields)
    ]


def _object_damages(item, class_names):
    if not 0 < item.label <= len(class_names):
        yield f"label {item.label}: must be 1 to {len(class_names)}"
    if reason := degeneracy(item.box):
        yield f"box {list(item.box)}: {reason}"
    elif min(item.box) < 0 or max(item.box) > 1:
        yield f"box {list(item.box)}: must be inside [0, 1]"
    if not (math.isfinite(item.area) and item.area >= 0):
        yield f"area {item.area}: must be a number of pixels"


def _image_damages(encoded, sha256, height, width):
    if sha256 and sha256.decode(errors="replace") != hashlib.sha256(encoded).hexdigest():
        yield "image is not the one whose checksum the record has"
    header = read_header(encoded)
    if header is None:
        yield "image is no JPEG: convert anew"
        return
    if (header.height, header.width) != (height, width):
        yield f"image is {header.width}x{header.height}, in the record {width}x{height}"
    try:
        tf.io.decode_and_crop_jpeg(encoded, [0, 0, header.height, header.width], channels=3)
    except tf.errors.InvalidArgumentError:
        yield "image does not decode"
