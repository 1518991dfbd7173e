"""What all annotations of a set have wrong together, and what only looks so."""

import pytest
from PIL import Image

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import BoxOptions, ImageOptions
from ssd_tfrecord.records.sources import plausibility
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceObject, SourceSet
from ssd_tfrecord.records.sources.survey import survey


def _set(*boxes, size=(640, 480), names=("cat",), origin=0):
    """One image for each box."""
    images = [
        SourceImage(
            str(number),
            f"{number}.jpg",
            f"{number}.xml",
            size,
            (SourceObject(1, names[number % len(names)], tuple(map(float, box))),),
        )
        for number, box in enumerate(boxes)
    ]
    return SourceSet(images, {}, pixel_origin=origin)


def _check(sources, **options):
    return plausibility.check(sources, survey(sources), ImageOptions(), BoxOptions(**options))


FRACTIONS = [(0.1, 0.2, 0.5, 0.9), (0.0, 0.3, 1.0, 0.4)]
PERCENT = [(10 + n, 20, 60 + n, 99) for n in range(25)]


@pytest.mark.parametrize("boxes", [FRACTIONS, FRACTIONS[:1]])
@pytest.mark.parametrize("origin", [0, 1])
def test_fractions_are_refused_unless_the_user_says_so(boxes, origin):
    # The reader has made one less of the low edges.
    given = [(box[0] - origin, box[1] - origin, *box[2:]) for box in boxes]
    sources = _set(*given, origin=origin)
    with pytest.raises(InputError, match="look like fractions of the image; pass --box_unit=f"):
        _check(sources)
    assert _check(_set(*boxes), box_unit="pixel") == ()
    assert _check(_set(*boxes), box_unit="fraction") == ()


def test_one_box_in_pixels_is_enough_to_be_pixels():
    assert _check(_set(*FRACTIONS, (0.0, 0.0, 20.0, 30.0))) == ()


def test_percentages_are_refused_where_many_large_images_agree():
    with pytest.raises(InputError, match=r"25 boxes lie within 10 to 99, though 25 im.*=percent"):
        _check(_set(*PERCENT))
    assert _check(_set(*PERCENT), box_unit="pixel") == ()
    assert _check(_set(*PERCENT), box_unit="percent") == ()
    # Small images, unknown sizes, few boxes, boxes in a corner.
    assert _check(_set(*PERCENT, size=(120, 90))) == ()
    assert _check(_set(*PERCENT, size=None)) == ()
    assert _check(_set(*PERCENT[:10])) == ()
    assert _check(_set(*[(10, 20, 30, 50)] * 25)) == ()


def test_pixels_are_refused_where_the_user_says_fractions_or_percentages():
    boxes = [(10, 20, 300, 400)] * 3
    with pytest.raises(InputError, match=r"=fraction: 3 of 3 boxes reach beyond 1\.1, one"):
        _check(_set(*boxes), box_unit="fraction")
    with pytest.raises(InputError, match="=percent: 3 of 3 boxes reach beyond 110, one to 4"):
        _check(_set(*boxes), box_unit="percent")
    with pytest.raises(InputError, match="they look like fractions; pass --box_unit=fraction"):
        _check(_set(*FRACTIONS), box_unit="percent")
    # A stray is the business of --bad_boxes.
    assert _check(_set(*FRACTIONS, (0.1, 0.1, 3.0, 0.5)), box_unit="fraction") == ()


def test_a_zero_where_pixels_count_from_1_is_hinted_at():
    # VOC's 0 becomes -1, its 1 becomes 0.
    (note,) = _check(_set((-1, 5, 20, 30), (-1, 3, 9, 9), (0, 0, 9, 9), origin=1))
    assert note.startswith("the smallest coordinate is 0, in 2 of 3 boxes (0.xml: object 1), but ")
    assert "pass --pixel_origin=0" in note
    assert _check(_set((0, 0, 20, 30), origin=1)) == ()
    assert _check(_set((-1, 5, 20, 30), origin=0)) == ()
    # Further out it is no other origin.
    assert _check(_set((-3, 5, 20, 30), (-1, 5, 20, 30), origin=1)) == ()


@pytest.mark.parametrize(
    ("names", "quoted"),
    [
        (("Dog", "dog", "DOG", "cat"), "'DOG', 'Dog', 'dog'"),
        (("traffic light", "traffic_light"), "'traffic light', 'traffic_light'"),
        (("ﬁsh", "fish"), "'fish', 'ﬁsh'"),
    ],
)
def test_names_that_look_alike_are_noted(names, quoted):
    (note,) = _check(_set(*[(1, 1, 9, 9)] * 4, names=names))
    assert f"different classes: {quoted}; if they are one class, rename" in note


def test_other_names_are_not():
    assert _check(_set(*[(1, 1, 9, 9)] * 4, names=("+", "-", "cat", "car"))) == ()


@pytest.fixture
def images(tmp_path):
    """A SourceSet of six images of 60x40, of which ``wrong`` say 40x60."""

    def make(wrong, exif=None):
        found = []
        for number in range(6):
            path = tmp_path / f"{number}.jpg"
            image = Image.new("RGB", (60, 40))
            tags = Image.Exif()
            if exif:
                tags[0x0112] = exif
            image.save(path, exif=tags)
            size = (40, 60) if number < wrong else (60, 40)
            found.append(SourceImage(str(number), str(path), f"{number}.xml", size))
        return SourceSet(found, {})

    return make


def test_swapped_sides_of_all_images_are_one_error(images):
    sources = images(6)
    with pytest.raises(InputError, match=r"0\.xml: says 40x60 .* is 60x40, and so it is with al"):
        _check(sources)
    ignored = ImageOptions(annotated_size="ignore")
    assert plausibility.check(sources, survey(sources), ignored, BoxOptions()) == ()


def test_some_swapped_sides_or_turned_ones_are_not(images):
    assert _check(images(5)) == ()
    assert _check(images(0)) == ()
    assert _check(images(6, exif=6)) == ()
