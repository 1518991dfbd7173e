"""How much may be dropped: shares, strays, classes, and sets that would be empty."""

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.annotation import ImageAnnotation, ObjectAnnotation
from ssd_tfrecord.records.rejects import Reject
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceObject, SourceSet
from ssd_tfrecord.records.sources.survey import survey
from ssd_tfrecord.records.statistics import Statistics
from ssd_tfrecord.records.writing.ceilings import Ceiling, Examples

BOX = (0.0, 0.0, 9.0, 9.0)


def _rejects(count, reason="inverted", action="dropped", **fields):
    fields = {"object": 1, "name": "cat", **fields}
    return [Reject(f"{n}.xml", str(n), reason, action, **fields) for n in range(count)]


def _written(**classes):
    """Statistics of images with one object each."""
    statistics = Statistics(classes)
    for name, count in classes.items():
        for _ in range(count):
            item = ObjectAnnotation(1, name, (0.0, 0.0, 1.0, 1.0))
            statistics.add(ImageAnnotation("", "", 9, 9, (item,)))
    return statistics


def _check(found, written, rejects, *, of_reader=(), lost=None, max_dropped=10.0):
    """Checks sets of {class: objects}, one object per image, whose writer dropped ``rejects``."""
    images = [
        SourceImage(str(n), "", "", None, (SourceObject(1, name, BOX),))
        for name, count in found.items()
        for n in range(count)
    ]
    sources = SourceSet(images, {}, rejects=list(of_reader), lost=lost or {})
    ceiling = Ceiling(sources, survey(sources), max_dropped)
    ceiling.check_reader()
    statistics, examples = _written(**written), Examples()
    statistics.add_rejects([*of_reader, *rejects])
    examples.add(rejects)
    ceiling.check(statistics, [examples.texts])


def test_few_are_strays_whatever_their_share():
    _check({"cat": 12}, {"cat": 3}, _rejects(9))


def test_many_are_an_error_beyond_the_share():
    _check({"cat": 100}, {"cat": 90}, _rejects(10))
    message = (
        r"^11 of 100 objects \(11%\) would be dropped: inverted, such as 0\.xml: object 1 \('cat'\)"
        r"; correct them, or pass --max_dropped=100 to accept it \(now 10\)$"
    )
    with pytest.raises(InputError, match=message):
        _check({"cat": 100}, {"cat": 89}, _rejects(11))
    _check({"cat": 100}, {"cat": 89}, _rejects(11), max_dropped=100)
    _check({"cat": 100}, {"cat": 89}, _rejects(11), max_dropped=11)


def test_each_reason_has_its_own_share():
    _check({"cat": 100}, {"cat": 80}, [*_rejects(10), *_rejects(10, "zero_area")])


@pytest.mark.parametrize("action", ["clipped", "kept", "reordered", "enclosed"])
def test_what_is_not_dropped_does_not_count(action):
    _check({"cat": 20}, {"cat": 20}, _rejects(20, action=action))


@pytest.mark.parametrize("max_dropped", [10, 100])
@pytest.mark.parametrize("count", [1, 30])
def test_a_set_that_loses_all_its_objects_is_always_an_error(count, max_dropped):
    message = (
        rf"^no object is left: {count} of {count} would be dropped \(inverted {count}\), such as 0"
    )
    with pytest.raises(InputError, match=message):
        _check({"cat": count}, {}, _rejects(count), max_dropped=max_dropped)


def test_a_set_without_objects_is_not():
    _check({}, {}, [])
    _check({}, {}, _rejects(5, "damaged", object=0))


def test_a_class_that_loses_all_its_objects_is_an_error():
    with pytest.raises(InputError, match=r"class 'ox' would lose all its objects \(2\); drop"):
        _check({"cat": 50, "ox": 2}, {"cat": 50, "ox": 0}, _rejects(2, name="ox"))
    _check({"cat": 50, "ox": 2}, {"cat": 50, "ox": 0}, _rejects(2, name="ox"), max_dropped=100)
    # One that never had any, and one outside the list, have lost nothing.
    _check({"cat": 50}, {"cat": 50, "ox": 0}, [])
    _check({"cat": 50, "ox": 2}, {"cat": 50}, _rejects(2, "unknown_class", name="ox"))


def test_what_the_reader_drops_counts_before_anything_is_written():
    strangers = _rejects(8, "unknown_image", object=-1, detail="image_id 7 is none of 1, 2")
    with pytest.raises(InputError, match=r"8 of 8 would be dropped .* as 0\.xml.*image_id 7"):
        _check({}, {}, [], of_reader=strangers)
    missing = _rejects(11, "missing_image", object=0, name="", num_objects=1)
    with pytest.raises(
        InputError, match=r"^11 of 41 images \(27%\) would be dropped: missing_image"
    ):
        _check({"cat": 30}, {"cat": 30}, [], of_reader=missing)
    with pytest.raises(InputError, match=r"class 'ox' would lose all its objects \(3\)"):
        few = _rejects(3, "missing_image", object=0, name="", num_objects=1)
        _check({"cat": 30}, {"cat": 30, "ox": 0}, [], of_reader=few, lost={"ox": 3})


def test_objects_lost_with_their_images_count():
    crowded = _rejects(1, "damaged", object=0, name="", num_objects=40)
    with pytest.raises(InputError, match=r"^40 of 100 objects \(40%\) .* with their image, such"):
        _check({"cat": 100}, {"cat": 60}, crowded)
