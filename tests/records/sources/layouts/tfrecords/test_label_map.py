"""Label maps of the TF Object Detection API, as their repositories have them."""

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import ClassLabel
from ssd_tfrecord.records.sources.layouts.tfrecords import label_map
from ssd_tfrecord.records.sources.layouts.tfrecords.label_map import MapItem, read_label_map

PASCAL = """
# pascal_label_map.pbtxt
item {
  id: 1
  name: 'aeroplane'
}

item {
  id: 2
  name: 'bicycle'
}
"""
MSCOCO = """
item {
  name: "/m/01g317"
  id: 1
  display_name: "person"
}
item { name: "/m/0k4j" id: 3 display_name: "car" }
item { name: "none_of_the_above" id: 0 }
"""
KEYPOINTS = """
item {
  keypoints { id: 7 label: "nose" }
  id: 1 name: "a {b} 'c' #1"
}
"""


def _read(tmp_path, text):
    (tmp_path / "map.pbtxt").write_text(text)
    classes = read_label_map(str(tmp_path / "map.pbtxt"))
    assert [item.id for item in classes] == list(range(1, len(classes) + 1))
    return [(item.name, item.original_id) for item in classes]


def test_names_and_ids(tmp_path):
    assert _read(tmp_path, PASCAL) == [("aeroplane", 1), ("bicycle", 2)]


def test_display_names_gaps_and_a_background(tmp_path):
    assert _read(tmp_path, MSCOCO) == [("person", 1), ("unused-2", 2), ("car", 3)]


def test_braces_in_names_and_nested_messages(tmp_path):
    assert _read(tmp_path, KEYPOINTS)[0][0] == "a {b} 'c' #1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"map\.pbtxt: must contain items such as item \{ id: 1 name: \"cat\" \}"),
        ("cat\ndog\n", r"must contain items"),
        ("item { id: 1 }", r"item 1: must have a name and a unique id"),
        ("item { name: 'a' }", r"item 1: must have a name and a unique id"),
        (PASCAL + PASCAL, r"item 3: must have a name and a unique id"),
        ("item { id: 1 name: 'a' } item { id: 2 name: 'a' }", "must contain items"),
    ],
)
def test_a_wrong_file(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        _read(tmp_path, text)


def test_a_missing_file():
    with pytest.raises(InputError, match=r"--label_map=none\.pbtxt: cannot be read: "):
        read_label_map("none.pbtxt")


def test_items_have_the_name_of_records_and_the_one_to_show(tmp_path):
    path = tmp_path / "a.pbtxt"
    path.write_text(
        'item { id: 3 name: "dog" }\nitem { display_name: "Cat" name: \'/m/1\' id: 1 }\n'
    )
    assert label_map.read_items(str(path)) == {1: MapItem("/m/1", "Cat"), 3: MapItem("dog", "dog")}
    assert label_map.read_label_map(str(path)) == (
        ClassLabel(1, "Cat", 1),
        ClassLabel(2, "unused-2", 2),
        ClassLabel(3, "dog", 3),
    )


def test_messages_begin_with_what_named_the_file(tmp_path):
    path = tmp_path / "a.pbtxt"
    path.write_text("node {}")
    with pytest.raises(InputError, match=rf"^--label_map={path}: must contain items such as item"):
        label_map.read_items(str(path))
    with pytest.raises(InputError, match=rf"^{path}: must contain items such as item"):
        label_map.read_items(str(path), flag="")
