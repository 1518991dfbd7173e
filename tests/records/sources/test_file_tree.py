"""Files in a folder: which links are followed, and what a name that is not exact may mean."""

import os
import shutil
import string
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.file_tree import FileTree, files_below, link_note

SUFFIXES = (".jpg", ".png", ".gif")


def _touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.fixture
def folders(tmp_path):
    """Two folders, images and elsewhere, of two files each."""
    _touch(tmp_path, "images/a/1.jpg", "images/2.JPG", "elsewhere/3.jpg", "elsewhere/b/4.png")
    return tmp_path


def _below(folder, links="inside"):
    refused = set()
    found = files_below(str(folder), SUFFIXES, links, refused)
    return found, {os.path.relpath(path, folder) for path in refused}


def test_files_are_listed_by_suffix_without_what_is_hidden(folders):
    _touch(folders / "images", ".5.jpg", ".git/6.jpg", "7.txt")
    assert _below(folders / "images") == (["2.JPG", "a/1.jpg"], set())


def test_links_that_lead_out_are_named_or_followed(folders):
    images = folders / "images"
    (images / "disk2").symlink_to(folders / "elsewhere")
    (images / "5.jpg").symlink_to("../elsewhere/3.jpg")
    (images / "gone.jpg").symlink_to("../nothing.jpg")
    (images / "6.txt").symlink_to("../elsewhere/3.jpg")
    assert _below(images) == (["2.JPG", "a/1.jpg"], {"disk2", "5.jpg", "gone.jpg"})
    found, refused = _below(images, "follow")
    assert found == ["2.JPG", "5.jpg", "a/1.jpg", "disk2/3.jpg", "disk2/b/4.png", "gone.jpg"]
    assert refused == set()


def test_a_folder_beside_of_a_similar_name_is_outside(folders):
    shutil.copytree(folders / "elsewhere", folders / "images2")
    (folders / "images/x").symlink_to(folders / "images2")
    assert _below(folders / "images") == (["2.JPG", "a/1.jpg"], {"x"})


@pytest.mark.parametrize("links", ["inside", "follow"])
def test_a_folder_is_listed_once_whatever_links_lead_to_it(folders, links):
    images = folders / "images"
    for name, target in (("0", "a"), ("up", "."), ("a/up", ".."), ("z", "a")):
        (images / name).symlink_to(target)
    assert _below(images, links) == (["2.JPG", "a/1.jpg"], set())


def test_two_links_to_one_folder_elsewhere_are_one_folder_by_the_first_name(folders):
    images = folders / "images"
    for name in ("z", "y", "a/x"):
        (images / name).symlink_to(folders / "elsewhere")
    assert _below(images, "follow")[0] == ["2.JPG", "a/1.jpg", "a/x/3.jpg", "a/x/b/4.png"]


def test_links_among_files_that_are_hidden_or_have_no_suffix(folders):
    """As caches have them: snapshots of links beside the content."""
    cache = folders / "cache"
    _touch(cache, "blobs/0a1b", ".store/6/7.jpg")
    (cache / "snapshots").mkdir()
    (cache / "snapshots/1.jpg").symlink_to("../blobs/0a1b")
    (cache / "snapshots/d").symlink_to("../.store/6")
    assert _below(cache) == (["snapshots/1.jpg", "snapshots/d/7.jpg"], set())
    assert _below(cache / "snapshots")[1] == {"1.jpg", "d"}


def test_links_that_go_in_a_circle_are_files_that_cannot_be_read(folders):
    (folders / "images/5.jpg").symlink_to("5.jpg")
    (folders / "images/b").symlink_to("c")
    (folders / "images/c").symlink_to("b")
    assert _below(folders / "images") == (["2.JPG", "5.jpg", "a/1.jpg"], set())
    assert FileTree(str(folders / "images"), SUFFIXES).path_of("5.jpg") is None


def test_a_folder_that_is_not_there_has_no_files(tmp_path):
    assert files_below(str(tmp_path / "none"), SUFFIXES) == []
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file: cannot be read: Not a directory$"):
        files_below(str(tmp_path / "file"), SUFFIXES)


@pytest.mark.parametrize("links", ["inside", "follow"])
def test_exact_names_obey_the_same_rule_and_list_nothing(folders, links, monkeypatch):
    images = folders / "images"
    (images / "disk2").symlink_to(folders / "elsewhere")
    (images / "5.jpg").symlink_to("../elsewhere/3.jpg")
    (images / "6.jpg").symlink_to("a/1.jpg")
    # The folder itself may be a link.
    (folders / "link").symlink_to("images")
    monkeypatch.setattr(os, "scandir", None)
    tree = FileTree(str(folders / "link"), SUFFIXES, links)
    for name in ("a/1.jpg", "a\\1.jpg", "./a/1.jpg", "6.jpg"):
        path = os.path.join(folders, "link", name.replace("\\", "/"))
        assert tree.path_of(name) == path
    for name in ("disk2/3.jpg", "disk2/b/4.png", "5.jpg"):
        assert bool(tree.path_of(name)) == (links == "follow")
    for name in ("1.jpg", "", ".", "a", "..", "../elsewhere/3.jpg", "a/../../x", "a\0", "x" * 9999):
        assert tree.path_of(name) is None
    assert tree.path_of(str(folders / "images/2.JPG")) is None
    wanted = {f"{folders}/link/{name}" for name in ("disk2", "5.jpg")}
    assert tree.refused == (wanted if links == "inside" else set())


def test_the_note_counts_links_and_shows_the_first(folders):
    assert link_note(set()) == ""
    for name in ("b", "a/x"):
        (folders / "images" / name).symlink_to("/nowhere")
    refused = {str(folders / "images" / name) for name in ("b", "a/x")}
    assert link_note(refused) == (
        f"links not followed: 2 ({folders}/images/a/x -> /nowhere), as they lead out of the "
        "folder; pass --links=follow to follow them"
    )


@pytest.fixture
def tree(tmp_path):
    """1 in a and b, 2 in a, 3 outside of sub-folders and in b."""
    _touch(tmp_path, "a/1.jpg", "b/1.jpg", "a/2.jpg", "a/2.png", "3.jpg", "b/3.png", "c.d.jpg")
    return FileTree(str(tmp_path), SUFFIXES)


@pytest.mark.parametrize(
    ("stem", "found"),
    [
        ("a/1", ["a/1.jpg"]),
        ("a/2", ["a/2.jpg"]),
        ("2", ["a/2.jpg"]),
        ("3", ["3.jpg"]),
        ("1", ["a/1.jpg", "b/1.jpg"]),
        ("a/c.d", ["c.d.jpg"]),
        # Another image of the name is in a sub-folder, so it is not clear which one is meant.
        ("a/3", []),
        ("b/2", []),
        ("c", []),
        ("", []),
    ],
)
def test_a_stem_whose_folder_may_be_another(tree, stem, found):
    assert tree.near(stem) == found


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("2.jpg", "a/2.jpg"),
        ("2.png", "a/2.png"),
        ("2.PNG", "a/2.jpg"),
        ("2", "a/2.jpg"),
        ("3.gif", "3.jpg"),
        ("3.png", "3.jpg"),
        ("data/3.png", "b/3.png"),
        ("/data/set/b/1.png", "b/1.jpg"),
        ("C:\\set\\a\\1.jpg", "a/1.jpg"),
        ("../../a/1.jpg", "a/1.jpg"),
        ("https://host/a/1.jpg", "a/1.jpg"),
        ("x/c.d", "c.d.jpg"),
        ("x/c.d.png", "c.d.jpg"),
        ("c", None),
        ("", None),
        ("/", None),
        ("..", None),
        ("a/", None),
        ("4.jpg", None),
    ],
)
def test_the_file_that_a_wrong_path_means(tree, name, found):
    assert tree.search(name, "x") == found


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("1.jpg", "a/1.jpg"),
        ("/data/1.jpg", "a/1.jpg"),
        ("c.d.jpg", "c.d.jpg"),
        ("b/1.jpg", "b/1.jpg"),
        ("/data/b/1.jpg", "b/1.jpg"),
    ],
)
def test_a_file_is_expected_beside_the_annotation(tree, name, found):
    assert tree.search(name, "x", beside="a") == found


def test_a_file_in_another_sub_folder_is_another_file(tree):
    assert tree.search("2.jpg", "x", beside="b") is None
    assert tree.search("/data/2.jpg", "x", beside="b") is None
    assert tree.search("/data/a/2.jpg", "x", beside="b") == "a/2.jpg"


def test_two_files_that_fit_equally_well(tree):
    message = (
        rf"^x\.json: image 7: '/c/1\.jpg' may be 'a/1\.jpg' or 'b/1\.jpg' in {tree.folder}; rename "
        "one of them, or give the path in that folder$"
    )
    with pytest.raises(InputError, match=message):
        tree.search("/c/1.jpg", "x.json: image 7")
    with pytest.raises(InputError, match=r"'/3\.gif' may be '3\.jpg' or 'b/3\.png'"):
        tree.search("/3.gif", "x")


def test_two_links_to_one_file_are_one_file(tmp_path):
    _touch(tmp_path, "store/x.jpg")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").symlink_to("../store/x.jpg")
    assert FileTree(str(tmp_path), SUFFIXES).search("1.jpg", "x") in ("a/1.jpg", "b/1.jpg")


@pytest.mark.parametrize(("on_disk", "asked"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_decomposed_letters_are_the_composed_ones(tmp_path, on_disk, asked):
    def in_form(form, name):
        return unicodedata.normalize(form, name)

    name = in_form(on_disk, "ü/größe.jpg")
    _touch(tmp_path, name)
    tree = FileTree(str(tmp_path), SUFFIXES)
    assert tree.near(in_form(asked, "größe")) == tree.near(in_form(asked, "ü/größe")) == [name]
    assert tree.search(in_form(asked, "/x/größe.jpg"), "x") == name


PARTS = st.sampled_from(
    ["a", "b", "1.jpg", "1.png", "2.jpg", "..", ".", "", "C:", "~", "\0", "%2e"]
)
PATHS = st.lists(PARTS, max_size=5).flatmap(
    lambda parts: st.sampled_from(["/", "\\"]).map(lambda slash: slash.join(parts))
)
NAMES = PATHS | st.text(string.printable + "\ud800ä\u0301", max_size=12)


@pytest.fixture(scope="module")
def inner(tmp_path_factory):
    """A folder "in" with files beside it that no name may reach, and a link to one of these."""
    root = tmp_path_factory.mktemp("tree")
    _touch(root, "in/a/1.jpg", "in/b/1.png", "in/b/2.jpg", "1.jpg", "2.jpg", "a/2.jpg")
    (root / "in/b/3.jpg").symlink_to("../../1.jpg")
    return root / "in"


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(name=NAMES, beside=st.sampled_from(["", "a", "b", "c"]))
def test_no_name_leads_out_and_every_answer_is_a_file_of_that_name(inner, name, beside):
    tree = FileTree(str(inner), SUFFIXES)
    path = tree.path_of(name)
    assert path is None or os.path.realpath(path).startswith(f"{inner}/")
    try:
        found = tree.search(name, "x", beside)
    except InputError as error:
        assert " may be " in str(error)
        return
    assert found in (None, "a/1.jpg", "b/1.png", "b/2.jpg")
    assert not found or os.path.basename(found)[0] in name
