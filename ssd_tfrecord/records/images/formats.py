"""Images that training's JPEG decoder does not accept, read by Pillow: PNG, BMP, GIF and others."""

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageFile

# Besides JPEG. Image files come from strangers, and Pillow's other plugins start programs
# (EPS: Ghostscript) or are hardly ever used.
FORMATS = ("PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")

# Pillow's settings are module globals, so one thread at a time may change them.
_PILLOW = threading.Lock()


class UnreadableImageError(Exception):
    """An image that Pillow cannot read; the message says why."""


class TooManyPixelsError(Exception):
    """An image that is not decoded; the message states its size and the limit."""


def load_image(
    content: bytes, max_pixels: int, *, lenient: bool = False
) -> tuple[Image.Image, str, bytes]:
    """Reads the first frame of an image file in RGB.

    TIFF comes upright: Pillow itself turns it by its orientation.

    Args:
        content: the bytes of the file.
        max_pixels: larger images are not decoded.
        lenient: fill in what is missing at the end instead of refusing the image.

    Returns:
        (image, format in lower case, EXIF segment or b"").

    Raises:
        UnreadableImageError: Pillow cannot decode it.
        TooManyPixelsError: it has more than ``max_pixels``.
    """
    with _settings(lenient):
        # Plugins raise all kinds on damaged files: OSError, SyntaxError, struct.error, IndexError …
        try:
            with Image.open(io.BytesIO(content), formats=("JPEG", *FORMATS)) as image:
                width, height = image.size
                # open() has read the header only; to_rgb() is what decodes.
                if width * height <= max_pixels:
                    name = (image.format or "").lower()
                    segment = image.info.get("exif", b"")
                    # MPO is a JPEG with more frames behind it, of which the first is read.
                    return to_rgb(image), "jpeg" if name == "mpo" else name, segment
        except Exception as error:
            raise UnreadableImageError(_reason(error)) from None
    # Outside the try, which would turn it into an UnreadableImageError.
    raise TooManyPixelsError(too_many_pixels(width, height, max_pixels))


def too_many_pixels(width: int, height: int, max_pixels: int) -> str:
    """The message about an image that is too large to be decoded."""
    return f"{width}x{height} is too many pixels: must be at most {max_pixels} (--max_pixels)"


@contextlib.contextmanager
def _settings(lenient: bool) -> Iterator[None]:
    # Pillow warns about damaged metadata, which does not keep an image from being used.
    with _PILLOW, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
        # Pillow's own limit is off: load_image checks the size against the user's.
        ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = lenient, None
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = before


def _reason(error: Exception) -> str:
    # Its own message prints the BytesIO object, which tells a user nothing.
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image in any of these formats"
    # On one line, and not pages long.
    return " ".join(str(error).split())[:100] or type(error).__name__


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts an image to RGB; 16 bits per channel are scaled to 8.

    Raises:
        ValueError: it has more than 16 bits per channel, or floating-point pixels.
    """
    # Pillow would clip to 8 bits: all but the darkest grey would be white.
    if image.mode.startswith("I"):
        # Both I;16 and I, the 32-bit mode, in which Pillow reads some 16-bit files too.
        pixels = np.asarray(image).astype(np.int32)
        if pixels.min() < 0 or pixels.max() > 65535:
            raise ValueError("more than 16 bits per channel")
        # 257 = 65535 / 255, so white stays white; 128 rounds to the nearest.
        image = Image.fromarray(((pixels + 128) // 257).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels, for which no white is defined")
    return image.convert("RGB")
