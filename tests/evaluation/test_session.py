"""``evaluate`` on detections of another tool: what is written where, and what is left alone."""

import pytest
from PIL import Image

from ssd_tfrecord import programs
from ssd_tfrecord.evaluation import session

_XML = (
    "<annotation><filename>{name}.jpg</filename><size><width>100</width><height>80</height>"
    "<depth>3</depth></size><object><name>cat</name><bndbox><xmin>10</xmin><ymin>10</ymin>"
    "<xmax>50</xmax><ymax>50</ymax></bndbox></object></annotation>"
)
_NAMES = ("im1", "im2")


@pytest.fixture
def folder(tmp_path):
    """Annotations/, pictures/ with the images, and cart/ with another tool's detections."""
    for name in ("Annotations", "pictures", "cart/detection-results"):
        (tmp_path / name).mkdir(parents=True)
    for name in _NAMES:
        (tmp_path / "Annotations" / f"{name}.xml").write_text(_XML.format(name=name))
        Image.new("RGB", (100, 80)).save(tmp_path / "pictures" / f"{name}.jpg")
        found = tmp_path / "cart" / "detection-results" / f"{name}.txt"
        found.write_text("cat 0.9 10 10 50 50\n")
    return tmp_path


@pytest.fixture
def evaluate(folder):
    """Evaluates cart/; a keyword is a flag, and its value a path below ``folder``."""

    def evaluate(*words, **paths):
        paths = {"detections": "cart", "annotations_dir": "Annotations", **paths}
        flags = [f"--{name}={folder / path}" for name, path in paths.items()]
        return programs.run("evaluate", ["evaluate", *flags, "--bootstrap=0", *words])

    return evaluate


def _contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_images_are_not_where_the_pictures_go(folder, evaluate, capsys):
    before = _contents(folder)
    (folder / "link").symlink_to("pictures")
    for images in ("pictures", "Annotations/../link"):
        assert evaluate(images_dir=images, output_dir=".") == 2
        assert capsys.readouterr().err.splitlines()[-1] == (
            f"error: --images_dir={folder / images}: is {folder}/pictures, which the drawn "
            "pictures are written to; must be another folder, or else --output_dir"
        )
    (folder / "link").unlink()
    assert _contents(folder) == before


@pytest.mark.parametrize(
    ("flag", "path"),
    [
        ("detections", "cart/detections"),
        ("detections", "cart/detections/detection-results"),
        ("detections", "link"),
        # All text files below it are read.
        ("detections", "cart"),
        ("compare", "cart/detections"),
        ("annotations_dir", "cart/detections"),
    ],
)
def test_what_is_read_is_not_where_detections_are_written(folder, evaluate, flag, path, capsys):
    (folder / "cart" / "detections").mkdir()
    results = (folder / "cart" / "detection-results").rename(
        folder / "cart" / "detections" / "detection-results"
    )
    (results / "other_image.txt").write_text("cat 0.9 10 10 50 50\n")
    # A folder of its own whose files are there.
    (folder / "link").mkdir()
    (folder / "link" / "detection-results").symlink_to(results)
    before = _contents(folder)
    words = {"detections": "link/detection-results", flag: path, "output_dir": "cart"}
    if flag != "detections":
        words["detections"] = "Annotations"
    for kind in ("cartucho", "voc"):
        assert evaluate(f"--save_detections={kind}", **words) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        verb, place = "contains" if path == "cart" else "lies in", folder / "cart" / "detections"
        assert error.startswith(f"error: --{flag}={folder / path}: {verb} {place}")
        assert error.endswith(
            f"which --save_detections={kind} writes to; must lie elsewhere, or else --output_dir"
        )
    assert _contents(folder) == before


def test_detections_that_are_not_written_may_lie_in_the_output_folder(folder, evaluate):
    (folder / "cart").rename(folder / "detections")
    assert evaluate(detections="detections", output_dir=".") == 0


def test_no_link_in_the_output_folder_is_followed(folder, evaluate):
    paths = {"images_dir": "pictures", "output_dir": "out"}
    saved = "--save_detections=cartucho"
    assert evaluate(saved, **paths) == 0
    written = sorted(_contents(folder / "out"))
    assert {path.name for path in written} >= {"metrics.json", "report.html", "im1.jpg"}
    for number, path in enumerate(written):
        mine = folder / "mine" / str(number)
        mine.parent.mkdir(exist_ok=True)
        mine.write_bytes(b"mine")
        path.unlink()
        path.symlink_to(mine)
    assert evaluate(saved, **paths) == 0
    assert {*_contents(folder / "mine").values()} == {b"mine"}
    # A picture takes another name, everything else its own.
    links = {path.name for path in (folder / "out").rglob("*") if path.is_symlink()}
    assert links == {"contact_sheet.jpg", "im1.jpg", "im2.jpg"}
    assert (folder / "out" / "pictures" / "im1-2.jpg").is_file()


def test_all_files_are_written_before_a_line_is_printed(folder, evaluate, monkeypatch):
    def fail(*_, **__):
        raise OSError("no terminal")

    monkeypatch.setattr(session, "print", fail, raising=False)
    with pytest.raises(OSError, match="no terminal"):
        evaluate("--save_detections=coco", images_dir="pictures", output_dir="out")
    names = {str(path.relative_to(folder / "out")) for path in _contents(folder / "out")}
    assert names >= {"metrics.json", "report.html", "detections/results.json", "pictures/im1.jpg"}


def test_numbers_are_printed_even_if_they_cannot_be_written(folder, evaluate, monkeypatch, capsys):
    def fail(*_):
        raise OSError("full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="full"):
        evaluate(output_dir="out")
    assert "coco_ap " in capsys.readouterr().out
