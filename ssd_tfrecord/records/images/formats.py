"""Images that training's JPEG decoder does not take, read by Pillow: PNG, BMP, GIF and others."""

import contextlib
import io
import threading
import warnings

import numpy as np
from PIL import Image, ImageFile

# Beside JPEG. Image files come from strangers, and Pillow's other plugins start programs
# (EPS: Ghostscript) or are hardly ever used.
FORMATS = ("PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")

# Pillow's settings are global.
_PILLOW = threading.Lock()


class UnreadableImageError(Exception):
    """An image that Pillow cannot read; the message says why."""


class TooManyPixelsError(Exception):
    """An image that is not decoded; the message gives its size and the limit."""


def load_image(content: bytes, max_pixels: int, *, lenient: bool = False):
    """The first frame of an image file in RGB.

    Args:
        max_pixels: more are not decoded.
        lenient: fill what is missing at the end instead of refusing it.

    TIFF comes upright: Pillow itself turns it by its orientation.

    Returns:
        (Pillow image, format in lower case, EXIF segment or b"").

    Raises:
        UnreadableImageError, TooManyPixelsError.
    """
    with _settings(lenient):
        # Whatever plugins meet in damaged files: OSError, SyntaxError, struct.error, IndexError…
        try:
            with Image.open(io.BytesIO(content), formats=("JPEG", *FORMATS)) as image:
                width, height = image.size
                if width * height <= max_pixels:
                    name = (image.format or "").lower()
                    segment = image.info.get("exif", b"")
                    return to_rgb(image), "jpeg" if name == "mpo" else name, segment
        except Exception as error:
            raise UnreadableImageError(_reason(error)) from None
    raise TooManyPixelsError(too_many_pixels(width, height, max_pixels))


def too_many_pixels(width, height, max_pixels) -> str:
    """What to say of an image that is not decoded."""
    return f"{width}x{height} are too many pixels: must be {max_pixels} at most (--max_pixels)"


@contextlib.contextmanager
def _settings(lenient):
    with _PILLOW, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
        # The size is looked at here, against the user's own limit.
        ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = lenient, None
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = before


def _reason(error):
    if isinstance(error, Image.UnidentifiedImageError):
        return "no image of these formats"
    return " ".join(str(error).split())[:100] or type(error).__name__


def to_rgb(image):
    """A Pillow image in RGB; 16 bits a channel are scaled to 8. ValueError for more, and floats."""
    # Pillow would cut off what 8 bits do not hold: all but the darkest grey would be white.
    if image.mode.startswith("I"):
        pixels = np.asarray(image).astype(np.int32)
        if pixels.min() < 0 or pixels.max() > 65535:
            raise ValueError("more than 16 bits a channel")
        image = Image.fromarray(np.uint8((pixels + 128) // 257))
    if image.mode == "F":
        raise ValueError("floats that have no known white")
    return image.convert("RGB")
