"""Image files on the way into records: what they are is read from their bytes.

What training's JPEG decoder accepts is stored bit for bit, after it has been decoded once;
everything else is decoded once and becomes an RGB JPEG.
"""

import functools
import io
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from PIL import Image

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import ImageOptions
from ssd_tfrecord.records.images import exif, jpeg_header
from ssd_tfrecord.records.images.formats import (
    FORMATS,
    TooManyPixelsError,
    UnreadableImageError,
    load_image,
    too_many_pixels,
)
from ssd_tfrecord.records.images.jpeg_header import JpegHeader
from ssd_tfrecord.records.rejects import DroppedImage
from ssd_tfrecord.records.sources.source_set import SourceImage

if TYPE_CHECKING:
    import tensorflow as tf

# Notes of a StoredImage.
REENCODED, SHRUNK = "reencoded", "shrunk"
REPAIRED, ROTATED = "repaired", "rotated"
EXIF_IGNORED, EXIF_ILLEGAL = "exif_ignored", "exif_illegal"
# Reason and action of the notes that become a line of rejects.jsonl: those that a user may want to
# look at. Encoding again is the rule for other formats, and shrinking is what --max_side asks for.
_CHANGES = {
    REPAIRED: ("damaged", "repaired"),
    ROTATED: ("exif_orientation", "rotated"),
    EXIF_IGNORED: ("exif_orientation", "kept"),
    EXIF_ILLEGAL: ("exif_illegal", "kept"),
}
# Reasons of dropped images.
MISSING, DAMAGED = "missing_image", "damaged"
TOO_LARGE, OTHER_SIZE = "too_large", "other_size"

# Progressive files have about ten. Each costs a pass over all pixels, however few bytes it takes.
MAX_SCANS = 100
# libjpeg's limit (JPEG_MAX_DIMENSION).
MAX_JPEG_SIDE = 65500
# The largest file that is read: uncompressed 16-bit RGBA, and room for metadata.
_BYTES_PER_PIXEL, _METADATA_BYTES = 8, 2**26


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A JPEG that training's decoder accepts.

    ``height`` and ``width`` are its own, in pixels; ``annotated_height`` and ``annotated_width``
    those before it was shrunk, which boxes in pixels refer to. ``original_format`` is that of the
    file (jpeg, png …). ``done`` is {what was done: details, or ""}; its keys are among REENCODED,
    SHRUNK, REPAIRED, ROTATED, EXIF_IGNORED, EXIF_ILLEGAL.
    """

    encoded: bytes
    height: int
    width: int
    annotated_height: int
    annotated_width: int
    original_format: str = "jpeg"
    done: Mapping[str, str] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done, without details."""
        return tuple(self.done)

    @property
    def changes(self) -> tuple[tuple[str, str, str], ...]:
        """(reason, action, detail) of each line for rejects.jsonl."""
        return tuple(
            (*_CHANGES[note], detail) for note, detail in self.done.items() if note in _CHANGES
        )


def read_image(source: SourceImage, options: ImageOptions) -> StoredImage:
    """Reads and checks the image of ``source``.

    Raises:
        DroppedImage: it is missing, damaged, too large or of another size than claimed, and
            ``options.bad_images`` is not ``fail``.
        InputError: the same with ``fail``; it cannot be read; it has an EXIF orientation and
            ``options.exif`` is ``fail``.
    """
    content = _read_file(source, options)
    header = jpeg_header.read_header(content) if content.startswith(jpeg_header.MAGIC) else None
    # Whatever the file's name says: Pillow decides what else it may be.
    if header is None or not header.common:
        return _convert(source, options, content)
    size = (header.width, header.height)
    if header.width * header.height > options.max_pixels:
        _refuse(source, options, TOO_LARGE, too_many_pixels(*size, options.max_pixels))
    if header.num_scans > MAX_SCANS:
        _refuse(source, options, DAMAGED, f"{header.num_scans} scans: must be at most {MAX_SCANS}")
    orientation, done = _orientation(source, options, size, header.exif)
    # An orientation that is applied swaps the sides: see exif.is_believed.
    _check_size(source, options, size if orientation == exif.UPRIGHT else size[::-1])
    untouched = orientation == exif.UPRIGHT and not 0 < options.max_side < max(size)
    damage = "TensorFlow's decoder refuses it" if header.closed else "it is truncated"
    if untouched:
        # --verify=header trusts a header only if an end of image follows it.
        unverified = options.verify == "header" and header.closed
        if not (unverified or _is_decodable(content, header)):
            return _repair(source, options, content, damage)
        return StoredImage(content, *size[::-1], *size[::-1], done=done)
    image = _load_jpeg(content, header)
    if image is None:
        return _repair(source, options, content, damage)
    return _store(image, orientation, options, "jpeg", done)


def _read_file(source: SourceImage, options: ImageOptions) -> bytes:
    path = source.image_path
    limit = _BYTES_PER_PIXEL * options.max_pixels + _METADATA_BYTES
    try:
        status = os.stat(path)
        # Reading a pipe would block, and a device has no end.
        if not stat.S_ISREG(status.st_mode):
            _refuse(source, options, MISSING, "must be a file")
        if status.st_size > limit:
            _refuse(source, options, TOO_LARGE, f"{status.st_size} bytes: must be at most {limit}")
        with open(path, "rb") as file:
            # Not read(limit + 1): to allocate that would cost more than reading the file.
            return file.read(status.st_size + 1)
    except (FileNotFoundError, NotADirectoryError):
        _refuse(source, options, MISSING, "cannot be read: No such file or directory")
    except (OSError, ValueError) as error:
        # Never dropped: a disk that fails says nothing about the image. ValueError: a null
        # character in the name.
        raise InputError(f"{path!r}: cannot be read: {error}") from None


def _orientation(
    source: SourceImage, options: ImageOptions, size: tuple[int, int], segment: bytes
) -> tuple[int, dict[str, str]]:
    """Returns (orientation to apply, what StoredImage.done says about it)."""
    orientation = exif.read_orientation(segment)
    if orientation == exif.UPRIGHT:
        return orientation, {}
    if orientation == exif.ILLEGAL:
        return exif.UPRIGHT, {EXIF_ILLEGAL: "orientation must be 1 to 8"}
    if options.exif == "fail":
        raise InputError(
            f"{source.image_path}: has EXIF orientation {orientation}: must be 1 or absent; turn "
            "the pixels themselves (`mogrify -auto-orient`), or pass --exif=apply or --exif=ignore"
        )
    if options.exif == "apply" and exif.is_believed(orientation, size, source.size):
        return orientation, {ROTATED: f"orientation {orientation}"}
    return exif.UPRIGHT, {EXIF_IGNORED: f"orientation {orientation}"}


def _check_size(source: SourceImage, options: ImageOptions, size: tuple[int, int]) -> None:
    if source.size is None or source.size == size:
        return
    claimed = "{}x{}".format(*source.size)
    hint = " (rotated by EXIF? see --exif)" if source.size == size[::-1] else ""
    detail = f"decodes to {size[0]}x{size[1]} (width x height), annotated as {claimed}{hint}"
    message = (
        f"{source.file}: says {claimed} (width x height), but {source.image_path} decodes to "
        f"{size[0]}x{size[1]}: must be the same{hint}"
    )
    _raise(options, OTHER_SIZE, message, detail)


def _is_decodable(encoded: bytes, header: JpegHeader) -> bool:
    """Whether training's decoder accepts the whole image, found out at an eighth of its size.

    The reasons to reject one are in headers and entropy coding, which are read alike for every
    ratio (tests/records/images/test_verdicts.py): 0.77 ms for a VOC image instead of 1.00.
    """
    # libjpeg rounds the reduced sides up.
    return _decode_jpeg(encoded, -(-header.height // 8), -(-header.width // 8), ratio=8) is not None


def _load_jpeg(encoded: bytes, header: JpegHeader) -> Image.Image | None:
    """The decoded image, or None if it cannot be decoded."""
    pixels = _decode_jpeg(encoded, header.height, header.width, dct_method="INTEGER_ACCURATE")
    return None if pixels is None else Image.fromarray(pixels.numpy())


def _decode_jpeg(encoded: bytes, height: int, width: int, **settings: Any) -> "tf.Tensor | None":
    """Returns uint8 [height, width, 3], or None if TensorFlow rejects the image."""
    import tensorflow as tf

    # The op with which training cuts its window: decode_jpeg accepts PNGs too, and tolerates damage
    # that this one does not.
    try:
        return tf.io.decode_and_crop_jpeg(encoded, _whole(height, width), channels=3, **settings)
    except tf.errors.InvalidArgumentError:
        return None


@functools.lru_cache(maxsize=1024)
def _whole(height: int, width: int) -> "tf.Tensor":
    # Cached, since to make the tensor from a list each time takes 0.04 ms of 1.0 for decoding.
    import tensorflow as tf

    return tf.constant([0, 0, height, width])


def _convert(source: SourceImage, options: ImageOptions, content: bytes) -> StoredImage:
    """Makes a JPEG of what training's decoder does not accept."""
    try:
        return _encode(source, options, *_load(source, options, content), {})
    except UnreadableImageError as error:
        return _repair(source, options, content, str(error))


def _load(
    source: SourceImage, options: ImageOptions, content: bytes, lenient: bool = False
) -> tuple[Image.Image, str, bytes]:
    try:
        return load_image(content, options.max_pixels, lenient=lenient)
    except TooManyPixelsError as error:
        _refuse(source, options, TOO_LARGE, str(error))


def _repair(source: SourceImage, options: ImageOptions, content: bytes, reason: str) -> StoredImage:
    """Makes a JPEG of what can still be read, if ``options`` ask for it; refuses the image if not.

    Args:
        source: the image.
        options: what to do with images.
        content: the bytes of the file.
        reason: what is wrong with it, for the message or for rejects.jsonl.
    """
    if options.bad_images == "repair":
        try:
            loaded = _load(source, options, content, lenient=True)
            return _encode(source, options, *loaded, {REPAIRED: reason})
        except UnreadableImageError as error:
            # Nothing can be read: Pillow's reason is more precise than TensorFlow's.
            reason = str(error)
    kinds = f"JPEG, {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
    what = f"cannot be decoded ({reason}): must be an intact {kinds} with 8 or 16 bits per channel"
    _refuse(source, options, DAMAGED, what)


def _encode(
    source: SourceImage,
    options: ImageOptions,
    image: Image.Image,
    original_format: str,
    segment: bytes,
    done: Mapping[str, str],
) -> StoredImage:
    orientation, more = _orientation(source, options, image.size, segment)
    turned = image.size if orientation == exif.UPRIGHT else image.size[::-1]
    _check_size(source, options, turned)
    # The longer side once it is shrunk, which is what the JPEG must hold.
    if min(max(turned), options.max_side or max(turned)) > MAX_JPEG_SIDE:
        what = (
            f"{turned[0]}x{turned[1]}: must be at most {MAX_JPEG_SIDE} on each side, or shrunk "
            "with --max_side"
        )
        _refuse(source, options, TOO_LARGE, what)
    return _store(image, orientation, options, original_format, {**done, **more})


def _store(
    image: Image.Image,
    orientation: int,
    options: ImageOptions,
    original_format: str,
    done: Mapping[str, str],
) -> StoredImage:
    """Turns, shrinks and encodes an RGB image."""
    done = {REENCODED: "", **done}
    # Turned first, so that the annotated size is the upright one.
    if orientation != exif.UPRIGHT:
        image = exif.turn(image, orientation)
    width, height = image.size
    if 0 < options.max_side < max(width, height):
        scale = options.max_side / max(width, height)
        smaller = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = image.resize(smaller, Image.Resampling.LANCZOS)
        done[SHRUNK] = ""
    target = io.BytesIO()
    image.save(target, "JPEG", quality=options.jpeg_quality)
    return StoredImage(
        target.getvalue(), image.height, image.width, height, width, original_format, done
    )


def _refuse(source: SourceImage, options: ImageOptions, reason: str, what: str) -> NoReturn:
    _raise(options, reason, f"{source.image_path}: {what}", what)


def _raise(options: ImageOptions, reason: str, message: str, detail: str) -> NoReturn:
    if options.bad_images == "fail":
        raise InputError(f"{message}; or pass --bad_images=drop")
    raise DroppedImage(reason, message, detail)
