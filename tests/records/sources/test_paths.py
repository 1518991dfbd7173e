"""Images by the names that VOC XML and COCO JSON have for them, right or wrong."""

import os
import pathlib

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.paths import BY_STEM, STALE, ImageFolder

NOT_EXACT = "is not the exact path of an image: used the only image that fits"
DECODED = "is percent-encoded: used the image of the decoded name"
PREFIXED = "begins with the prefix of an upload: used the only image of the name without it"


@pytest.fixture
def images(tmp_path):
    """Images in a folder and its sub-folders train and val, which both have 0.jpg."""
    root = tmp_path / "images"
    names = ("a.jpg", "b c.jpg", "d%20e.jpg", "train/0.jpg", "val/0.jpg", "val/f.png")
    for name in (*names, "cam1.jpg", "0a1b2c3d-g.jpg", "g.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (tmp_path / "secret.jpg").touch()
    return root


@pytest.mark.parametrize(
    ("name", "found", "how"),
    [
        ("a.jpg", "a.jpg", ""),
        ("train\\0.jpg", "train/0.jpg", ""),
        # As it is, before it is decoded or shortened.
        ("d%20e.jpg", "d%20e.jpg", ""),
        ("0a1b2c3d-g.jpg", "0a1b2c3d-g.jpg", ""),
        ("b%20c.jpg", "b c.jpg", DECODED),
        ("train%2F0.jpg", "train/0.jpg", DECODED),
        ("f.png", "val/f.png", NOT_EXACT),
        ("a.png", "a.jpg", NOT_EXACT),
        ("a", "a.jpg", NOT_EXACT),
        ("/data/set7/images/a.jpg", "a.jpg", NOT_EXACT),
        ("D:\\set\\val\\0.JPG", "val/0.jpg", NOT_EXACT),
        ("..\\..\\upload\\1\\0a1b2c3d-g.jpg", "0a1b2c3d-g.jpg", NOT_EXACT),
        ("..\\..\\upload\\1\\1a2b3c4d-a.jpg", "a.jpg", PREFIXED),
        ("/data/upload/1/1a2b3c4d-b%20c.jpg", "b c.jpg", PREFIXED),
        ("https://host/x/f.png", "val/f.png", NOT_EXACT),
        # A date is no prefix of an upload, nor is less than eight digits.
        ("20240131-cam1.jpg", None, ""),
        ("1a2b3c-a.jpg", None, ""),
        ("1a2b3c4d-.jpg", None, ""),
        ("../secret.jpg", None, ""),
        ("%2e%2e/secret.jpg", None, ""),
        ("secret.jpg", None, ""),
        ("/etc/hostname", None, ""),
        ("\0", None, ""),
        ("", None, ""),
        ("n" * 100_000 + ".jpg", None, ""),
        ("a/" * 100_000 + "x.jpg", None, ""),
        ("e" + "\u0301\u0316" * 100_000, None, ""),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_an_image_of_a_json(images, name, found, how):
    path, way = ImageFolder(str(images)).locate(name, "x")
    assert path == (found and os.path.join(images, found.replace("\\", "/")))
    assert way == (how and f"file name {how}")


def test_exact_names_list_no_folder(images, monkeypatch):
    monkeypatch.setattr(os, "scandir", None)
    folder = ImageFolder(str(images))
    assert folder.locate("val/f.png", "x") == (str(images / "val/f.png"), "")
    assert folder.locate("b%20c.jpg", "x")[0] == str(images / "b c.jpg")
    assert folder.find("0.jpg", "val/0", "x") == (str(images / "val/0.jpg"), "")


@pytest.mark.parametrize("name", ["0.jpg", "/data/0.jpg", "test/0.png", "1a2b3c4d-0.jpg"])
def test_two_images_of_one_name_are_both_named(images, name):
    message = rf"^i\.json: image 3: '.*0\.\w+' may be 'train/0\.jpg' or 'val/0\.jpg' in {images}; "
    folder = ImageFolder(str(images))
    with pytest.raises(InputError, match=message):
        folder.locate(name, "i.json: image 3")
    with pytest.raises(InputError, match=message):
        folder.find(name, "xml_of_another_name", "i.json: image 3")


@pytest.mark.parametrize(
    ("filename", "stem", "found", "how"),
    [
        ("a.jpg", "a", "a.jpg", ""),
        ("./a.jpg", "a", "a.jpg", ""),
        ("val\\0.jpg", "val/0", "val/0.jpg", ""),
        ("0.jpg", "val/0", "val/0.jpg", ""),
        ("", "a", "a.jpg", ""),
        ("a.jpg", "cam1", "cam1.jpg", STALE),
        ("/data/a.jpg", "cam1", "cam1.jpg", BY_STEM),
        ("..\\..\\a.jpg", "f", "val/f.png", BY_STEM),
        ("train/0.jpg", "0", "train/0.jpg", ""),
        ("/data/a.jpg", "x", "a.jpg", NOT_EXACT),
        ("C:\\data\\train\\0.jpg", "x", "train/0.jpg", NOT_EXACT),
        ("a.png", "x", "a.jpg", NOT_EXACT),
        ("b%20c.jpg", "x", "b c.jpg", DECODED),
        ("1a2b3c4d-a.jpg", "x", "a.jpg", PREFIXED),
        ("", "1a2b3c4d-a", "a.jpg", PREFIXED),
        # It is in another sub-folder than the XML.
        ("f.png", "train/x", None, ""),
        ("../secret.jpg", "x", None, ""),
        ("", "secret", None, ""),
    ],
)
def test_an_image_of_an_xml(images, filename, stem, found, how):
    path, way = ImageFolder(str(images)).find(filename, stem, "x")
    assert path == (found and str(images / found))
    assert way == (how if how in ("", BY_STEM, STALE) else f"<filename> {how}")


def test_links_out_of_the_folder_are_not_there_unless_they_are_followed(images):
    store = images.parent / "blobs"
    store.mkdir()
    (store / "0a1b2c").touch()
    (images / "h.jpg").symlink_to("../blobs/0a1b2c")
    (images / "disk2").symlink_to("../blobs")
    (store / "i.jpg").touch()
    inside = ImageFolder(str(images))
    assert inside.hint() == ""
    for name in ("h.jpg", "disk2/i.jpg", "i.jpg"):
        assert inside.locate(name, "x") == (None, "")
        assert inside.find(name, "h", "x") == (None, "")
    assert "--links=follow" in inside.hint()
    with pytest.raises(InputError, match=r"^x: 'h\.jpg' is a link out of .*; or pass --links=fol"):
        inside.path("h.jpg", "x")
    follow = ImageFolder(str(images), "follow")
    assert follow.locate("h.jpg", "x") == (str(images / "h.jpg"), "")
    assert follow.find("h.jpg", "h", "x") == (str(images / "h.jpg"), "")
    assert follow.locate("i.jpg", "x")[0] == str(images / "disk2/i.jpg")
    assert follow.path("h.jpg", "x") == str(images / "h.jpg")
    assert follow.hint() == ""


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/hostname", "..\\a.jpg", "a/../../b", "\0.jpg"])
def test_a_path_that_must_be_inside(images, name):
    with pytest.raises(InputError, match=rf"^x: '.*' must be a path inside {images}$"):
        ImageFolder(str(images)).path(name, "x")
    assert ImageFolder(str(images)).path("none/a.jpg", "x") == str(images / "none/a.jpg")


def test_a_message_quotes_a_long_name_in_part(tmp_path):
    for folder in ("p", "q"):
        (tmp_path / folder).mkdir()
        pathlib.Path(tmp_path, folder, "n" * 150 + ".jpg").touch()
    with pytest.raises(InputError, match=r"x: 'n+…n+\.jpg' may be 'p/n+…n+\.jpg' or ") as error:
        ImageFolder(str(tmp_path)).locate("n" * 150 + ".jpg", "x")
    assert len(str(error.value)) < 700
