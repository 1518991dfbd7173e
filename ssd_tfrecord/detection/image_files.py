"""Images opened by content, as the converters open them, and as the network sees records."""

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import tensorflow as tf
from PIL import Image

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import ImageOptions
from ssd_tfrecord.records.images import exif
from ssd_tfrecord.records.images.decoding import decode_jpeg, decode_upright
from ssd_tfrecord.records.images.limits import RefusedImageError, read_file, read_header
from ssd_tfrecord.records.images.stored_image import MAX_JPEG_SIDE

# A file's path, or its bytes.
File: TypeAlias = str | os.PathLike[str] | bytes


@dataclass(frozen=True)
class LoadedImage:
    """An image upright and in RGB.

    ``pixels`` uint8 [height, width, 3], a tensor or an array, are those of a record made of it:
    what is not a JPEG becomes one, as in the converters. ``image`` is what is drawn on; None if
    that has the same pixels.
    """

    pixels: tf.Tensor | np.ndarray
    image: Image.Image | None = None

    @classmethod
    def of_array(cls, pixels: np.ndarray) -> "LoadedImage":
        """Of uint8 [height, width, 3], as they are."""
        return cls(pixels)

    @classmethod
    def of_image(cls, image: Image.Image) -> "LoadedImage":
        """Of an RGB image that was no JPEG."""
        # No record can hold a longer one.
        if max(image.size) > MAX_JPEG_SIDE:
            return cls(np.asarray(image), image)
        stored = io.BytesIO()
        image.save(stored, "JPEG", quality=ImageOptions.jpeg_quality)
        return cls(tf.io.decode_jpeg(stored.getvalue(), 3, dct_method="INTEGER_ACCURATE"), image)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def shown(self) -> Image.Image:
        """The image to draw on."""
        if self.image is not None:
            return self.image
        pixels = self.pixels if isinstance(self.pixels, np.ndarray) else self.pixels.numpy()
        return Image.fromarray(pixels)


def load_image(
    file: File,
    name: str = "",
    *,
    stretch: str = "none",
    max_pixels: int = ImageOptions.max_pixels,
) -> LoadedImage:
    """Reads an image, turned as its EXIF orientation says; 16 bits become 8.

    It is read as the converters read it: what they refuse is refused here, and what the network
    sees of it is what it would see of a record. (Unlike the converters, which ask an annotation,
    detection always turns by EXIF.)

    Args:
        file: the path of an image file, or its bytes.
        name: of the file in messages; default: its path.
        stretch: as ``ImageOptions.stretch``: that of the records with which the model was trained.
        max_pixels: larger images are not decoded, which even a small file can claim to be.

    Raises:
        InputError: it is no file, neither a JPEG nor one of ``records.images.formats.FORMATS``,
            damaged, or too large.
    """
    with _checked(file, name, stretch, max_pixels) as content:
        header = read_header(content, max_pixels)
        if header is None or not header.common:
            return LoadedImage.of_image(decode_upright(content, max_pixels, stretch))
        # Without Pillow, which would copy all pixels twice: 0.09 s of a 12-megapixel photograph.
        pixels = decode_jpeg(content, header, dct_method="INTEGER_ACCURATE")
        return LoadedImage(_upright(pixels, header.exif))


# What turns the pixels upright: (rows become columns, axes to reverse after that). EXIF 2.32.
_TURNS = {
    2: (False, [1]),
    3: (False, [0, 1]),
    4: (False, [0]),
    5: (True, []),
    6: (True, [1]),
    7: (True, [0, 1]),
    8: (True, [0]),
}


def _upright(pixels: tf.Tensor, segment: bytes) -> tf.Tensor:
    """``exif.upright`` of pixels that Pillow does not have."""
    transposed, reversed_axes = _TURNS.get(exif.read_orientation(segment), (False, []))
    if transposed:
        pixels = tf.transpose(pixels, [1, 0, 2])
    return tf.reverse(pixels, reversed_axes) if reversed_axes else pixels


def open_image(
    file: File,
    name: str = "",
    *,
    stretch: str = "none",
    max_pixels: int = ImageOptions.max_pixels,
) -> Image.Image:
    """The image of ``load_image`` with its own pixels, also where a record would have others.

    The arguments and errors are those of ``load_image``.
    """
    with _checked(file, name, stretch, max_pixels) as content:
        return decode_upright(content, max_pixels, stretch)


@contextlib.contextmanager
def _checked(file: File, name: str, stretch: str, max_pixels: int) -> Iterator[bytes]:
    """The bytes of a file, and errors that name it."""
    # Validated as the flags are: a misspelt word would count as none.
    ImageOptions(stretch=stretch, max_pixels=max_pixels)
    name = name or ("image" if isinstance(file, bytes) else os.fspath(file))
    try:
        yield file if isinstance(file, bytes) else read_file(file, max_pixels)
    except RefusedImageError as error:
        raise InputError(f"{name}: {error}") from None
