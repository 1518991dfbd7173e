"""Image files on the way into records: what they are is read from their bytes."""

import io
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from PIL import Image

from ssd_tfrecord.errors import InputError

JPEG_MAGIC = b"\xff\xd8\xff"
JPEG_QUALITY = 95
# Beside JPEG. Image files come from strangers, and Pillow's other plugins start programs
# (EPS: Ghostscript) or are hardly ever used.
FORMATS = ("PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """A JPEG that training's decoder has decoded; ``reencoded`` where the file was no JPEG."""

    encoded: bytes
    height: int
    width: int
    reencoded: bool


def read_image(path: str) -> EncodedImage:
    """The image of a file: a JPEG bit for bit, one of FORMATS as RGB JPEG.

    Raises: InputError if it cannot be read or decoded whole.
    """
    try:
        with open(path, "rb") as file:
            encoded = file.read()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    reencoded = not encoded.startswith(JPEG_MAGIC)
    if reencoded:
        encoded = _to_jpeg(path, encoded)
    height, width = _decoded_size(path, encoded)
    return EncodedImage(encoded, height, width, reencoded)


def _to_jpeg(path, content):
    target = io.BytesIO()
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            to_rgb(image).save(target, "JPEG", quality=JPEG_QUALITY)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise InputError(
            f"{path}: cannot be decoded: must be a whole JPEG, {', '.join(FORMATS)}, of 8 or "
            "16 bits a channel"
        ) from None
    return target.getvalue()


def to_rgb(image):
    """A Pillow image in RGB; 16 bits a channel are scaled to 8. ValueError for more, and floats."""
    # Pillow would cut off what 8 bits do not hold: all but the darkest grey would be white.
    if image.mode.startswith("I"):
        pixels = np.asarray(image).astype(np.int64)
        if pixels.min() < 0 or pixels.max() > 65535:
            raise ValueError("more than 16 bits a channel")
        image = Image.fromarray(np.uint8((pixels + 128) // 257))
    if image.mode == "F":
        raise ValueError("floats that have no known white")
    return image.convert("RGB")


def _decoded_size(path, encoded):
    # Training cuts its window with this very op, so what passes here decodes there.
    try:
        height, width = tf.io.extract_jpeg_shape(encoded).numpy()[:2].tolist()
        tf.io.decode_and_crop_jpeg(encoded, [0, 0, height, width], channels=3)
    except tf.errors.InvalidArgumentError:
        raise InputError(
            f"{path}: cannot be decoded: must be a whole JPEG; it is truncated or damaged"
        ) from None
    return height, width
