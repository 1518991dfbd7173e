"""Image files on the way into records: what they are is read from their bytes.

What training's JPEG decoder accepts is stored bit for bit, after it has been decoded once;
everything else, and with --recode every image, is decoded once and becomes an RGB JPEG. In between
is --progressive=baseline: other bytes, but the same pixels.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from PIL import Image

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import ImageOptions
from ssd_tfrecord.records.images import exif
from ssd_tfrecord.records.images.baseline import as_baseline
from ssd_tfrecord.records.images.decoding import check_jpeg, decode
from ssd_tfrecord.records.images.formats import DecodedImage, UnreadableImageError, load_image
from ssd_tfrecord.records.images.jpeg_header import JpegHeader
from ssd_tfrecord.records.images.levels import FEW_LEVELS
from ssd_tfrecord.records.images.limits import (
    TOO_LARGE,
    RefusedImageError,
    read_file,
    read_header,
)
from ssd_tfrecord.records.rejects import KEPT, DroppedImage
from ssd_tfrecord.records.sources.source_set import SourceImage

# Notes of a StoredImage.
REENCODED, SHRUNK = "reencoded", "shrunk"
REPAIRED, ROTATED = "repaired", "rotated"
MADE_BASELINE, STILL_PROGRESSIVE = "made_baseline", "still_progressive"
EXIF_IGNORED, EXIF_ILLEGAL = "exif_ignored", "exif_illegal"
# Reason and action of the notes that become a line of rejects.jsonl: those that a user may want to
# look at. Encoding again is the rule for other formats; shrinking and stretching were asked for.
_CHANGES = {
    REPAIRED: ("damaged", "repaired"),
    ROTATED: ("exif_orientation", "rotated"),
    EXIF_IGNORED: ("exif_orientation", KEPT),
    EXIF_ILLEGAL: ("exif_illegal", KEPT),
    FEW_LEVELS: (FEW_LEVELS, KEPT),
}
# Reason of a dropped image, besides those of a RefusedImageError.
OTHER_SIZE = "other_size"

# libjpeg's limit (JPEG_MAX_DIMENSION).
MAX_JPEG_SIDE = 65500


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A JPEG that training's decoder accepts.

    ``height`` and ``width`` are its own, in pixels; ``annotated_height`` and ``annotated_width``
    those before it was shrunk, which boxes in pixels refer to. ``original_format`` is that of the
    file (jpeg, png …). ``done`` is {what was done: details, or ""}; its keys are among REENCODED,
    SHRUNK, REPAIRED, ROTATED, MADE_BASELINE, STILL_PROGRESSIVE, EXIF_IGNORED, EXIF_ILLEGAL, and
    those of a DecodedImage.
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
    try:
        content = read_file(
            source.image_path,
            options.max_pixels,
            offset=source.offset,
            num_bytes=source.num_bytes,
        )
        try:
            return _take(source, options, content)
        except UnreadableImageError as error:
            if options.bad_images != "repair":
                raise
            return _repair(source, options, content, error.why)
    except RefusedImageError as error:
        _refuse(source, options, error)


def _take(source: SourceImage, options: ImageOptions, content: bytes) -> StoredImage:
    header = read_header(content, options.max_pixels)
    if header is not None and header.common and not options.recode:
        unchanged = _unchanged(source, options, content, header)
        if unchanged is not None:
            return unchanged
    decoded = decode(content, header, options.max_pixels, options.stretch)
    return _encode(source, options, decoded, {})


def _unchanged(
    source: SourceImage, options: ImageOptions, content: bytes, header: JpegHeader
) -> StoredImage | None:
    """The JPEG bit for bit or pixel for pixel, checked; None if it is to be turned or shrunk."""
    size = (header.width, header.height)
    orientation, done = _orientation(source, options, size, header.exif)
    # Before anything is decoded. An orientation that is applied swaps the sides: exif.is_believed.
    _check_size(source, options, size if orientation == exif.UPRIGHT else size[::-1])
    if orientation != exif.UPRIGHT or 0 < options.max_side < max(size):
        return None
    if options.progressive == "baseline" and header.num_scans > 1:
        # Which checks it too, whatever --verify says: it is decoded to compare the pixels.
        rewritten = as_baseline(content, header)
        done = {**done, STILL_PROGRESSIVE if rewritten is None else MADE_BASELINE: ""}
        content = rewritten or content
    # --verify=header trusts a header only if an end of image follows it.
    elif not (options.verify == "header" and header.closed):
        check_jpeg(content, header)
    return StoredImage(content, *size[::-1], *size[::-1], done=done)


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
    claimed = _claimed_size(source, options)
    if options.exif == "apply" and exif.is_believed(orientation, size, claimed):
        return orientation, {ROTATED: f"orientation {orientation}"}
    return exif.UPRIGHT, {EXIF_IGNORED: f"orientation {orientation}"}


def _claimed_size(source: SourceImage, options: ImageOptions) -> tuple[float, float] | None:
    return source.size if options.annotated_size == "check" else None


def _check_size(source: SourceImage, options: ImageOptions, size: tuple[int, int]) -> None:
    claimed = _claimed_size(source, options)
    if claimed is None or claimed == size:
        return
    said = "{}x{}".format(*claimed)
    hint = " (rotated by EXIF? see --exif)" if claimed == size[::-1] else ""
    detail = f"decodes to {size[0]}x{size[1]} (width x height), annotated as {said}{hint}"
    message = (
        f"{source.file}: says {said} (width x height), but {_place(source)} decodes to "
        f"{size[0]}x{size[1]}: must be the same{hint}; if the boxes fit the image, pass "
        "--annotated_size=ignore"
    )
    _raise(options, OTHER_SIZE, message, detail)


def _repair(source: SourceImage, options: ImageOptions, content: bytes, why: str) -> StoredImage:
    """Makes a JPEG of what can still be read; ``why`` is what is wrong with the file.

    Raises:
        UnreadableImageError: that is nothing. Pillow's reason is more precise than TensorFlow's.
    """
    decoded = load_image(content, options.max_pixels, lenient=True, stretch=options.stretch)
    return _encode(source, options, decoded, {REPAIRED: why})


def _encode(
    source: SourceImage, options: ImageOptions, decoded: DecodedImage, done: Mapping[str, str]
) -> StoredImage:
    """Turns, shrinks and encodes an image."""
    image = decoded.image
    orientation, more = _orientation(source, options, image.size, decoded.exif)
    # Turned first, so that the annotated size is the upright one.
    if orientation != exif.UPRIGHT:
        image = exif.turn(image, orientation)
    width, height = image.size
    _check_size(source, options, (width, height))
    # The longer side once it is shrunk, which is what the JPEG must hold.
    if min(max(width, height), options.max_side or max(width, height)) > MAX_JPEG_SIDE:
        what = f"{width}x{height}: must be at most {MAX_JPEG_SIDE} on each side, or shrunk with"
        raise RefusedImageError(TOO_LARGE, f"{what} --max_side")
    notes = {REENCODED: "", **done, **decoded.done, **more}
    if 0 < options.max_side < max(width, height):
        image = _shrink(image, options.max_side)
        notes[SHRUNK] = ""
    target = io.BytesIO()
    image.save(target, "JPEG", quality=options.jpeg_quality)
    stored_format = decoded.original_format
    return StoredImage(
        target.getvalue(), image.height, image.width, height, width, stored_format, notes
    )


def _shrink(image: Image.Image, max_side: int) -> Image.Image:
    scale = max_side / max(image.size)
    smaller = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(smaller, Image.Resampling.LANCZOS)


def _place(source: SourceImage) -> str:
    """The image's file, for messages; of an image inside another file, its name there too."""
    return f"{source.image_path}: {source.filename}" if source.num_bytes else source.image_path


def _refuse(source: SourceImage, options: ImageOptions, error: RefusedImageError) -> NoReturn:
    what = f"{error} ({error.flag})" if error.flag else str(error)
    _raise(options, error.reason, f"{_place(source)}: {what}", what)


def _raise(options: ImageOptions, reason: str, message: str, detail: str) -> NoReturn:
    if options.bad_images == "fail":
        raise InputError(f"{message}; or pass --bad_images=drop") from None
    raise DroppedImage(reason, message, detail) from None
