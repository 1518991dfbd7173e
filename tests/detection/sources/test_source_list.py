"""What --images names: files, folders, globs, lists, standard input, and what is refused."""

import io
import pathlib

import pytest

from ssd_tfrecord.detection.sources.source_list import VIDEO_SUFFIXES, find_sources
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.image_suffixes import IMAGE_SUFFIXES
from ssd_tfrecord.records.sources.paths import ImageFolder


def _touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def _found(*patterns, **settings):
    return [source.path for source in find_sources(patterns, **settings)]


def test_files_folders_and_globs_each_image_once(tmp_path):
    b, a = _touch(tmp_path / "in" / "b.JPG"), _touch(tmp_path / "in" / "a.png")
    _touch(tmp_path / "in" / "c.md")
    deep = _touch(tmp_path / "in" / "deep" / "d[1].jpg")
    assert _found(str(b), str(tmp_path / "in"), f"{tmp_path}/in/*") == [b, a]
    assert _found(f"{tmp_path}/**/*.*") == [a, b, deep]
    assert _found(str(deep)) == [deep]
    assert _found(str(tmp_path), recursive=True) == [a, b, deep]


def test_detection_finds_the_images_that_a_converter_finds(tmp_path):
    for suffix in (*IMAGE_SUFFIXES, ".JPG", ".eps", ".txt", ""):
        _touch(tmp_path / f"a{suffix}")
    _touch(tmp_path / "._a.jpg")
    assert [path.name for path in _found(str(tmp_path))] == ImageFolder(str(tmp_path)).names()
    assert len(_found(str(tmp_path))) == 13


def test_videos_and_cameras_are_told_by_their_names(tmp_path):
    for suffix in VIDEO_SUFFIXES:
        _touch(tmp_path / f"a{suffix}")
    assert {source.kind for source in find_sources([str(tmp_path)])} == {"video"}
    (camera,) = find_sources(["camera:02"])
    assert (camera.kind, camera.name, camera.stem) == ("camera", "camera:2", "camera-2")


@pytest.mark.parametrize("pattern", ["nothing", "*.jpg", "empty", "camera:x"])
def test_no_match_is_an_error(tmp_path, pattern):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"--images=.*: no image found; must be a file, a folder"):
        find_sources([str(tmp_path / pattern)])


def test_names_with_commas_are_found_as_they_are(tmp_path):
    comma, plain = _touch(tmp_path / "a,b,c.jpg"), _touch(tmp_path / "d.jpg")
    text = f"{plain},{comma},{tmp_path}/*.jpg"
    assert _found(*text.split(",")) == [plain, comma]
    # Where both readings are there, the comma separates.
    first, second = _touch(tmp_path / "x"), _touch(tmp_path / "x,y")
    assert _found(str(first), str(plain)) == [first, plain]
    assert _found(str(second)) == [second]


def test_lists_hold_files_of_the_working_folder_or_of_their_own(tmp_path, monkeypatch):
    near, far = _touch(tmp_path / "lists" / "near.jpg"), _touch(tmp_path / "far.jpg")
    text = "\ufefffar.jpg\r\nnear.jpg\n\n  nowhere, it.jpg \nfar.jpg\n"
    (tmp_path / "lists" / "all.txt").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found = [str(path) for path in _found("lists/all.txt")]
    # What is not there is said when it is read, and stops no other.
    assert found == [far.name, f"lists/{near.name}", "nowhere, it.jpg"]
    (tmp_path / "lists" / "none.txt").write_text("\n\n")
    with pytest.raises(InputError, match=r"none.txt: no image found"):
        find_sources(["lists/none.txt"])


LONG = "a" * 300


@pytest.mark.parametrize("pattern", [LONG, f"{LONG}*", f"{LONG}/*.jpg", f"in/{LONG}.jpg"])
def test_a_name_that_is_too_long_matches_nothing(tmp_path, pattern):
    with pytest.raises(InputError, match=r"--images=.*: no image found; must be a file, a folder"):
        find_sources([str(tmp_path / pattern)])


def test_a_line_that_can_be_no_name_stops_no_other(tmp_path, monkeypatch):
    image = _touch(tmp_path / "a.jpg")
    (tmp_path / "closed").mkdir()
    iterdir = pathlib.Path.iterdir

    def closed(path):
        if path.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(pathlib.Path, "iterdir", closed)
    lines = [LONG, f"{LONG}*", str(tmp_path / "closed"), str(image)]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    expected = [*map(pathlib.Path, lines)]
    assert _found(str(tmp_path / "list.txt")) == expected
    assert _found("-", stdin=io.StringIO("\n".join(lines))) == expected
    with pytest.raises(InputError, match=r"^--images=.*/closed: cannot be read \(Permission deni"):
        find_sources([str(tmp_path / "closed")])


def test_paths_come_from_standard_input(tmp_path):
    image = _touch(tmp_path / "a,b.jpg")
    stdin = io.StringIO(f"{image}\n{tmp_path}/nowhere\0.jpg\n")
    assert _found("-", stdin=stdin) == [image, tmp_path / "nowhere?.jpg"]
    with pytest.raises(InputError, match=r"--images=-: no image found"):
        find_sources(["-"], stdin=io.StringIO(""))


@pytest.mark.parametrize("address", ["https://example.org/a.jpg", "file:///etc/a.jpg", "RTSP://a"])
def test_addresses_are_refused(address):
    with pytest.raises(InputError, match=r"addresses are not opened; download the file first"):
        find_sources([address])
