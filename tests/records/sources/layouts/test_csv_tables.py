"""CSV: titles, delimiters and orders of columns, rows that do not fit, RetinaNet's class lists."""

import math

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.layouts import csv_files, recognition
from ssd_tfrecord.records.sources.layouts.layout import Policies

HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
ROWS = "a.jpg,40,30,cat,1,2,10,20\nb.jpg,40,30,dog,0,0,40,30\na.jpg,40,30,dog,5.5,6,7,8\n"


@pytest.fixture
def root(tmp_path, write_file):
    """A folder of a.jpg and b.jpg, and a function that reads it with a CSV of this text."""
    for stem in "ab":
        write_file(tmp_path / f"images/{stem}.jpg", stem.encode())

    def read(text, name="labels.csv", **policies):
        write_file(tmp_path / name, text)
        (part,) = recognition.recognise(str(tmp_path), "csv").parts
        return part.read(Policies(**policies))

    read.folder = tmp_path
    return read


def _objects(sources):
    return {
        image.source_id: [(item.name, item.box) for item in image.objects]
        for image in sources.images
    }


WANTED = {
    "images/a.jpg": [("cat", (2.0, 1.0, 20.0, 10.0)), ("dog", (6.0, 5.5, 8.0, 7.0))],
    "images/b.jpg": [("dog", (0.0, 0.0, 30.0, 40.0))],
}


def test_rows_are_gathered_by_their_images(root):
    sources = root(HEADER + ROWS)
    assert _objects(sources) == WANTED
    assert [image.size for image in sources.images] == [(40.0, 30.0)] * 2
    assert sources.images[0].file == f"{root.folder}/labels.csv: line 2"
    assert (sources.category_ids, sources.pixel_origin) == ({}, 0)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize("begin", ["", "\ufeff", "\n \n"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_dialects(root, delimiter, begin, end):
    text = (HEADER + ROWS).replace(",", delimiter).replace("\n", end)
    assert _objects(root(begin + text)) == WANTED


@pytest.mark.parametrize(
    "header",
    [
        "image_path,img_width,img_height,label,x_min,y_min,x_max,y_max",
        " Image , Width,Height, Class_Name ,XMin,YMin,XMax,YMax",
        "file_name,w,h,category,x1,y1,x2,y2",
        "image,-,-,class,left,top,right,bottom",
    ],
)
def test_titles(root, header):
    assert _objects(root(f"{header}\n{ROWS}")) == WANTED


def test_columns_in_any_order_quotes_and_further_columns(root):
    rows = 'ymax,xmax,ymin,xmin,note,class,filename\n20,10,2,1,"x, y","traffic ""light""",a.jpg\n'
    assert _objects(root(rows)) == {"images/a.jpg": [('traffic "light"', (2.0, 1.0, 20.0, 10.0))]}


def test_images_are_found_by_their_names_alone(root):
    text = ROWS.replace("a.jpg", "/home/me/data/a.jpg").replace("b.jpg", "C:\\data\\b.jpg")
    sources = root(HEADER + text)
    assert _objects(sources) == WANTED
    assert len(sources.notes) == 1 and "for 2 images" in sources.notes[0]


@pytest.mark.parametrize("cells", ["1,2,10", "1,2,10,", "1,2,10,x", "1,2,10,1_0", "a,b,c,d"])
def test_a_row_without_a_box(root, cells):
    text = f"{HEADER}a.jpg,40,30,cat,1,2,10,20\na.jpg,40,30,dog,{cells}\n"
    good, bad = root(text).images[0].objects
    assert (good.flaw, bad.flaw, bad.name, bad.index) == ("", "not_finite", "dog", 2)
    assert all(map(math.isnan, bad.box))
    match = r"labels\.csv: line 3: box '.*' \(ymin, xmin, ymax, xmax\): must be four numbers"
    with pytest.raises(InputError, match=match):
        root(text, bad_boxes="fail")


def test_a_row_without_a_class(root):
    text = f"{HEADER}a.jpg,40,30, ,1,2,10,20\na.jpg,40,30,dog,1,2,10,20\n"
    with pytest.raises(InputError, match=r"line 2: class '': must be given; correct it, or pass"):
        root(text)
    sources = root(text, unknown_classes="drop")
    assert [item.name for item in sources.images[0].objects] == ["dog"]
    assert [item.reason for item in sources.rejects] == ["unknown_class"]


def test_a_row_without_anything_is_an_image_without_objects(root):
    assert _objects(root(f"{HEADER}a.jpg,40,30,,,,,\n")) == {"images/a.jpg": []}


@pytest.mark.parametrize("name", ["c.jpg", "", "../../etc/passwd"])
def test_a_row_without_its_image(root, name):
    text = f"{HEADER}a.jpg,40,30,cat,1,2,10,20\n{name},40,30,dog,1,2,10,20\n"
    with pytest.raises(InputError, match=r"line 3: .*; correct it, or pass --bad_images=drop"):
        root(text)
    sources = root(text, bad_images="drop")
    (reject,) = sources.rejects
    assert (reject.reason, reject.num_objects) == ("missing_image", 1)
    assert sources.lost == {"dog": 1}


def test_one_image_by_two_names_is_an_error(root):
    text = f"{HEADER}a.jpg,40,30,cat,1,2,10,20\nimages/a.jpg,40,30,cat,1,2,10,20\n"
    with pytest.raises(InputError, match=r"a\.jpg: is annotated in two places; an image may be"):
        root(text)


@pytest.mark.parametrize("size", ["0,0", ",", "x,y", "nan,30", "-40,30"])
def test_sizes_that_are_none(root, size):
    sources = root(f"{HEADER}a.jpg,{size},cat,1,2,10,20\n")
    assert sources.images[0].size is None


def test_retinanet_and_its_classes(root, write_file):
    rows = "images/a.jpg,1,2,10,20,cat\nimages/b.jpg,,,,,\n"
    assert _objects(root(rows)) == {
        "images/a.jpg": [("cat", (2.0, 1.0, 20.0, 10.0))],
        "images/b.jpg": [],
    }
    write_file(root.folder / "classes.csv", "dog,0\ncat,1\n")
    assert root(rows).category_ids == {"dog": 0, "cat": 1}
    write_file(root.folder / "classes.csv", "dog,0\nhorse,1\n")
    with pytest.raises(
        InputError, match=r"labels\.csv: line 1: class 'cat': must be in the list of"
    ):
        root(rows)
    assert len(root(rows, unknown_classes="drop").images[0].objects) == 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("dog,0\ndog,1\n", "line 2: must be a class name and its id, each once"),
        ("dog,0\ncat\n", "line 2: must be a class name and its id, each once"),
        ("dog,0\ncat,0\n", "two classes have the same id; ids must be unique"),
    ],
)
def test_faulty_class_lists(root, write_file, text, problem):
    write_file(root.folder / "classes.csv", text)
    with pytest.raises(InputError, match=rf"classes\.csv: {problem}"):
        root("images/a.jpg,1,2,10,20,dog\n")


def test_several_tables_of_one_split_are_one_set(root, write_file):
    write_file(root.folder / "more.csv", f"{HEADER}b.jpg,40,30,dog,0,0,40,30\n")
    sources = root(f"{HEADER}a.jpg,40,30,cat,1,2,10,20\n")
    assert list(_objects(sources)) == ["images/a.jpg", "images/b.jpg"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HEADER.encode() + b"\xff\xfe\n", "cannot be read as CSV: "),
        (HEADER + "a.jpg," + "x" * 70_000, "a line must have fewer than 65536 characters"),
        (HEADER + 'a.jpg,"' + "x\n" * 70_000, "cannot be read as CSV: field larger than"),
    ],
)
def test_files_that_are_no_table(root, text, problem):
    with pytest.raises(InputError, match=rf"labels\.csv: {problem}"):
        root(text)


def test_what_is_no_table_of_boxes_is_none(tmp_path, write_file):
    for name, text in {
        "a.csv": "",
        "b.csv": "filename,class\nx.jpg,cat\n",
        "c.csv": "x.jpg,1,2,3,cat,5\n",
        "d.csv": b"\xff\xff",
        "e.csv": "\n" * 300,
        "f.csv": "x" * 100_000,
    }.items():
        write_file(tmp_path / name, text)
    with pytest.raises(InputError, match="nothing found in 6 files"):
        recognition.recognise(str(tmp_path))


def test_the_first_title_of_several_counts():
    titles = {"image": ("filename", "image"), "class": ("class",)}
    assert csv_files.columns(["image", "Class", "file_name"], titles) == {"image": 2, "class": 1}
