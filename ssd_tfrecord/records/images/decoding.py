"""From the bytes of an image file to RGB pixels: the one way, for converters and detection.

JPEGs go through the decoder of training, TensorFlow's; everything else, and the rare kinds of JPEG
that it does not accept, through Pillow.
"""

import functools
from typing import TYPE_CHECKING, Any

from PIL import Image

from ssd_tfrecord.records.images import exif
from ssd_tfrecord.records.images.formats import DecodedImage, UnreadableImageError, load_image
from ssd_tfrecord.records.images.jpeg_header import JpegHeader
from ssd_tfrecord.records.images.limits import read_header

if TYPE_CHECKING:
    import tensorflow as tf


def decode_upright(content: bytes, max_pixels: int, stretch: str = "none") -> Image.Image:
    """Decodes an image as people see it: turned as its EXIF orientation says.

    Args:
        content: the bytes of the file.
        max_pixels: larger images are not decoded.
        stretch: as ``ImageOptions.stretch``.

    Raises:
        RefusedImageError: it is damaged or too large.
    """
    header = read_header(content, max_pixels)
    decoded = decode(content, header, max_pixels, stretch)
    return exif.upright(decoded.image, decoded.exif)


def decode(
    content: bytes, header: JpegHeader | None, max_pixels: int, stretch: str
) -> DecodedImage:
    """Decodes an image as it is stored, without turning it.

    Args:
        content: the bytes of the file.
        header: as ``limits.read_header`` gives it.
        max_pixels: larger images are not decoded.
        stretch: as ``ImageOptions.stretch``.

    Raises:
        UnreadableImageError: it cannot be decoded.
        RefusedImageError: it has too many pixels.
    """
    # Whatever the file's name says: Pillow decides what else it may be.
    if header is None or not header.common:
        return load_image(content, max_pixels, stretch=stretch)
    pixels = decode_jpeg(content, header, dct_method="INTEGER_ACCURATE")
    return DecodedImage(Image.fromarray(pixels.numpy()), "jpeg", header.exif)


def check_jpeg(content: bytes, header: JpegHeader) -> None:
    """Checks that training's decoder accepts the whole JPEG, found out at an eighth of its size.

    The reasons to reject one are in headers and entropy coding, which are read alike for every
    ratio (tests/records/images/test_verdicts.py): 0.77 ms for a VOC image instead of 1.00.

    Raises:
        UnreadableImageError: it does not.
    """
    decode_jpeg(content, header, ratio=8)


def decode_jpeg(content: bytes, header: JpegHeader, ratio: int = 1, **settings: Any) -> "tf.Tensor":
    """Decodes a JPEG as training does.

    Args:
        content: the bytes of the file.
        header: of the file.
        ratio: by which height and width are divided: 1, 2, 4 or 8.
        **settings: of ``tf.io.decode_and_crop_jpeg``.

    Returns:
        uint8 [height / ratio, width / ratio, 3], rounded up.

    Raises:
        UnreadableImageError: TensorFlow refuses it.
    """
    import tensorflow as tf

    # libjpeg rounds the reduced sides up.
    window = _whole(-(-header.height // ratio), -(-header.width // ratio))
    # The op with which training cuts its window: decode_jpeg accepts PNGs too, and tolerates damage
    # that this one does not.
    try:
        return tf.io.decode_and_crop_jpeg(content, window, channels=3, ratio=ratio, **settings)
    except tf.errors.InvalidArgumentError:
        raise UnreadableImageError(
            "TensorFlow's decoder refuses it" if header.closed else "it is truncated"
        ) from None


@functools.lru_cache(maxsize=1024)
def _whole(height: int, width: int) -> "tf.Tensor":
    # Cached, since to make the tensor from a list each time takes 0.04 ms of 1.0 for decoding.
    import tensorflow as tf

    return tf.constant([0, 0, height, width])
