"""python -m ssd_tfrecord.detect on a tiny run: files, folders, globs, and what is refused."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from ssd_tfrecord import programs
from ssd_tfrecord.detection.image_files import open_image


def _run(run_dir, images, output_dir, *arguments):
    images = ",".join(str(item) for item in images)
    words = [f"--run_dir={run_dir}", f"--images={images}", f"--output_dir={output_dir}"]
    return programs.run("detect", ["detect", *words, *arguments])


@pytest.fixture(scope="module")
def photos(tiny_voc, tmp_path_factory):
    """A folder with two JPEGs, a PNG of the same stem as one, a palette GIF and a text file."""
    folder = tmp_path_factory.mktemp("photos")
    for stem in ("000001", "000002"):
        shutil.copy(tiny_voc / "VOC2007" / "JPEGImages" / f"{stem}.jpg", folder)
    with Image.open(folder / "000001.jpg") as image:
        image.save(folder / "000001.png")
        image.convert("P").save(folder / "palette.gif")
    (folder / "notes.txt").write_text("no image")
    return folder


def test_pictures_json_and_summary(tiny_run, tiny_voc, photos, tmp_path, capsys):
    annotations = tiny_voc / "VOC2007" / "Annotations"
    code = _run(
        tiny_run,
        [photos],
        tmp_path,
        "--score_threshold=0.2",
        "--max_detections=5",
        "--batch_size=3",
        f"--annotations_dir={annotations}",
    )
    assert code == 0
    names = ["000001-2.jpg", "000001.jpg", "000002.jpg", "palette.jpg"]
    assert sorted(path.name for path in tmp_path.glob("*.jpg")) == names
    sizes = {name: open_image(tmp_path / name).size for name in names}
    # Beside their ground truth, or alone.
    assert sizes["000002.jpg"][0] > 800 and sizes["palette.jpg"] == (400, 300)
    entries = json.loads((tmp_path / "detections.json").read_text())
    assert [entry["image"].rsplit("/", 1)[1] for entry in entries] == [
        "000001.jpg",
        "000001.png",
        "000002.jpg",
        "palette.gif",
    ]
    two = entries[2]
    assert set(two) == {"image", "width", "height", "detections"}
    assert (two["width"], two["height"]) == (80, 60) and 0 < len(two["detections"]) <= 5
    for row in two["detections"]:
        xmin, ymin, xmax, ymax = row["box"]
        assert 0 <= xmin <= xmax <= 80 and 0 <= ymin <= ymax <= 60
        assert row["label"] in ("cat", "dog", "person") and row["score"] > 0.2
    # The PNG holds the very pixels of the JPEG.
    assert entries[0]["detections"] == entries[1]["detections"]
    out = capsys.readouterr().out
    assert "4 images, " in out and " ms per image" in out


def test_no_detection_at_all(quick_run, photos, tmp_path, capsys):
    assert _run(quick_run, [photos / "000001.jpg"], tmp_path, "--score_threshold=1") == 0
    entries = json.loads((tmp_path / "detections.json").read_text())
    assert [entry["detections"] for entry in entries] == [[]]
    assert "1 image, 0 detections" in capsys.readouterr().out


def test_a_damaged_image_is_left_out_and_named(quick_run, photos, tmp_path, capsys):
    images = [tmp_path / "in" / f"{name}.jpg" for name in "abc"]
    images[0].parent.mkdir()
    for path in images:
        shutil.copy(photos / "000001.jpg", path)
    images[1].write_bytes(images[1].read_bytes()[:300])
    assert _run(quick_run, images, tmp_path / "out", "--batch_size=2") == 0
    a, b, c = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert (a["image"], c["image"]) == (str(images[0]), str(images[2]))
    assert a["detections"] == c["detections"]
    assert set(b) == {"image", "error"} and b["image"] == str(images[1])
    assert b["error"].startswith(f"{images[1]}: cannot be decoded")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.jpg")) == ["a.jpg", "c.jpg"]
    out = capsys.readouterr().out
    assert f"skipped: {images[1]}: cannot be decoded" in out
    assert "2 images, 0 detections; 1 image skipped" in out


# Orientation 6, and a resolution that is text instead of a fraction: Pillow raises TypeError.
TURNED = (
    b"Exif\0\0MM\0*\0\0\0\x08\0\x02\x01\x12\0\3\0\0\0\1\0\6\0\0\x01\x1a\0\7\0\0\0\1\0\0\0\0\0\0\0\0"
)


def test_a_folder_of_all_manner_of_files(quick_run, photos, tmp_path, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    with Image.open(photos / "000002.jpg") as image:
        assert image.size == (80, 60)
        for name in ("a.jfif", "b.jpe"):
            image.save(folder / name, "JPEG")
        image.convert("L").save(folder / "c.pgm")
        image.save(folder / "d.jpg", exif=TURNED)
        image.save(folder / "e.jpg", progressive=True)
    # Claims 65535x65535 pixels; ends with 200 scans; is no image at all.
    claiming = bytearray((folder / "a.jfif").read_bytes())
    size = claiming.index(b"\xff\xc0") + 5
    claiming[size : size + 4] = b"\xff" * 4
    (folder / "x.jpg").write_bytes(claiming)
    content = (folder / "e.jpg").read_bytes()
    scan = content[content.rindex(b"\xff\xda") : -2]
    (folder / "y.jpg").write_bytes(content[:-2] + 200 * scan + b"\xff\xd9")
    (folder / "z.tif").write_bytes(b"II*\0\xff\xff\xff\xff")
    (folder / "._a.jpg").write_bytes(b"a Mac's resource fork")
    assert _run(quick_run, [folder], out, "--batch_size=3") == 0
    entries = json.loads((out / "detections.json").read_text())
    sizes = {e["image"][-6:]: (e["width"], e["height"]) for e in entries if "error" not in e}
    wide = (80, 60)
    assert sizes == {
        "a.jfif": wide,
        "/b.jpe": wide,
        "/c.pgm": wide,
        "/d.jpg": (60, 80),
        "/e.jpg": wide,
    }
    errors = [entry["error"].removeprefix(f"{folder}/") for entry in entries if "error" in entry]
    assert errors[0] == "x.jpg: 65535x65535 is too many pixels: must be at most 100000000"
    assert errors[1].endswith(" scans: must be at most 100")
    assert errors[2].startswith("z.tif: cannot be decoded (")
    assert len(errors) == 3
    assert "5 images, 0 detections; 3 images skipped" in capsys.readouterr().out


def test_a_picture_is_no_longer_than_a_jpeg_can_be(quick_run, tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("L", (70_000, 100)).save(tmp_path / "in" / "long.png")
    assert _run(quick_run, [tmp_path / "in"], tmp_path / "out") == 0
    (entry,) = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert (entry["width"], entry["height"]) == (70_000, 100)
    assert open_image(tmp_path / "out" / "long.jpg").size == (65_500, 94)


def test_16_bits_are_shown_as_the_records_were_made(quick_run, tmp_path):
    (tmp_path / "in").mkdir()
    levels = np.linspace(29_200, 30_200, 400 * 300).reshape(300, 400)
    Image.fromarray(levels.astype(np.uint16)).save(tmp_path / "in" / "a.png")
    ranges = []
    for words in ([], ["--stretch=percentile"]):
        assert _run(quick_run, [tmp_path / "in"], tmp_path / "out", *words) == 0
        ranges.append(np.ptp(np.asarray(open_image(tmp_path / "out" / "a.jpg"))))
    assert ranges[0] < 9 and ranges[1] > 250


def test_a_damaged_xml_costs_only_its_ground_truth(quick_run, photos, tmp_path, capsys):
    (tmp_path / "xml").mkdir()
    (tmp_path / "xml" / "000001.xml").write_text("<annotation>")
    words = [f"--annotations_dir={tmp_path / 'xml'}"]
    assert _run(quick_run, [photos / "000001.jpg"], tmp_path / "out", *words) == 0
    assert (tmp_path / "out" / "000001.jpg").exists()
    assert "drawn without ground truth: " in capsys.readouterr().out


def test_errors_are_one_line(quick_run, photos, tmp_path, capsys):
    assert _run(quick_run, [f"{photos}/*.png", f"{photos}/*.xyz"], tmp_path) == 2
    assert f"error: --images={photos}/*.xyz: no image found; must be" in capsys.readouterr().err
    assert _run(quick_run, [photos], tmp_path, "--annotations_dir=nowhere") == 2
    assert "--annotations_dir=nowhere: must be a folder" in capsys.readouterr().err
    assert _run(quick_run, [photos], photos) == 2
    error = capsys.readouterr().err
    assert f"--output_dir={photos}: contains the input image {photos}/000001.jpg, " in error
    assert error.endswith("could be overwritten; must be another folder\n")
    assert _run(quick_run, [photos / "notes.txt"], tmp_path) == 2
    error = capsys.readouterr().err
    assert "notes.txt: cannot be decoded" in error and error.count("\n") == 1
