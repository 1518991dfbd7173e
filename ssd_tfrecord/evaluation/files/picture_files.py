"""The pictures of images that are in no record: opened with the converter's limits."""

import io
from collections.abc import Iterator, Sequence

from PIL import Image

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.evaluation.evaluated_set import ImageReader
from ssd_tfrecord.options import ImageOptions
from ssd_tfrecord.records.images.stored_image import read_image
from ssd_tfrecord.records.rejects import DroppedImage
from ssd_tfrecord.records.sources.source_set import SourceImage

_OPTIONS = ImageOptions(verify="header", bad_images="repair")


def picture_reader(paths: Sequence[str], sizes: Sequence[tuple[int, int]]) -> ImageReader | None:
    """Returns what opens the images of a set.

    Args:
        paths: of their files, "" where there is none.
        sizes: (width, height) of each, as annotated: by it, an image is turned as EXIF says.

    Returns:
        None if there is no file at all.
    """
    if not any(paths):
        return None

    def read(indices: Sequence[int]) -> Iterator[Image.Image | None]:
        return (_open(paths[index], sizes[index]) if paths[index] else None for index in indices)

    return read


def _open(path: str, size: tuple[int, int]) -> Image.Image | None:
    """The image as a record would have it; None if it cannot be read, or has another size."""
    try:
        stored = read_image(SourceImage("", path, path, size), _OPTIONS)
        return Image.open(io.BytesIO(stored.encoded)).convert("RGB")
    except (InputError, DroppedImage):
        return None
