"""One record, checked for what training needs: it must parse, decode and make sense."""

import functools
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from ssd_tfrecord.records import schema
from ssd_tfrecord.records.annotation import ImageAnnotation, ObjectAnnotation, degeneracy
from ssd_tfrecord.records.images.jpeg_header import read_header

_Tensors = dict[str, tf.Tensor]

# Where the edges of a box may lie. Ours are inside the image. The TF Object Detection API takes
# edges up to 1.1 (box_list_ops.to_absolute_coordinates, for which larger ones are pixels) and looks
# for no smallest one, so records made for it are allowed as much on either side.
INSIDE = (0.0, 1.0)
TOLERATED = (-0.1, 1.1)


@dataclass(frozen=True)
class CheckedRecord:
    """What was found in a record.

    ``annotation`` is as training reads it, or None if the record cannot be parsed. ``damages`` is
    empty for a good one. ``texts`` are the class names that the record itself contains, if any, in
    its objects' order. ``num_clipped`` is the number of boxes that reach beyond the image.
    """

    annotation: ImageAnnotation | None
    damages: tuple[str, ...]
    texts: tuple[str, ...] = ()
    num_clipped: int = 0


def check(
    serialized: bytes,
    class_names: Sequence[str] | None,
    limits: tuple[float, float] = INSIDE,
) -> CheckedRecord:
    """Parses a record, and decodes its image with training's decoder.

    Args:
        serialized: the record.
        class_names: label i is ``class_names[i - 1]``; None accepts any label, and does not look
            at the image or the boxes.
        limits: the smallest and largest edge that a box may have, INSIDE or TOLERATED.
    """
    try:
        record, extra = _parse()(serialized)
    except tf.errors.InvalidArgumentError as error:
        return CheckedRecord(None, (f"cannot be parsed: {_reason(error)}",))
    # Other tools need not write UTF-8; what is not is replaced, as it is only shown and compared.
    texts = tuple(text.decode(errors="replace") for text in extra["texts"].numpy())
    height, width = int(record["height"]), int(record["width"])
    objects = _objects(record, class_names or ())
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
    # Not the boxes of the annotation, which are clipped.
    stored = extra["boxes"].numpy()
    for number, (item, box) in enumerate(zip(objects, stored), 1):
        what = [*_object_damages(item, class_names), *_box_damages(box, item.box, limits)]
        damages += [f"object {number}: {part}" for part in what]
    # After the labels: the name of a wrong one would be reported again.
    if texts and not damages:
        names = tuple(item.name for item in objects)
        if texts != names:
            damages.append(
                f"class names are {', '.join(texts)}, but its labels mean {', '.join(names)}"
            )
    num_clipped = int(np.any((stored < 0) | (stored > 1), axis=1).sum())
    return CheckedRecord(annotation, tuple(damages), texts, num_clipped)


# Cached: a new tf.function for each record would be traced each time.
@functools.cache
def _parse() -> Callable[[bytes], tuple[_Tensors, _Tensors]]:
    features = {
        schema.SHA256: tf.io.FixedLenFeature([], tf.string, ""),
        schema.ORIGINAL_FORMAT: tf.io.FixedLenFeature([], tf.string, "jpeg"),
        schema.TEXT: tf.io.FixedLenSequenceFeature([], tf.string, allow_missing=True),
        **{
            key: tf.io.FixedLenSequenceFeature([], tf.float32, allow_missing=True)
            for key in schema.BOX_EDGES
        },
    }

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def parse(serialized: tf.Tensor) -> tuple[_Tensors, _Tensors]:
        extra = tf.io.parse_single_example(serialized, features)
        return schema.parse_example(serialized), {
            "sha256": extra[schema.SHA256],
            "format": extra[schema.ORIGINAL_FORMAT],
            "texts": extra[schema.TEXT],
            "boxes": tf.stack([extra[key] for key in schema.BOX_EDGES], axis=1),
        }

    return parse


def _reason(error: tf.errors.OpError) -> str:
    # TensorFlow says where in the graph it was on the lines before, and which node after "[[".
    text = error.message.split("\n\t [[")[0].strip().splitlines()[-1]
    # It may quote the record, which can be long and binary.
    return "".join(letter if letter.isprintable() else "?" for letter in text[:200])


def _objects(record: Mapping[str, tf.Tensor], names: Sequence[str]) -> list[ObjectAnnotation]:
    fields = (record[key].numpy() for key in ("labels", "boxes", "difficult", "crowd", "area"))
    objects = []
    for label, box, difficult, crowd, area in zip(*fields):
        ymin, xmin, ymax, xmax = map(float, box)
        objects.append(
            ObjectAnnotation(
                label=int(label),
                name=names[label - 1] if 0 < label <= len(names) else str(label),
                box=(ymin, xmin, ymax, xmax),
                difficult=bool(difficult),
                crowd=bool(crowd),
                area=float(area),
            )
        )
    return objects


def _object_damages(item: ObjectAnnotation, class_names: Sequence[str]) -> Iterator[str]:
    if not 0 < item.label <= len(class_names):
        yield f"label {item.label}: must be 1 to {len(class_names)}"
    if not (math.isfinite(item.area) and item.area >= 0):
        yield f"area {item.area}: must be a finite number of pixels, at least 0"


def _box_damages(
    stored: np.ndarray, clipped: Sequence[float], limits: tuple[float, float]
) -> Iterator[str]:
    where = f"box {stored.tolist()}"
    # As float32, since the box is: 1.1 becomes a larger number.
    low, high = np.array(limits, np.float32)
    if reason := degeneracy(stored.tolist()):
        yield f"{where}: {reason}"
    elif min(stored) < low or max(stored) > high:
        yield f"{where}: must be inside [{limits[0]:g}, {limits[1]:g}]"
    elif degeneracy(clipped):
        yield f"{where}: no part of it is inside the image"


def _image_damages(encoded: bytes, sha256: bytes, height: int, width: int) -> Iterator[str]:
    # Other tools may leave the checksum out.
    if sha256 and sha256.decode(errors="replace") != hashlib.sha256(encoded).hexdigest():
        yield "image does not match the checksum in the record"
    header = read_header(encoded)
    if header is None:
        yield "image is not a JPEG; convert again"
        return
    if (header.height, header.width) != (height, width):
        yield f"image is {header.width}x{header.height}, but the record says {width}x{height}"
    try:
        # The operation that training uses: decode_jpeg accepts files that this one refuses.
        tf.io.decode_and_crop_jpeg(encoded, [0, 0, header.height, header.width], channels=3)
    except tf.errors.InvalidArgumentError:
        yield "image cannot be decoded"
