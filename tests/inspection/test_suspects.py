"""Each kind of suspect, in sets that hold one of it."""

import numpy as np
import pytest
from searched_sets import SOUND, make_set

from ssd_tfrecord.inspection import suspects


def _find(*sets):
    return suspects.find_suspects(sets)


def test_a_sound_set_has_none():
    assert _find(make_set(), make_set(name="val")) == []


def test_the_same_file_in_two_sets_and_twice_in_one():
    train, val = make_set(), make_set(name="val")
    digests = list(val.facts.digests)
    digests[4], digests[9] = train.facts.digests[7], digests[8]
    found = _find(train, make_set(name="val", digests=tuple(digests)))
    assert [(item.kind, item.place, item.other, item.value) for item in found] == [
        # First that of two sets, although it comes later.
        ("duplicate", (0, 7), (1, 4), 0),
        ("duplicate", (1, 8), (1, 9), 0),
    ]
    assert found[0].explanation == (
        "the same image file, in two sets: if one trains and the other tests, scores come out too "
        "high"
    )
    assert found[1].explanation == "the same image file, twice in one set"


def test_similar_images_by_their_distance_those_of_two_sets_first():
    train, val = make_set(), make_set(name="val")
    hashes = train.facts.hashes.copy()
    hashes[1] = hashes[0] ^ np.uint64(0b1)
    hashes[3] = hashes[2]
    hashes[4] = val.facts.hashes[5] ^ np.uint64(0b101)
    found = _find(make_set(hashes=hashes), val)
    assert [(item.kind, item.place, item.other, item.value) for item in found] == [
        ("near_duplicate", (0, 4), (1, 5), 2),
        ("near_duplicate", (0, 2), (0, 3), 0),
        ("near_duplicate", (0, 0), (0, 1), 1),
    ]
    assert "(2 of 64 bits differ)" in found[0].explanation


def test_images_that_cannot_be_compared_are_no_twins_but_equal_files_are():
    hashes = np.zeros(30, np.uint64)
    comparable = np.zeros(30, bool)
    digests = tuple(
        b"%032d" % (image // 2) if image < 2 else b"%032d" % image for image in range(30)
    )
    found = _find(make_set(hashes=hashes, comparable=comparable, digests=digests))
    assert [(item.kind, item.place, item.other) for item in found] == [
        ("duplicate", (0, 0), (0, 1))
    ]


def test_equal_files_are_not_listed_as_similar_too():
    hashes = make_set().facts.hashes.copy()
    hashes[1] = hashes[0]
    digests = (b"0" * 32, b"0" * 32, *make_set().facts.digests[2:])
    assert [item.kind for item in _find(make_set(hashes=hashes, digests=digests))] == ["duplicate"]


def test_the_same_box_with_two_classes_and_twice():
    box = (0.25, 0.25, 0.75, 0.75)
    # IoU 0.5 / 0.52 = 0.96 with the box, and 0.5 / 0.54 = 0.93.
    close, far = (0.25, 0.25, 0.77, 0.75), (0.25, 0.25, 0.79, 0.75)
    objects = [*SOUND, (25, 1, box), (25, 2, close), (25, 2, far), (26, 1, box), (26, 1, box)]
    found = _find(make_set(objects))
    assert [(item.kind, item.place, item.name, item.other_name) for item in found] == [
        ("same_box_two_classes", (0, 25), "dog", "cat"),
        ("same_box_twice", (0, 26), "cat", "cat"),
        # The two of class dog have an IoU of 0.52 / 0.54 = 0.96.
        ("same_box_twice", (0, 25), "dog", "dog"),
    ]
    assert found[0].value == pytest.approx(0.5 / 0.52)
    assert found[0].explanation == "the same box (IoU 0.96) is cat and dog: is one of them wrong?"
    assert found[1].explanation == "the same box (IoU 1.00) twice, both times cat: one too many?"


def test_a_box_of_many_likenesses_is_listed_once_a_kind():
    objects = [*SOUND, *((25, 1 + number % 2, SOUND[0][2]) for number in range(6))]
    counts = [item.kind for item in _find(make_set(objects))]
    # All but the first have one of the other class before them, and all but two one of their own.
    assert counts == ["same_box_two_classes"] * 5 + ["same_box_twice"] * 4


def test_tiny_boxes_are_those_of_less_than_two_pixels():
    # In an image of 200 x 100: 2, 1.5 and 1 pixels high, 1.9 wide.
    heights = [(0.5, 0.5, 0.5 + pixels / 200, 0.54) for pixels in (2.0, 1.5, 1.0)]
    objects = [*SOUND, *((25, 1, box) for box in (*heights, (0.1, 0.5, 0.12, 0.519)))]
    found = [item for item in _find(make_set(objects)) if item.kind == "tiny_box"]
    assert [round(item.value, 3) for item in found] == [1.0, 1.5, 1.9]
    assert found[0].explanation == "4.0 pixels wide and 1.0 high: a slip of the mouse?"


def test_boxes_of_the_whole_image_are_those_of_99_percent():
    objects = [*SOUND, (25, 1, (0, 0, 1, 1)), (26, 1, (0, 0.011, 1, 1)), (27, 1, (0, 0, 0.992, 1))]
    found = _find(make_set(objects))
    assert [(item.kind, item.place[1]) for item in found] == [
        ("whole_image_box", 25),
        ("whole_image_box", 27),
    ]
    assert found[1].explanation == "covers 99.2 % of the image: a placeholder?"


def _of_aspects(aspects):
    """Boxes of 10,000 pixels² in an image of 1000 x 1000."""
    sides = [(0.1 / aspect**0.5, 0.1 * aspect**0.5) for aspect in aspects]
    return [
        (number, 1, (0.0, 0.0, height, width)) for number, (height, width) in enumerate(sides)
    ] + [(number, 2, (0.5, 0.5, 0.6, 0.7)) for number in range(20)]


def test_odd_aspects_are_many_robust_deviations_from_the_median_of_their_class():
    # log2 of the aspects: -1, 0 and 1 seven times each: median 0, median of |deviations| 1, so that
    # a robust deviation is 1.4826 doublings: 5 of them are 7.41.
    aspects = [2.0 ** (number % 3 - 1) for number in range(21)]
    sizes = np.tile(np.int32([1000, 1000]), (30, 1))
    objects = _of_aspects([*aspects, 2**7.3, 2**7.5, 2**-7.7])
    found = _find(make_set(objects, sizes=sizes))
    assert [(item.kind, item.place[1], item.name) for item in found] == [
        ("aspect_outlier", 23, "cat"),
        ("aspect_outlier", 22, "cat"),
    ]
    assert found[0].value == pytest.approx(7.7 / 1.4826, rel=1e-4)
    assert found[0].explanation.startswith(
        "width / height is 0.0048, usual for cat is 1 (5.2 robust deviations)"
    )


def test_of_squares_one_that_is_slightly_wider_is_not_odd():
    sizes = np.tile(np.int32([1000, 1000]), (30, 1))
    assert _find(make_set(_of_aspects([*[1.0] * 25, 1.6]), sizes=sizes)) == []
    assert len(_find(make_set(_of_aspects([*[1.0] * 25, 1.7]), sizes=sizes))) == 1


def test_a_class_of_few_objects_has_no_usual_aspect():
    sizes = np.tile(np.int32([1000, 1000]), (30, 1))
    assert _find(make_set(_of_aspects([*[1.0] * 18, 50.0]), sizes=sizes)) == []


def test_rare_classes_are_those_of_fewer_than_ten_objects():
    objects = [*SOUND[::2], (21, 2, (0, 0, 0.5, 0.5)), (22, 2, (0, 0, 0.5, 0.6))]
    found = _find(make_set(objects, name="val"))
    assert [(item.kind, item.place, item.name, item.value) for item in found] == [
        ("rare_class", (0, 22), "dog", 2)
    ]
    assert found[0].explanation == (
        "only 2 objects, such as this one, in val: too few to learn or to measure the class"
    )


def test_a_class_without_objects_is_rare_but_a_gap_of_a_label_map_is_not():
    found = _find(make_set(SOUND[::2], name="val"))
    assert [(item.kind, item.place, item.name) for item in found] == [
        ("rare_class", (0, -1), "dog")
    ]
    assert found[0].explanation == "no object in val"
    # Of a set without annotations nothing can be said.
    assert _find(make_set([])) == []
