"""The class list: every way to choose it, and the line that names an object outside it."""

import json
import time

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.known_classes import COCO_CATEGORIES, VOC_CLASSES
from ssd_tfrecord.records.sources.labels import choose_classes
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceObject, SourceSet

BOX = (0.0, 0.0, 1.0, 1.0)


def _set(*names, **fields):
    objects = tuple(SourceObject(i, name, BOX) for i, name in enumerate(names, 1))
    image = SourceImage("1", "1.jpg", "a/1.xml", objects=objects)
    return SourceSet(images=(image,), origin={}, **fields)


def _triples(classes):
    return [(item.id, item.name, item.original_id) for item in classes]


def test_default_is_vocs_twenty_in_the_devkits_order():
    classes = choose_classes("default", _set("person"))
    assert [item.name for item in classes] == sorted(VOC_CLASSES)
    assert _triples(classes)[14] == (15, "person", 15)
    assert len(classes) == 20


def test_default_is_the_jsons_own_list_with_its_ids():
    classes = choose_classes("default", _set("cat", category_ids={"dog": 3, "cat": 17}))
    assert _triples(classes) == [(1, "dog", 3), (2, "cat", 17)]


def test_voc_and_coco_may_be_asked_for():
    assert [item.name for item in choose_classes("voc", _set("person"))] == list(VOC_CLASSES)
    classes = choose_classes("coco", _set("person", "hair drier"))
    assert len(classes) == 80
    assert _triples(classes)[11] == (12, "stop sign", 13)
    assert _triples(classes)[-2:] == [(79, "hair drier", 89), (80, "toothbrush", 90)]


def test_cocos_80_are_the_jsons_own(real_data):
    path = real_data / "coco_mini/annotations/instances_val2017.json"
    found = {item["name"]: item["id"] for item in json.loads(path.read_text())["categories"]}
    assert found == COCO_CATEGORIES


def test_classes_outside_the_list_may_be_left_for_dropping():
    with pytest.raises(InputError, match="class 'ox' is not one of aeroplane, "):
        choose_classes("voc", _set("ox"))
    assert len(choose_classes("voc", _set("ox"), "drop")) == 20


def test_auto_sorts_what_is_found():
    assert _triples(choose_classes("auto", _set("dog", "cat", "dog"))) == [
        (1, "cat", 1),
        (2, "dog", 2),
    ]
    found = choose_classes("auto", _set("dog", "cat", category_ids={"ox": 1, "dog": 3, "cat": 17}))
    assert _triples(found) == [(1, "cat", 17), (2, "dog", 3)]


def test_a_file_keeps_its_order(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("\ufeffdog\n\n cat \n", encoding="utf-8")
    assert _triples(choose_classes(str(path), _set("cat"))) == [(1, "dog", 1), (2, "cat", 2)]


def test_a_manifest_keeps_classes_that_the_set_lacks(tiny_records):
    classes = choose_classes(str(tiny_records / "manifest.json"), _set("dog"))
    assert [item.name for item in classes] == ["cat", "dog", "person"]


def test_a_manifests_classes_get_the_ids_of_the_set(tiny_records):
    """The ids belong to the data: results are compared with the set's own JSON."""
    path = str(tiny_records / "manifest.json")
    own = _set("dog", category_ids={"dog": 1, "cat": 17, "ox": 3})
    # The set has no person, whose id of the other set, 3, is ox's.
    assert _triples(choose_classes(path, own)) == [(1, "cat", 17), (2, "dog", 1), (3, "person", 18)]
    own = _set("dog", category_ids={"dog": 1, "cat": 17})
    assert _triples(choose_classes(path, own))[2] == (3, "person", 3)


def test_names_are_compared_in_one_form(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("cafe\u0301 \n", encoding="utf-8")
    assert _triples(choose_classes(str(path), _set("caf\u00e9"))) == [(1, "caf\u00e9", 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "cat\ndog\ncat\n",
            r"names\.txt: duplicate class 'cat'; must list each class once, one per line",
        ),
        ("\n", r"names\.txt: is empty; must list"),
        (
            "cat\n",
            r"^a/1\.xml: object 2: class 'dog' is not one of cat; add it to --classes, or pass --c",
        ),
    ],
)
def test_a_wrong_file_of_names(tmp_path, text, message):
    path = tmp_path / "names.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        choose_classes(str(path), _set("cat", "dog"))


def test_a_missing_file_of_names():
    with pytest.raises(InputError, match=r"--classes=none\.txt: cannot be read \(.*must be"):
        choose_classes("none.txt", _set("cat"))


def test_a_name_that_is_no_category_of_the_json(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("ox\n")
    with pytest.raises(InputError, match="'ox' is not a category of the JSON, which has: cat, dog"):
        choose_classes(str(path), _set(category_ids={"cat": 1, "dog": 2}))


def test_names_are_a_line_whatever_they_are_and_however_many(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("x" * 9000 + "\n")
    ids = {name: number for number, name in enumerate(["a\nb", "y" * 41, *map(str, range(998))])}
    message = (
        rf"--classes={path}: 'xxx.*\.\.\.x+' is not a category of the JSON, which has: 'a\\nb', "
        r"'yyy+\.\.\.y+', 0, 1, .*, 87 and 910 more$"
    )
    with pytest.raises(InputError, match=message) as error:
        choose_classes(str(path), _set(category_ids=ids))
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"class 'a\\nb' is not one of c d; add") as error:
        path.write_text("c\td\n")
        choose_classes(str(path), _set("a\nb"))
    assert "\n" not in str(error.value)


def test_a_long_file_of_names_is_read_quickly(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("\n".join([*map(str, range(20_000)), "7"]))
    start = time.process_time()
    with pytest.raises(InputError, match=r"names\.txt: duplicate class '7'"):
        choose_classes(str(path), _set("cat"))
    assert time.process_time() - start < 1


def test_auto_without_objects():
    with pytest.raises(InputError, match="--classes=auto: there are no objects"):
        choose_classes("auto", _set())
