"""Several sets as one: ids, classes, rejects and what is lost."""

import dataclasses

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.rejects import DROPPED, Reject
from ssd_tfrecord.records.sources import spool
from ssd_tfrecord.records.sources.layouts import joined
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceSet
from ssd_tfrecord.records.sources.spool import Spool


def _set(name, ids, **changes):
    images = [SourceImage(source_id, f"/x/{name}{source_id}.jpg", "f") for source_id in ids]
    rejects = Spool(spool.REJECTS, [Reject("f", "9", "damaged", DROPPED)])
    made = SourceSet(Spool(spool.IMAGES, images), {"a": name}, 1, rejects=rejects, lost={"cat": 1})
    return dataclasses.replace(made, notes=("note",), **changes)


def test_ids_stay_if_they_are_unique():
    found = joined.join({"one": _set("one", "12"), "two": _set("two", "34")}, {"input": "x"})
    assert [image.source_id for image in found.images] == ["1", "2", "3", "4"]
    assert [reject.source_id for reject in found.rejects] == ["9", "9"]
    assert found.origin == {"a": "one", "input": "x"}
    assert (found.lost, found.pixel_origin) == ({"cat": 2}, 1)
    assert found.notes == ("one: note", "two: note")


def test_equal_ids_begin_with_their_sets():
    found = joined.join({"one": _set("one", "12"), "two": _set("two", "23")}, {})
    assert [image.source_id for image in found.images] == ["one/1", "one/2", "two/2", "two/3"]
    assert [reject.source_id for reject in found.rejects] == ["one/9", "two/9"]


def test_one_set_stays_as_it_is():
    only = _set("one", "12")
    found = joined.join({"one": only}, {"input": "x"})
    assert found.images is only.images and found.notes == ("note",)
    assert found.origin == {"a": "one", "input": "x"}


def test_one_image_in_two_sets():
    with pytest.raises(InputError, match=r"/x/a1\.jpg: is annotated twice, in two of one, two"):
        joined.join({"one": _set("a", "1"), "two": _set("a", "1")}, {})


def test_records_of_one_file_are_different_images():
    images = [SourceImage(str(n), "/x/a.record", "f", offset=n, num_bytes=1) for n in range(2)]
    sets = {str(n): _set("", "", images=Spool(spool.IMAGES, [images[n]])) for n in range(2)}
    assert len(joined.join(sets, {}).images) == 2


def test_ids_of_classes_are_united_in_their_order():
    one = _set("one", "1", category_ids={"cat": 1, "dog": 5})
    two = _set("two", "2", category_ids={"horse": 3, "dog": 5})
    found = joined.joined_ids({"one": one, "two": two, "three": _set("three", "3")})
    assert list(found.items()) == [("cat", 1), ("horse", 3), ("dog", 5)]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ({"cat": 2}, "class 'cat' has id 2 in two, but in one 'cat' has id 1"),
        ({"dog": 1}, "class 'dog' has id 1 in two, but in one 'cat' has id 1"),
    ],
)
def test_ids_of_classes_that_contradict_each_other(ids, message):
    sets = {"one": _set("one", "1", category_ids={"cat": 1})}
    sets["two"] = _set("two", "2", category_ids=ids)
    with pytest.raises(InputError, match=f"^{message}; must be the same in all splits"):
        joined.joined_ids(sets)
