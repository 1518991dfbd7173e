"""Open Images: fractions, flags, descriptions, and a part of the images."""

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.layouts import recognition
from ssd_tfrecord.records.sources.layouts.layout import Policies

HEADER = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,"
    "IsDepiction,IsInside\n"
)
PERSON, TREE = "/m/01g317", "/m/07j7r"


@pytest.fixture
def root(tmp_path, write_file):
    """A folder of images aa and bb with descriptions, and a function that reads it with rows."""
    for stem in ("aa", "bb"):
        write_file(tmp_path / f"train/data/{stem}.jpg", stem.encode())
    write_file(tmp_path / "class-descriptions.csv", f"{TREE},Tree\n/m/0a,Ant\n{PERSON},Person\n")

    def read(rows, **policies):
        write_file(tmp_path / "train-annotations-bbox.csv", HEADER + rows)
        (part,) = recognition.recognise(str(tmp_path), "openimages").parts
        return part.read(Policies(**policies))

    read.folder = tmp_path
    return read


def _row(image="aa", code=PERSON, box="0.1,0.5,0.2,0.8", flags="0,0,0,0,0"):
    return f"{image},xclick,{code},1,{box},{flags}\n"


def test_edges_flags_and_classes(root):
    rows = _row() + _row("bb", TREE, flags="1,1,1,1,1") + _row("bb", flags="-1,-1,-1,-1,-1")
    sources = root(rows + _row("cc", "/m/0a"))
    first, second = sources.images
    assert (first.source_id, first.objects[0].name) == ("aa", "Person")
    assert first.objects[0].box == (0.2, 0.1, 0.8, 0.5)
    tree, unknown = second.objects
    assert (tree.occluded, tree.truncated, tree.crowd) == (True, True, True)
    assert (unknown.occluded, unknown.truncated, unknown.crowd) == (False, False, False)
    # Numbered as described, without the ant, which no image of the folder shows.
    assert sources.category_ids == {"Tree": 1, "Person": 3}
    path = f"{root.folder}/train-annotations-bbox.csv"
    assert sources.notes == (
        f"depictions (drawings, toys, statues) taken as objects: 1 ({path}: line 3)",
        f"rows of images that are not there: 1, passed over ({path})",
    )


def test_without_descriptions_codes_are_names(root):
    (root.folder / "class-descriptions.csv").unlink()
    sources = root(_row())
    assert sources.images[0].objects[0].name == PERSON
    assert sources.category_ids == {}


def test_a_code_without_a_description(root):
    rows = _row() + _row(code="/m/0b")
    with pytest.raises(
        InputError, match=r"bbox\.csv: line 3: LabelName '/m/0b': must be among the"
    ):
        root(rows)
    sources = root(rows, unknown_classes="drop")
    assert len(sources.images[0].objects) == 1
    assert sources.category_ids == {"Person": 3}


def test_equal_descriptions_are_told_apart(root, write_file):
    write_file(root.folder / "class-descriptions.csv", f"{TREE},Tree\n{PERSON},Tree\n")
    names = [item.name for item in root(_row() + _row(code=TREE)).images[0].objects]
    assert names == [f"Tree ({PERSON})", f"Tree ({TREE})"]


def test_a_description_that_contradicts_another(root, write_file):
    write_file(root.folder / "more.csv", f"LabelName,DisplayName\n{TREE},Bush\n")
    with pytest.raises(InputError, match=r"line \d: '/m/07j7r' must have one name, the same every"):
        root(_row())


@pytest.mark.parametrize("box", ["0.1,0.5,0.2,", "a,b,c,d", ",,,"])
def test_a_row_without_a_box(root, box):
    assert root(_row(box=box)).images[0].objects[0].flaw == "not_finite"
    with pytest.raises(InputError, match=r"\(YMin, XMin, YMax, XMax\): must be four numbers"):
        root(_row(box=box), bad_boxes="fail")


def test_a_row_that_is_cut_off(root):
    assert root(f"aa,xclick,{PERSON},1,0.1\n").images[0].objects[0].flaw == "not_finite"


def test_images_without_rows_are_skipped_unless_said_otherwise(root):
    sources = root(_row())
    assert [image.source_id for image in sources.images] == ["aa"]
    assert [(item.reason, item.source_id) for item in sources.rejects] == [
        ("unannotated", "train/data/bb.jpg")
    ]
    assert len(root(_row(), unannotated="negative").images) == 2


def test_no_image_of_the_csv_is_there(root):
    with pytest.raises(
        InputError, match=r"train/data: none of 2 images is in train-annotations-bbox"
    ):
        root(_row("cc"))


def test_two_images_of_one_id(root, write_file):
    write_file(root.folder / "train/data/aa.png", b"x")
    with pytest.raises(InputError, match="two images have the same id; ids must be unique"):
        root(_row())
