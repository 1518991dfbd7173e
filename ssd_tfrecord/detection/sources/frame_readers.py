"""From sources to images, in order: each is opened only when its turn comes, in any thread."""

import pathlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PIL import Image, UnidentifiedImageError

from ssd_tfrecord.detection.image_files import LoadedImage, load_image
from ssd_tfrecord.detection.sources import video_reader
from ssd_tfrecord.detection.sources.source_list import Source
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.images.formats import MeteredFile, pillow_settings, to_rgb
from ssd_tfrecord.records.images.limits import RefusedImageError, check_pixels, read_file

# The suffixes of files that may have several frames, and what Pillow calls their formats.
_ANIMATED = {".gif": "GIF", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
# A file of some kilobytes can have millions of frames.
MAX_FRAMES = 100_000

Load: TypeAlias = Callable[[], LoadedImage]


@dataclass(frozen=True)
class Frame:
    """An image to come: of a file, or frame ``number`` (from 1; 0: the file is one image).

    ``load`` reads and decodes it; it raises InputError if that cannot be done. ``seconds`` is its
    time in a video.
    """

    source: Source
    number: int
    load: Load
    seconds: float | None = None

    @property
    def name(self) -> str:
        """What it is called in detections.json: a.jpg, or a.gif#3."""
        return f"{self.source.name}#{self.number}" if self.number else self.source.name


def frames(
    sources: Sequence[Source], *, stretch: str, max_pixels: int, animated: bool
) -> Iterator[Frame]:
    """The images of ``sources``, in order.

    Args:
        sources: as ``find_sources`` gives them.
        stretch: as ``ImageOptions.stretch``.
        max_pixels: larger images are not decoded.
        animated: whether each frame of an animation and each page of a TIFF is an image; else the
            first alone.
    """
    for source in sources:
        if source.kind != "image":
            yield from _video_frames(source, max_pixels)
        elif animated and source.path.suffix.lower() in _ANIMATED:
            yield from _animation(source, stretch, max_pixels)
        else:
            yield Frame(source, 0, _reader(source.path, stretch, max_pixels))


def _reader(path: pathlib.Path, stretch: str, max_pixels: int) -> Load:
    return lambda: load_image(path, stretch=stretch, max_pixels=max_pixels)


def _video_frames(source: Source, max_pixels: int) -> Iterator[Frame]:
    try:
        for number, (pixels, seconds) in enumerate(video_reader.read(source, max_pixels), 1):
            yield Frame(source, number, _there(pixels), seconds)
    except InputError as error:
        yield Frame(source, 0, _failed(error))


def _there(pixels: np.ndarray) -> Load:
    return lambda: LoadedImage.of_array(pixels)


def _failed(error: InputError) -> Load:
    def load() -> LoadedImage:
        raise error

    return load


def _animation(source: Source, stretch: str, max_pixels: int) -> Iterator[Frame]:
    """The frames of a file that may have several; the file itself if it has one or is damaged."""
    whole = Frame(source, 0, _reader(source.path, stretch, max_pixels))
    try:
        content = read_file(source.path, max_pixels)
    except (RefusedImageError, InputError):
        yield whole
        return
    kind = _ANIMATED[source.path.suffix.lower()]
    opened = _opened(content, kind)
    count = _count(opened) if opened else 1
    if opened is None or count <= 1:
        yield whole
        return
    for number in range(1, min(count, MAX_FRAMES) + 1):
        # One after the other, in the thread that asks: a frame of a GIF is drawn on those before.
        try:
            pixels = _decoded(opened, number - 1, stretch, max_pixels)
        except InputError as error:
            failure = InputError(f"{source.name}#{number}: {error}")
            yield Frame(source, number, _failed(failure))
            return
        yield Frame(source, number, _of_image(pixels))


def _of_image(image: Image.Image) -> Load:
    return lambda: LoadedImage.of_image(image)


def _opened(content: bytes, kind: str) -> Image.Image | None:
    with pillow_settings(lenient=False):
        try:
            return Image.open(MeteredFile(content), formats=(kind,))
        # Of another format than its suffix says, or damaged: read, or refused, as any other file.
        except (UnidentifiedImageError, Exception):
            return None


def _count(image: Image.Image) -> int:
    with pillow_settings(lenient=False):
        try:
            return int(getattr(image, "n_frames", 1))
        except Exception:
            return 1


def _decoded(image: Image.Image, index: int, stretch: str, max_pixels: int) -> Image.Image:
    """Frame ``index`` in RGB.

    Raises:
        InputError: it is damaged or too large.
    """
    with pillow_settings(lenient=False):
        # Plugins raise all kinds on damaged files.
        try:
            image.seek(index)
            check_pixels(*image.size, max_pixels)
            return to_rgb(image.copy(), stretch)[0]
        except RefusedImageError as error:
            raise InputError(str(error)) from None
        except Exception as error:
            reason = " ".join(str(error).split())[:100] or type(error).__name__
            raise InputError(f"cannot be decoded ({reason})") from None
