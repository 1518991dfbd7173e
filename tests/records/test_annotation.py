"""Pixels to fractions: exact at the borders, clipped beyond, dropped where nothing is left."""

import numpy as np
import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.annotation import SourceImage, SourceObject, degeneracy, fit


def _fit(*boxes, size=None, **fields):
    objects = tuple(SourceObject(i, "cat", box, **fields) for i, box in enumerate(boxes, 1))
    source = SourceImage("7", "images/7.jpg", "7.xml", size, objects)
    return fit(source, 50, 100, {"dog": 1, "cat": 2})


def test_a_box_becomes_float32_fractions_and_keeps_its_pixel_area():
    annotation, rejects = _fit((10.0, 30.0, 20.0, 70.0), size=(100, 50))
    (item,) = annotation.objects
    assert item.box == (np.float32(0.2), np.float32(0.3), np.float32(0.4), np.float32(0.7))
    assert (item.label, item.name, item.area) == (2, "cat", 400.0)
    assert (annotation.filename, annotation.height, annotation.width) == ("7.jpg", 50, 100)
    assert rejects == ()


def test_a_given_area_is_kept():
    assert _fit((10.0, 30.0, 20.0, 70.0), area=123.5)[0].objects[0].area == 123.5


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ((0.0, 0.0, 50.0, 100.0), (0.0, 0.0, 1.0, 1.0)),
        ((25.0, 50.0, 50.0, 100.0), (0.5, 0.5, 1.0, 1.0)),
        ((0.0, 0.0, 25.0, 50.0), (0.0, 0.0, 0.5, 0.5)),
    ],
)
def test_a_box_that_touches_the_border_is_neither_clipped_nor_dropped(given, stored):
    annotation, rejects = _fit(given)
    assert annotation.objects[0].box == stored
    assert rejects == ()


def test_a_box_beyond_the_border_is_clipped_and_named():
    annotation, (reject,) = _fit((-5.0, 50.0, 25.0, 104.0))
    assert annotation.objects[0].box == (0.0, 0.5, 0.5, 1.0)
    assert annotation.objects[0].area == 25 * 50
    assert (reject.file, reject.object, reject.name, reject.reason) == (
        "7.xml",
        1,
        "cat",
        "clipped",
    )


@pytest.mark.parametrize(
    "box", [(10.0, 100.0, 20.0, 110.0), (-9.0, 5.0, -1.0, 9.0), (25.0, 99.9999999, 30.0, 100.0)]
)
def test_a_box_without_area_in_the_image_is_dropped_and_named(box):
    annotation, (reject,) = _fit((0.0, 0.0, 5.0, 5.0), box)
    assert len(annotation.objects) == 1
    assert (reject.object, reject.reason) == (2, "outside_image")


def test_another_size_than_decoded_is_an_error_that_names_file_and_both():
    with pytest.raises(InputError) as error:
        _fit((0.0, 0.0, 5.0, 5.0), size=(50, 99))
    assert str(error.value) == (
        "7.xml: says 50x99 (width x height), but images/7.jpg decodes to 100x50: must be the same"
    )


def test_swapped_sides_come_with_a_hint():
    message = r"says 50x100 .* decodes to 100x50: must be the same \(rotated by EXIF\? Turn the pix"
    with pytest.raises(InputError, match=message):
        _fit((0.0, 0.0, 5.0, 5.0), size=(50, 100))


def test_degeneracy():
    assert degeneracy((1, 1, 2, 2)) == ""
    assert degeneracy((1, 1, 1, 2)) == "zero_area"
    assert degeneracy((1, 3, 2, 2)) == "inverted"
