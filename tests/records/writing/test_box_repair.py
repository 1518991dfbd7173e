"""Pixels to fractions: exact at the borders; what is clipped, dropped or refused, and its name."""

import math

import numpy as np
import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import BoxOptions
from ssd_tfrecord.records.annotation import degeneracy
from ssd_tfrecord.records.images.stored_image import StoredImage
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceObject
from ssd_tfrecord.records.writing.box_repair import fit

# Of 100x50 pixels.
IMAGE = StoredImage(b"", 50, 100, 50, 100)


def _fit(*boxes, image=IMAGE, options=BoxOptions(), **fields):  # noqa: B008
    objects = tuple(
        SourceObject(index, "cat", box, **{"flaw": degeneracy(box), **fields})
        for index, box in enumerate(boxes, 1)
    )
    source = SourceImage("7", "images/7.jpg", "7.xml", (100, 50), objects)
    return fit(source, image, {"dog": 1, "cat": 2}, options)


def test_a_box_becomes_float32_fractions_and_keeps_its_pixel_area():
    annotation, rejects = _fit((10.0, 30.0, 20.0, 70.0))
    (item,) = annotation.objects
    assert item.box == (np.float32(0.2), np.float32(0.3), np.float32(0.4), np.float32(0.7))
    assert (item.label, item.name, item.area) == (2, "cat", 400.0)
    assert (annotation.filename, annotation.height, annotation.width) == ("7.jpg", 50, 100)
    assert rejects == ()


def test_what_is_known_of_an_object_is_kept():
    fields = {
        "difficult": True,
        "truncated": True,
        "occluded": True,
        "crowd": True,
        "area": 123.5,
        "pose": "Left",
        "annotation_id": 900100,
    }
    (item,) = _fit((10.0, 30.0, 20.0, 70.0), **fields)[0].objects
    assert {name: getattr(item, name) for name in fields} == fields
    (plain,) = _fit((10.0, 30.0, 20.0, 70.0))[0].objects
    assert (plain.crowd, plain.occluded, plain.pose, plain.annotation_id) == (False, False, "", -1)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ((0.0, 0.0, 50.0, 100.0), (0.0, 0.0, 1.0, 1.0)),
        ((25.0, 50.0, 50.0, 100.0), (0.5, 0.5, 1.0, 1.0)),
        ((0.0, 0.0, 25.0, 50.0), (0.0, 0.0, 0.5, 0.5)),
    ],
)
def test_a_box_that_touches_the_border_is_neither_clipped_nor_dropped(given, stored):
    annotation, rejects = _fit(given, options=BoxOptions(bad_boxes="fail", box_tolerance=0.0))
    assert annotation.objects[0].box == stored
    assert rejects == ()


@pytest.mark.parametrize("bad_boxes", ["fail", "drop", "clip"])
def test_a_box_beyond_the_border_within_the_tolerance_is_clipped_and_named(bad_boxes):
    options = BoxOptions(bad_boxes=bad_boxes, box_tolerance=5.0)
    annotation, (reject,) = _fit((-5.0, 50.0, 25.0, 104.0), options=options)
    assert annotation.objects[0].box == (0.0, 0.5, 0.5, 1.0)
    assert annotation.objects[0].area == 25 * 50
    assert (reject.file, reject.source_id, reject.object, reject.name) == ("7.xml", "7", 1, "cat")
    assert (reject.reason, reject.action) == ("clipped", "clipped")
    assert reject.box == (-5.0, 50.0, 25.0, 104.0)


FAR = (-5.0, 50.0, 25.0, 104.5)


def test_a_box_beyond_the_tolerance_is_clipped_dropped_or_refused():
    annotation, (reject,) = _fit(FAR, options=BoxOptions(bad_boxes="clip", box_tolerance=4.9))
    assert annotation.objects[0].box == (0.0, 0.5, 0.5, 1.0)
    assert (reject.reason, reject.action) == ("beyond_tolerance", "clipped")

    annotation, (reject,) = _fit(FAR, options=BoxOptions(bad_boxes="drop", box_tolerance=4.9))
    assert annotation.objects == ()
    assert (reject.reason, reject.action) == ("beyond_tolerance", "dropped")

    with pytest.raises(InputError) as error:
        _fit(FAR, options=BoxOptions(bad_boxes="fail", box_tolerance=4.9))
    assert str(error.value) == (
        "7.xml: object 1 ('cat'): box with x 50 to 104.5 and y -5 to 25 (pixels from 0) must be "
        "inside 100x50, give or take --box_tolerance; fix it, or pass --bad_boxes=drop"
    )


@pytest.mark.parametrize("bad_boxes", ["drop", "clip"])
@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((10.0, 100.0, 20.0, 110.0), "outside_image"),
        ((-9.0, 5.0, -1.0, 9.0), "outside_image"),
        ((10.0, 100.0, 20.0, 101.0), "outside_image"),  # within the tolerance
        ((25.0, 99.9999999, 30.0, 100.0), "outside_image"),  # no area as float32
        ((10.0, 20.0, 10.0, 40.0), "zero_area"),
        ((10.0, math.nan, 20.0, 20.0), "not_finite"),
        ((10.0, 20.0, 20.0, math.inf), "not_finite"),
        ((-math.inf, 20.0, 20.0, 40.0), "not_finite"),
        ((10.0, 20.0, 20.0, 1e300), "not_finite"),
    ],
)
def test_a_box_without_area_in_the_image_is_dropped_and_named(box, reason, bad_boxes):
    options = BoxOptions(bad_boxes=bad_boxes)
    annotation, (reject,) = _fit((0.0, 0.0, 5.0, 5.0), box, options=options)
    assert len(annotation.objects) == 1
    assert (reject.object, reject.reason, reject.action) == (2, reason, "dropped")


@pytest.mark.parametrize(
    ("box", "origin", "expected"),
    [
        ((10.0, 40.0, 20.0, 20.0), 0, (10.0, 20.0, 20.0, 40.0)),
        ((20.0, 40.0, 10.0, 20.0), 0, (10.0, 20.0, 20.0, 40.0)),
        # VOC's xmin 41 and xmax 20, both ends inside: pixels 20 to 41 are the edges 19 to 41.
        ((10.0, 40.0, 20.0, 20.0), 1, (10.0, 19.0, 20.0, 41.0)),
    ],
)
def test_corners_in_the_wrong_order_are_put_in_order_and_named(box, origin, expected):
    numbers = (box[0] + origin, box[1] + origin, *box[2:])
    item = SourceObject(1, "cat", box, flaw=degeneracy(numbers))
    source = SourceImage("7", "7.jpg", "7.xml", objects=(item,))
    annotation, (reject,) = fit(source, IMAGE, {"cat": 1}, BoxOptions(), origin)
    pixels = np.multiply(annotation.objects[0].box, [50, 100, 50, 100])
    np.testing.assert_allclose(pixels, expected, atol=1e-5)
    assert (reject.reason, reject.action, reject.box) == ("inverted", "reordered", box)
    dropped, (reject,) = fit(source, IMAGE, {"cat": 1}, BoxOptions(bad_boxes="drop"), origin)
    assert (dropped.objects, reject.action) == ((), "dropped")
    with pytest.raises(InputError, match="is inverted: must have xmax above xmin"):
        fit(source, IMAGE, {"cat": 1}, BoxOptions(bad_boxes="fail"), origin)


def test_ordered_corners_that_have_no_area_are_dropped():
    item = SourceObject(1, "cat", (10.0, 40.0, 10.0, 20.0), flaw="inverted")
    source = SourceImage("7", "7.jpg", "7.xml", objects=(item,))
    annotation, rejects = fit(source, IMAGE, {"cat": 1}, BoxOptions())
    assert annotation.objects == ()
    actions = [(reject.reason, reject.action) for reject in rejects]
    assert actions == [("inverted", "reordered"), ("zero_area", "dropped")]


@pytest.mark.parametrize(("unit", "scale"), [("fraction", 1.0), ("percent", 100.0)])
def test_boxes_in_parts_of_the_image(unit, scale):
    box = tuple(edge * scale for edge in (0.2, 0.1, 0.8, 0.525))
    annotation, rejects = _fit(box, options=BoxOptions(box_unit=unit), area=7.0)
    assert rejects == ()
    (item,) = annotation.objects
    np.testing.assert_allclose(item.box, (0.2, 0.1, 0.8, 0.525), atol=1e-7)
    assert item.area == pytest.approx(30 * 42.5)  # of the box: the annotation's unit is unclear


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((10.0, 100.0, 20.0, 110.0), "has no area inside the image: must be inside 100x50;"),
        ((10.0, 20.0, 10.0, 40.0), "has no area: must have xmax above xmin, and ymax above"),
        ((10.0, 40.0, 20.0, 20.0), "is inverted: must have xmax above xmin, and ymax above y"),
        ((10.0, math.nan, 20.0, 20.0), "x nan to 20 .* must have four finite edges;"),
        # As it is: six digits would say 103.
        ((10.0, 5.0, 20.0, 103.0001), r"x 5 to 103\.0001 .* must be inside 100x50, give or ta"),
        ((10.0, 5.0, 20.0, math.inf), "x 5 to inf .* must have four finite edges;"),
    ],
)
def test_a_bad_box_is_one_line_that_names_file_and_object(box, message):
    with pytest.raises(InputError, match=message) as error:
        _fit((0.0, 0.0, 5.0, 5.0), box, options=BoxOptions(bad_boxes="fail"))
    assert str(error.value).startswith("7.xml: object 2 ('cat'): box with x ")
    assert "\n" not in str(error.value)


def test_duplicates_are_kept_and_named():
    box, other = (10.0, 30.0, 20.0, 70.0), (10.0, 30.0, 20.0, 71.0)
    annotation, rejects = _fit(box, other, box, box)
    assert len(annotation.objects) == 4
    assert [(item.object, item.reason, item.action) for item in rejects] == [
        (3, "duplicate", "kept"),
        (4, "duplicate", "kept"),
    ]


def test_the_same_box_of_another_class_is_no_duplicate():
    objects = tuple(SourceObject(i, name, (1.0, 1.0, 9.0, 9.0)) for i, name in ((1, "a"), (2, "b")))
    _, rejects = fit(
        SourceImage("7", "a", "b", None, objects), IMAGE, {"a": 1, "b": 2}, BoxOptions()
    )
    assert rejects == ()


def test_unknown_classes_are_refused_or_dropped():
    source = SourceImage("7", "a", "7.xml", None, (SourceObject(1, "ox", (1.0, 1.0, 9.0, 9.0)),))
    message = r"^7\.xml: object 1 \('ox'\): must be one of --classes; or pass --unknown_classes=d"
    with pytest.raises(InputError, match=message):
        fit(source, IMAGE, {"cat": 1}, BoxOptions())
    annotation, (reject,) = fit(source, IMAGE, {"cat": 1}, BoxOptions(unknown_classes="drop"))
    assert annotation.objects == ()
    assert (reject.name, reject.reason, reject.action) == ("ox", "unknown_class", "dropped")


def test_boxes_of_a_shrunk_image_refer_to_the_size_before():
    shrunk = StoredImage(b"", 25, 50, 50, 100, done={"reencoded": "", "shrunk": ""})
    annotation, rejects = _fit((10.0, 30.0, 20.0, 70.0), (10.0, 30.0, 30.0, 70.0), image=shrunk)
    assert (annotation.height, annotation.width) == (25, 50)
    np.testing.assert_array_equal(annotation.objects[0].box, np.float32([0.2, 0.3, 0.4, 0.7]))
    assert [item.area for item in annotation.objects] == [100.0, 200.0]
    assert _fit((10.0, 30.0, 20.0, 70.0), image=shrunk, area=80.0)[0].objects[0].area == 20.0
    assert rejects == ()


def test_what_was_done_to_the_image_is_named():
    done = {"reencoded": "", "repaired": "it is truncated", "rotated": "orientation 6"}
    image = StoredImage(b"", 50, 100, 50, 100, "png", done)
    annotation, rejects = _fit((10.0, 30.0, 20.0, 70.0), image=image)
    assert annotation.original_format == "png"
    assert [(item.reason, item.action, item.detail, item.object, item.box) for item in rejects] == [
        ("damaged", "repaired", "it is truncated", 0, None),
        ("exif_orientation", "rotated", "orientation 6", 0, None),
    ]


def test_degeneracy():
    assert degeneracy((1, 1, 2, 2)) == ""
    assert degeneracy((1, 1, 1, 2)) == "zero_area"
    assert degeneracy((1, 3, 2, 2)) == "inverted"
    assert degeneracy((1, 1, 10**400, 2)) == "not_finite"
