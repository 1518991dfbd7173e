"""Faults that no single annotation shows: a unit, an origin or a size that all of them have wrong.

A few stray items are the business of --bad_boxes and --bad_images. What holds for the whole set has
one cause, and one flag that corrects it.
"""

import collections
import os
from collections.abc import Iterable, Sequence

from PIL import Image

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import BoxOptions, ImageOptions
from ssd_tfrecord.records.sources.names import look_alike_key
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceSet
from ssd_tfrecord.records.sources.survey import Survey

# Percentages are suspected only where that many boxes in that many images agree: a few small
# objects may well lie in the upper left corner.
_MIN_BOXES, _MIN_IMAGES = 20, 5
# Fewer images than this may have their sides swapped by chance or by EXIF.
_MIN_SWAPPED = 3
# How many pairs of names a note quotes.
_NUM_QUOTED = 5
# Formats whose header is read: no plugin of Pillow's that starts a program.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")


def check(
    sources: SourceSet, survey: Survey, images: ImageOptions, boxes: BoxOptions
) -> tuple[str, ...]:
    """Looks for systematic mismatches.

    Args:
        sources: the set.
        survey: of the same set.
        images: what the user says about images.
        boxes: what the user says about boxes.

    Returns:
        Notes for the user.

    Raises:
        InputError: all boxes seem to have another unit than ``boxes.box_unit``, or all annotated
            sizes have width and height swapped.
    """
    _check_unit(survey, boxes.box_unit, sources.pixel_origin)
    if images.annotated_size == "check":
        _check_swapped(survey.sized)
    return (*_origin_notes(sources, survey, boxes), *_look_alikes(survey.names))


def _check_unit(survey: Survey, unit: str, pixel_origin: int) -> None:
    if not survey.sound:
        return
    # Of pixels counted from 1 the reader has made one less.
    smallest = survey.nearest + (pixel_origin if unit == "auto" else 0)
    boxes = "the only box lies" if survey.sound == 1 else f"all {survey.sound} boxes lie"
    found = f"{boxes} within {smallest:.6g} to {survey.farthest:.6g}"
    if unit == "auto" and smallest >= 0:
        if survey.farthest <= 1:
            raise InputError(
                f"{found}: they look like fractions of the image; pass --box_unit=fraction, or "
                "--box_unit=pixel if they are pixels"
            )
        agreed = survey.sound >= _MIN_BOXES and survey.large_images >= _MIN_IMAGES
        # Beyond 50: percentages of a whole set reach into the right or lower half of an image.
        if agreed and 50 < survey.farthest <= 100:
            raise InputError(
                f"{found}, though {survey.large_images} images have sides of at least 200 pixels: "
                "they look like percentages of the image; pass --box_unit=percent, or "
                "--box_unit=pixel if they are pixels"
            )
    # The other way round: a few boxes beyond the image are strays, most of them are not.
    if unit == "fraction" and 2 * survey.beyond > survey.sound:
        raise InputError(
            f"--box_unit=fraction: {survey.beyond} of {survey.sound} boxes reach beyond 1.1, one "
            f"to {survey.farthest:.6g}; pass --box_unit=percent or --box_unit=pixel"
        )
    if unit == "percent" and survey.farthest <= 1:
        raise InputError(
            f"--box_unit=percent: {found}; they look like fractions; pass --box_unit=fraction"
        )
    if unit == "percent" and 2 * survey.beyond_percent > survey.sound:
        raise InputError(
            f"--box_unit=percent: {survey.beyond_percent} of {survey.sound} boxes reach beyond "
            f"110, one to {survey.farthest:.6g}; pass --box_unit=pixel"
        )


def _origin_notes(sources: SourceSet, survey: Survey, boxes: BoxOptions) -> Iterable[str]:
    before = survey.before_first
    if sources.pixel_origin == 1 and not boxes.whole_side and survey.nearest == -1:
        yield (
            f"the smallest coordinate is 0, in {before.count} of {survey.sound} boxes "
            f"({before.first}), but Pascal VOC counts pixels from 1; if the tool that wrote the "
            "files counts from 0, pass --pixel_origin=0, or all boxes will be one pixel off"
        )


def _check_swapped(sized: Sequence[SourceImage]) -> None:
    """Raises InputError if all images that can be looked at have their annotated sides swapped."""
    looked, first = 0, None
    for image in sized:
        actual = _size_of(image)
        if actual is None or image.size is None:
            continue
        if actual != image.size[::-1]:
            return
        looked, first = looked + 1, first or image
    if looked < _MIN_SWAPPED or first is None or first.size is None:
        return
    claimed = "{}x{}".format(*first.size)
    raise InputError(
        f"{first.file}: says {claimed} (width x height), but {first.image_path} is "
        f"{first.size[1]}x{first.size[0]}, and so it is with all {looked} images looked at: width "
        "and height are swapped; if the boxes fit the images, pass --annotated_size=ignore"
    )


def _size_of(image: SourceImage) -> tuple[int, int] | None:
    """(width, height) as stored; None if the header cannot be read, or EXIF asks for a turn."""
    if image.num_bytes or not os.path.isfile(image.image_path):
        return None
    # Plugins raise all kinds on damaged files; the writer will say what is wrong with this one.
    try:
        with Image.open(image.image_path, formats=_FORMATS) as opened:
            turned = opened.getexif().get(0x0112, 1) != 1
            return None if turned else opened.size
    except Exception:
        return None


def _look_alikes(names: Sequence[str]) -> Iterable[str]:
    groups = collections.defaultdict(list)
    for name in names:
        groups[look_alike_key(name)].append(name)
    alike = [group for group in groups.values() if len(group) > 1]
    if alike:
        quoted = "; ".join(", ".join(map(repr, group[:4])) for group in alike[:_NUM_QUOTED])
        more = f" and {len(alike) - _NUM_QUOTED} more" if len(alike) > _NUM_QUOTED else ""
        yield (
            f"these names look alike but are different classes: {quoted}{more}; if they are one "
            "class, rename them in the annotations"
        )
