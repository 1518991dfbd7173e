"""Lists of images as tools write them: encodings, columns, paths, and names that are not there."""

import pathlib
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.voc import read_devkit, read_folder
from ssd_tfrecord.records.sources.voc_files import image_list

TEMPLATE = (
    "<annotation><filename>{}.jpg</filename><object><name>dog</name><bndbox><xmin>1</xmin>"
    "<ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"
)


@pytest.fixture
def make(tmp_path):
    """Makes xml/<stem>.xml and jpg/<stem>.jpg, the latter empty; stems may have folders."""

    def make_files(*stems, suffix=".xml"):
        for stem in stems:
            for folder, end in (("xml", suffix), ("jpg", ".jpg")):
                path = tmp_path / folder / f"{stem}{end}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(TEMPLATE.format(stem.rpartition("/")[2]))
        return tmp_path

    return make_files


def _read(folder, content, **options):
    content = content if isinstance(content, bytes) else content.encode()
    (folder / "list.txt").write_bytes(content)
    lists = str(folder / "list.txt")
    return read_folder(str(folder / "xml"), str(folder / "jpg"), image_set=lists, **options)


def _ids(sources):
    assert all(len(image.objects) == 1 for image in sources.images)
    return [image.source_id for image in sources.images]


@pytest.mark.parametrize(
    "content",
    [
        "a\nb\n",
        "a\r\nb\r\n",
        "\n  a  \n\n\tb",
        "\ufeffa\nb\n",
        "a\nb\n".encode("utf-16"),
        "\ufeffa\nb\n".encode("utf-16-be"),
        "a.jpg\nb.JPG\n",
        "a.xml\nb.XML\n",
        "./a\n.\\b.jpg\n",
    ],
    ids=lambda content: repr(content)[:40],
)
def test_names_in_any_encoding_with_or_without_a_suffix(make, content):
    sources = _read(make("a", "b"), content)
    assert _ids(sources) == ["a", "b"]
    assert sources.notes == ()


@pytest.mark.parametrize(
    "content",
    [
        "JPEGImages/a.jpg\nJPEGImages/b.jpg\n",
        "/data/VOC2007/JPEGImages/a.jpg\n/data/VOC2007/JPEGImages/b.jpg\n",
        "C:\\data\\a.jpg\n..\\b\n",
        "JPEGImages/a.jpg Annotations/a.xml\nJPEGImages/b.jpg\tAnnotations/b.XML\n",
    ],
)
def test_paths_are_found_by_their_last_parts(make, content):
    folder = make("a", "b")
    sources = _read(folder, content)
    assert _ids(sources) == ["a", "b"]
    (note,) = sources.notes
    assert note.startswith("2 of 2 listed names (")
    assert note.endswith(
        f") are not in {folder}/xml under that path: used the only XML of that name"
    )


@pytest.mark.parametrize("suffix", [".XML", ".Xml"])
@pytest.mark.parametrize("content", ["a\nday/b\n", "a.jpg\nday/b.jpg", "a.xml\nday/b.xml"])
def test_xml_has_its_suffix_in_any_case(make, suffix, content):
    sources = _read(make("a", "day/b", suffix=suffix), content)
    assert _ids(sources) == ["a", "day/b"]
    assert sources.notes == ()


def test_a_name_that_ends_in_a_suffix_is_that_of_its_own_xml(make):
    sources = _read(make("a", "a.jpg"), "a.jpg\n")
    assert _ids(sources) == ["a.jpg"]


def test_stems_with_spaces(make):
    assert _ids(_read(make("photo 7", "b"), "photo 7\nb\n")) == ["photo 7", "b"]


def test_numbers_at_the_end_of_names_are_no_labels(make):
    """As a camera's frames: every line looks as if it had the column of a class."""
    assert _ids(_read(make("cam 0", "cam 1"), "cam 0\ncam 1")) == ["cam 0", "cam 1"]
    # Not even where stripped names exist as well.
    assert _ids(_read(make("cam"), "cam 0\ncam 1")) == ["cam 0", "cam 1"]


@pytest.mark.parametrize("content", ["a  1\nb -1\n", "a.jpg 0\nb.jpg 1\n", "d/a.jpg 0\nd/b.jpg 1"])
def test_labels_are_no_part_of_names(make, content):
    assert _ids(_read(make("a", "b"), content)) == ["a", "b"]


def test_labels_in_some_lines_are_part_of_names(make):
    assert _ids(_read(make("a 1", "b"), "a 1\nb\n")) == ["a 1", "b"]


def test_labels_of_images_without_xml(make):
    folder = make("a", "b")
    shutil.rmtree(folder / "xml")
    (folder / "xml").mkdir()
    sources = _read(folder, "a 1\nb -1\n")
    assert [image.source_id for image in sources.images] == ["a", "b"]


def test_without_labels_asks_about_all_names_before_it_asks_otherwise():
    asked = []

    def exists(known, name):
        asked.append(name)
        return name in known

    lines = ["a 1", "b 1"]
    found = image_list.without_labels(
        lines, lambda name: exists((), name), lambda name: exists(("b",), name)
    )
    assert found == ["a", "b"]
    assert asked == ["a 1", "a", "b 1", "b", "a 1", "a", "b 1", "b"]


@pytest.mark.parametrize(
    ("line", "pair"),
    [
        ("a", ("", "a")),
        ("a.xml", ("", "a.xml")),
        ("JPEGImages/a b.jpg  Annotations/a b.xml", ("JPEGImages/a b.jpg", "Annotations/a b.xml")),
        ("a.PNG\tx/b.XML", ("a.PNG", "x/b.XML")),
        ("a b.xml", ("", "a b.xml")),
        ("a.jpg b.jpg", ("", "a.jpg b.jpg")),
    ],
)
def test_a_pair_is_split_where_the_image_ends(line, pair):
    assert image_list.split_pair(line, "list") == pair


def test_a_pair_that_can_be_split_in_two_ways(make):
    message = r"list\.txt: 'a\.jpg b\.jpg c\.xml': cannot tell where the name of the image ends"
    with pytest.raises(InputError, match=message):
        _read(make("a"), "a.jpg b.jpg c.xml")


def test_the_image_of_a_pair_is_the_one_that_is_listed(make):
    sources = _read(make("a", "b"), "JPEGImages/b.jpg Annotations/a.xml\n")
    (image,) = sources.images
    assert (image.source_id, image.image_path.rpartition("/")[2]) == ("a", "b.jpg")


def test_an_xml_of_one_name_in_two_folders(make):
    folder = make("day 1/a", "day 2/a")
    message = (
        rf"^--image_set: {folder}/list\.txt: 'JPEGImages/a\.xml' may be 'day 1/a\.xml' or "
        rf"'day 2/a\.xml' in {folder}/xml; rename one of them, or give the path in that folder$"
    )
    with pytest.raises(InputError, match=message):
        _read(folder, "JPEGImages/a.jpg")
    # Its own folder decides, wherever that one is.
    assert _ids(_read(folder, "/data/day 2/a.jpg")) == ["day 2/a"]


def test_none_of_the_listed_names_has_an_xml_though_there_are_some(make):
    folder = make("a", "b")
    (folder / "jpg/c.jpg").touch()
    message = (
        rf"^--image_set: {folder}/list\.txt: none of its 2 names \('c' and so on\) has an XML in "
        rf"{folder}/xml, which has 'a\.xml' and others; correct the list, or pass "
        r"--unannotated=negative to convert all without objects$"
    )
    with pytest.raises(InputError, match=message):
        _read(folder, "c\nd\n")
    sources = _read(folder, "c\nd\n", unannotated="negative", bad_images="drop")
    assert [image.source_id for image in sources.images] == ["c"]
    assert sources.notes == ("2 of 2 images have no XML: converted without objects",)
    (reject,) = sources.rejects
    assert (reject.source_id, reject.reason) == ("d", "missing_image")


def test_a_devkit_whose_xml_belongs_to_another_set(tiny_voc, tmp_path):
    devkit = shutil.copytree(tiny_voc, tmp_path / "devkit")
    (devkit / "VOC2007/ImageSets/Main/test.txt").write_text("000007\n")
    message = r"^--sets=2007_test: .*/test\.txt: none of its 1 name \('000007' and so on\) has an"
    with pytest.raises(InputError, match=message):
        read_devkit(str(devkit), ["2007_test"])


def test_images_without_xml_are_found_by_their_listed_paths(make):
    folder = make("a", "b")
    (folder / "xml/b.xml").unlink()
    sources = _read(folder, "JPEGImages/a.jpg\nJPEGImages/b.jpg\n", unannotated="negative")
    assert [image.image_path.rpartition("/")[2] for image in sources.images] == ["a.jpg", "b.jpg"]
    assert sources.images[1].objects == ()


def test_the_listed_path_says_which_of_two_images_has_no_xml(make):
    folder = make("a", "day/b", "night/b")
    for name in ("day", "night"):
        (folder / f"xml/{name}/b.xml").unlink()
    sources = _read(folder, "a\n/data/night/b.jpg\n", unannotated="negative")
    assert [image.source_id for image in sources.images] == ["a", "b"]
    assert sources.images[1].image_path == str(folder / "jpg/night/b.jpg")


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\x89PNG\xff")
    with pytest.raises(InputError, match=r"--x: .*list\.txt cannot be read: 'utf-8' codec"):
        image_list.read_lines("--x", str(tmp_path / "list.txt"))


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """xml/ and jpg/ with images a, b and "c 1", of which b has no XML; and in folder d a and e."""
    root = tmp_path_factory.mktemp("places")
    for stem in ("a", "b", "c 1", "d/a", "d/e"):
        for folder, suffix in (("jpg", ".jpg"), ("xml", ".xml")):
            path = root / folder / f"{stem}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if (stem, folder) != ("b", "xml"):
                path.write_text(TEMPLATE.format(pathlib.PurePath(stem).name))
    return root


STEMS = st.sampled_from(["a", "b", "c 1", "d/a", "d/e", "x/e", "/d/e", "..", "../a", "C:\\e", "c"])
SUFFIXES = st.sampled_from(["", ".jpg", ".xml", ".JPG", " 1", " -1", ".jpg x/e.xml", "\0"])
LINES = st.lists(st.tuples(STEMS, SUFFIXES).map("".join), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(lines=LINES, unannotated=st.sampled_from(["skip", "negative"]))
def test_each_line_is_an_image_or_is_listed_or_refused(places, lines, unannotated):
    try:
        sources = _read(places, "\n".join(lines), unannotated=unannotated, bad_images="drop")
    except InputError as error:
        assert "\n" not in str(error)
        assert any(part in str(error) for part in ("may be", "listed twice", "none of its"))
        return
    assert len(sources.images) + len(sources.rejects) == len(lines)
    inside = f"{places}/"
    assert all(image.image_path.startswith(inside) for image in sources.images)
    for image in sources.images:
        assert bool(image.objects) == pathlib.Path(image.file).is_file()
