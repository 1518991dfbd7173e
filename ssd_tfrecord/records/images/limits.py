"""What an image file must be before it is decoded: a file, of bounded size, with few scans.

Image files come from strangers, so each limit is checked before memory or time is spent.
"""

import os
import stat

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.images import jpeg_header
from ssd_tfrecord.records.images.jpeg_header import JpegHeader

# Reasons of a RefusedImageError.
MISSING, DAMAGED, TOO_LARGE = "missing_image", "damaged", "too_large"

# Progressive files have about ten. Each costs a pass over all pixels, however few bytes it takes.
MAX_SCANS = 100
# The largest file that is read: uncompressed 16-bit RGBA, and room for metadata.
_BYTES_PER_PIXEL, _METADATA_BYTES = 8, 2**26


class RefusedImageError(Exception):
    """An image that cannot be used; the message says what it is and what it must be, not where.

    ``reason`` is MISSING, DAMAGED or TOO_LARGE; ``flag`` is the flag of the converters that changes
    the limit, or "".
    """

    def __init__(self, reason: str, what: str, flag: str = "") -> None:
        super().__init__(what)
        self.reason, self.flag = reason, flag


def read_file(
    path: str | os.PathLike[str], max_pixels: int, *, offset: int = 0, num_bytes: int = 0
) -> bytes:
    """Reads an image file, or the part of a file that is one.

    Args:
        path: of the file.
        max_pixels: of an image; larger files than one could need are not read.
        offset: where the image begins.
        num_bytes: of the image; 0: all of the file.

    Raises:
        RefusedImageError: there is no file, or no such part of it, or it is too large.
        InputError: it cannot be read. A disk that fails says nothing about the image.
    """
    limit = _BYTES_PER_PIXEL * max_pixels + _METADATA_BYTES
    try:
        status = os.stat(path)
        # Reading a pipe would block, and a device has no end.
        if not stat.S_ISREG(status.st_mode):
            raise RefusedImageError(MISSING, "must be a file")
        wanted = num_bytes or status.st_size
        if wanted > limit:
            raise RefusedImageError(
                TOO_LARGE, f"{wanted} bytes: must be at most {limit}", "--max_pixels"
            )
        if num_bytes and not 0 <= offset <= status.st_size - num_bytes:
            where = f"{num_bytes} bytes from {offset}"
            raise RefusedImageError(DAMAGED, f"{where}: must be inside its {status.st_size} bytes")
        with open(path, "rb") as file:
            if num_bytes:
                file.seek(offset)
                return file.read(num_bytes)
            # Not read(limit + 1): to allocate that would cost more than reading the file.
            return file.read(status.st_size + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise RefusedImageError(MISSING, "cannot be read: No such file or directory") from None
    # ValueError: a null character in the name.
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r}: cannot be read: {error}") from None


def read_header(content: bytes, max_pixels: int) -> JpegHeader | None:
    """Reads the header of a JPEG, which must be within the limits.

    Args:
        content: the bytes of an image file.
        max_pixels: of an image.

    Returns:
        the header; None for anything else, a JPEG whose header is damaged included.

    Raises:
        RefusedImageError: it has too many pixels or scans.
    """
    if not content.startswith(jpeg_header.MAGIC):
        return None
    header = jpeg_header.read_header(content)
    # Pillow reads some damaged headers, behind which there may be as many scans.
    num_scans = header.num_scans if header else jpeg_header.count_scans(content, 2)
    if header:
        check_pixels(header.width, header.height, max_pixels)
    if num_scans > MAX_SCANS:
        raise RefusedImageError(DAMAGED, f"{num_scans} scans: must be at most {MAX_SCANS}")
    return header


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Refuses an image of more than ``max_pixels``.

    Raises:
        RefusedImageError: it has more.
    """
    if width * height > max_pixels:
        what = f"{width}x{height} is too many pixels: must be at most {max_pixels}"
        raise RefusedImageError(TOO_LARGE, what, "--max_pixels")
