"""Images that training's JPEG decoder does not accept, read by Pillow: PNG, BMP, GIF and others."""

import contextlib
import io
import re
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from PIL import Image, ImageFile

from ssd_tfrecord.records.images import jpeg_header, levels
from ssd_tfrecord.records.images.limits import DAMAGED, RefusedImageError, check_pixels

# Besides JPEG. Image files come from strangers, and Pillow's other plugins start programs
# (EPS: Ghostscript) or are hardly ever used.
FORMATS = ("PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")

# Pillow's settings are module globals, so one thread at a time may change them.
_PILLOW = threading.Lock()
# Segments of a JPEG in which Pillow would parse tags: EXIF, and the index of further images.
_TAGS = re.compile(rb"(\xff[\xe1\xe2]..)(?:Exif|MPF\0)", re.DOTALL)
_EXIF = re.compile(rb"\xff\xe1..(Exif\0\0.{0,65527})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """The pixels of an image file, in RGB, as they are stored.

    ``original_format`` is jpeg, png …; ``exif`` the EXIF segment, or b"" if there is none, or if
    the pixels are upright already; ``done`` is {what is to be noted: details, or ""}, with keys
    among levels.FEW_LEVELS and levels.STRETCHED.
    """

    image: Image.Image
    original_format: str
    exif: bytes = b""
    done: Mapping[str, str] = field(default_factory=dict)


class UnreadableImageError(RefusedImageError):
    """An image that cannot be decoded; ``why`` is what is wrong with it."""

    def __init__(self, why: str) -> None:
        kinds = f"JPEG, {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        bits = "8 or 16 bits per channel"
        super().__init__(
            DAMAGED, f"cannot be decoded ({why}): must be an intact {kinds} with {bits}"
        )
        self.why = why


def load_image(
    content: bytes, max_pixels: int, *, lenient: bool = False, stretch: str = "none"
) -> DecodedImage:
    """Reads the first frame of an image file in RGB.

    TIFF comes upright: Pillow itself turns it by its orientation.

    Args:
        content: the bytes of the file.
        max_pixels: larger images are not decoded.
        lenient: fill in what is missing at the end instead of refusing the image.
        stretch: as ``ImageOptions.stretch``.

    Raises:
        UnreadableImageError: Pillow cannot decode it.
        RefusedImageError: it has more than ``max_pixels``.
    """
    segment = b""
    if content.startswith(jpeg_header.MAGIC):
        content, segment = _without_tags(content)
    with pillow_settings(lenient):
        # Plugins raise all kinds on damaged files: OSError, SyntaxError, struct.error, IndexError …
        try:
            with Image.open(MeteredFile(content), formats=("JPEG", *FORMATS)) as image:
                # open() has read the header only; to_rgb() is what decodes.
                check_pixels(*image.size, max_pixels)
                rgb, done = to_rgb(image, stretch)
                # After decoding: a PNG's may follow the pixels.
                segment = segment or image.info.get("exif", b"")
                return DecodedImage(rgb, (image.format or "").lower(), segment, done)
        except RefusedImageError:
            raise
        except Exception as error:
            raise UnreadableImageError(_reason(error)) from None


class MeteredFile(io.BytesIO):
    """A file that can be read a few times over, but not without end.

    Each of 65,536 tags of a TIFF may refer to all of the file, and Pillow copies what they refer
    to: 0.7 MB would fill 20 GB.

    Args:
        content: of the file.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        # Pillow reads the tags of a TIFF twice, and the beginning of any file once per plugin.
        self._left = 4 * len(content) + 2**20

    def read(self, size: int | None = -1, /) -> bytes:
        """As of BytesIO; raises UnreadableImageError if it has been read too often."""
        found = super().read(size)
        self._left -= len(found)
        if self._left < 0:
            raise UnreadableImageError("it refers to the same bytes again and again")
        return found


def _without_tags(content: bytes) -> tuple[bytes, bytes]:
    """Returns (a JPEG without tags that Pillow would parse, its EXIF segment or b"").

    Of EXIF, only the orientation matters, and Pillow joins all segments: see MeteredFile. Without
    its index, a file of several images is one JPEG with more behind it, and the first is read.
    """
    found = _EXIF.search(content)
    return _TAGS.sub(rb"\1none", content), found[1] if found else b""


@contextlib.contextmanager
def pillow_settings(lenient: bool) -> Iterator[None]:
    """Pillow without warnings and without its own limit on pixels, for one thread at a time.

    Args:
        lenient: fill in what is missing at the end instead of refusing the image.
    """
    # It warns about damaged metadata, which does not keep an image from being used.
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


def to_rgb(image: Image.Image, stretch: str = "none") -> tuple[Image.Image, dict[str, str]]:
    """Converts an image to RGB; 16 bits per channel become 8.

    Args:
        image: of any mode.
        stretch: as ``ImageOptions.stretch``.

    Returns:
        (image, ``done`` as of a DecodedImage).

    Raises:
        ValueError: it has more than 16 bits per channel, or floating-point pixels.
    """
    done: dict[str, str] = {}
    # Both I;16 and I. Pillow would clip to 8 bits: all but the darkest grey would be white.
    if image.mode.startswith("I"):
        image, done = levels.to_8_bits(image, stretch)
    if image.mode == "F":
        raise ValueError("floating-point pixels, for which no white is defined")
    return image.convert("RGB"), done
