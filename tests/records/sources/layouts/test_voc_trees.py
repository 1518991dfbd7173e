"""VOC XML in folders of all kinds: devkits, lists of image sets, splits, shared folders."""

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.layouts import recognition
from ssd_tfrecord.records.sources.layouts.layout import Policies

OBJECT = "<object><name>{}</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax>"
OBJECT += "</bndbox></object>"


@pytest.fixture
def add(tmp_path, write_file):
    """A function that writes an XML, and an image, at these paths of a folder."""

    def write(xml="", image="", name="cat"):
        if xml:
            text = f"<?xml version='1.0'?>\n<annotation>{OBJECT.format(name)}</annotation>"
            write_file(tmp_path / xml, text)
        if image:
            write_file(tmp_path / image, image)

    write.folder = tmp_path
    return write


def _parts(folder, **policies):
    """{split: source_ids} of a folder of VOC XML."""
    finding = recognition.recognise(str(folder), "voc")
    parts = {part.name: part.read(Policies(**policies)) for part in finding.parts}
    return {name: [image.source_id for image in item.images] for name, item in parts.items()}


def _devkit(add, write_file, year, **lists):
    for stems in lists.values():
        for stem in stems:
            add(f"{year}/Annotations/{stem}.xml", f"{year}/JPEGImages/{stem}.jpg")
    for name, stems in lists.items():
        write_file(add.folder / f"{year}/ImageSets/Main/{name}.txt", "\n".join(stems))


def test_the_sets_of_several_years_are_united(add, write_file):
    _devkit(add, write_file, "VOC2007", trainval=["1", "2"], test=["3"])
    _devkit(add, write_file, "VOC2012", train=["1"], val=["4"], trainval=["1", "4"])
    write_file(add.folder / "VOC2012/ImageSets/Main/dog_train.txt", "1 -1\n")
    assert _parts(add.folder) == {
        "train": ["VOC2007/1", "VOC2007/2", "VOC2012/1"],
        "val": ["VOC2012/4"],
        "test": ["VOC2007/3"],
    }
    finding = recognition.recognise(str(add.folder))
    assert finding.what == "VOCdevkit (VOC2007, VOC2012)"
    assert finding.classes == "voc"
    unused = (
        f"{add.folder}/VOC2012/ImageSets/Main/trainval.txt: not used, as train.txt and val.txt are"
    )
    assert finding.notes == (unused,)
    said = recognition.describe(str(add.folder), finding)
    assert said.endswith(
        "splits train (2007_trainval, 2012_train), val (2012_val), test (2007_test)"
    )


def test_a_test_set_that_was_published_without_xml(add, write_file):
    _devkit(add, write_file, "VOC2012", train=["1"])
    add(image="VOC2012/JPEGImages/9.jpg")
    write_file(add.folder / "VOC2012/ImageSets/Main/test.txt", "9\n")
    assert _parts(add.folder) == {"train": ["VOC2012/1"]}
    note = (
        f"{add.folder}/VOC2012/ImageSets/Main/test.txt: left out, as none of its images has an XML"
    )
    assert recognition.recognise(str(add.folder)).notes == (note,)


def test_a_year_without_lists_is_one_set(add, write_file):
    _devkit(add, write_file, "VOCown", default=["1", "2"])
    finding = recognition.recognise(str(add.folder))
    assert finding.classes == "auto"
    assert _parts(add.folder) == {"": ["VOCown/1", "VOCown/2"]}


@pytest.mark.parametrize("images", ["JPEGImages", "images", "photos"])
def test_lists_without_a_year(add, write_file, images):
    for stem in "123":
        add(f"Annotations/{stem}.xml", f"{images}/{stem}.jpg")
    write_file(add.folder / "ImageSets/Main/train.txt", "1\n3\n")
    write_file(add.folder / "ImageSets/Main/test.txt", "2.jpg 1\n")
    assert _parts(add.folder) == {"train": ["1", "3"], "test": ["2"]}


@pytest.mark.parametrize(
    ("xml", "image"),
    [
        ("{0}/{1}.xml", "{0}/{1}.jpg"),
        ("{0}/annotations/{1}.xml", "{0}/images/{1}.jpg"),
        ("annotations/{0}/{1}.xml", "images/{0}/{1}.jpg"),
        ("annotations/{0}/{1}.xml", "images/{1}.jpg"),
        ("Annotations/{0}/{1}.xml", "JPEGImages/{0}/{1}.jpg"),
        ("xml_{0}/{1}.xml", "jpg/{1}.jpg"),
        ("x/{1}/{0}/{1}.xml", "y/{0}/{1}.jpg"),
    ],
)
def test_splits_by_folders(add, xml, image):
    for split, stems in (("train", "12"), ("valid", "3"), ("test", "45")):
        for stem in stems:
            add(xml.format(split, stem), image.format(split, stem))
    found = _parts(add.folder)
    assert list(found) == ["train", "val", "test"]
    # An image of another split is not taken for one without XML.
    for part in recognition.recognise(str(add.folder)).parts:
        assert len(part.read(Policies()).rejects) == 0
    assert [[name[-1] for name in names] for names in found.values()] == [
        ["1", "2"],
        ["3"],
        ["4", "5"],
    ]


@pytest.mark.parametrize(
    ("xml", "image"),
    [
        ("1.xml", "1.jpg"),
        ("a/1.xml", "a/1.jpg"),
        ("annotations/1.xml", "images/1.png"),
        ("a/1.xml", "b/c/1.jpg"),
    ],
)
def test_no_splits(add, xml, image):
    add(xml, image)
    assert [len(names) for names in _parts(add.folder).values()] == [1]


def test_other_xml_is_passed_over(add, write_file):
    add("train/1.xml", "train/1.jpg")
    add("test/2.xml", "test/2.jpg")
    write_file(add.folder / "annotations.xml", "<annotations><image id='0'/></annotations>")
    write_file(add.folder / "cvat/a.xml", "<annotations/>")
    assert _parts(add.folder) == {"train": ["1"], "test": ["2"]}
    (add.folder / "train/1.xml").unlink()
    (add.folder / "test/2.xml").unlink()
    with pytest.raises(InputError, match="nothing found"):
        recognition.recognise(str(add.folder))


def test_images_without_xml_count_in_their_own_split(add):
    add("train/1.xml", "train/1.jpg")
    add("test/2.xml", "test/2.jpg")
    add(image="test/3.jpg")
    assert _parts(add.folder) == {"train": ["1"], "test": ["2"]}
    assert _parts(add.folder, unannotated="negative") == {"train": ["1"], "test": ["2", "3"]}
    with pytest.raises(InputError, match=r"3\.jpg"):
        _parts(add.folder, unannotated="fail")


def test_a_split_without_any_xml_is_named(add):
    add("train/1.xml", "train/1.jpg")
    add(image="test/3.jpg")
    finding = recognition.recognise(str(add.folder))
    note = f"{add.folder}/test: images of test: left out, as nothing annotates them"
    assert finding.notes == (note,)


def test_where_it_comes_from_is_told(add, write_file):
    _devkit(add, write_file, "VOC2007", trainval=["1"])
    (part,) = recognition.recognise(str(add.folder)).parts
    wanted = {"input": str(add.folder), "split": "train", "sets": ["2007_trainval"]}
    assert part.read(Policies()).origin == wanted
