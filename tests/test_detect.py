"""python -m ssd_tfrecord.detect on a tiny run: files, folders, globs, and what is refused."""

import errno
import io
import json
import os
import shutil
import signal
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from ssd_tfrecord import flags, programs
from ssd_tfrecord.config import DetectConfig
from ssd_tfrecord.detection.detector import Detector
from ssd_tfrecord.detection.image_files import open_image
from ssd_tfrecord.detection.outputs import drawn_files
from ssd_tfrecord.detection.outputs.delivery import Delivery
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.geometry import suppression
from ssd_tfrecord.records.processes import lock


def _entries(folder):
    return json.loads((folder / "detections.json").read_text())["images"]


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
    entries = _entries(tmp_path)
    assert [entry["image"].rsplit("/", 1)[1] for entry in entries] == [
        "000001.jpg",
        "000001.png",
        "000002.jpg",
        "palette.gif",
    ]
    two = entries[2]
    assert set(two) == {"image", "picture", "width", "height", "detections"}
    assert (two["width"], two["height"]) == (80, 60) and 0 < len(two["detections"]) <= 5
    for row in two["detections"]:
        xmin, ymin, xmax, ymax = row["box"]
        assert 0 <= xmin <= xmax <= 80 and 0 <= ymin <= ymax <= 60
        assert row["label"] in ("cat", "dog", "person") and row["score"] > 0.2
        assert ("cat", "dog", "person")[row["class_id"] - 1] == row["label"]
    assert [entry["picture"] for entry in entries] == [
        "000001.jpg",
        "000001-2.jpg",
        "000002.jpg",
        "palette.jpg",
    ]
    out = capsys.readouterr().out
    assert "4 images, " in out and " ms per image" in out


def test_one_picture_goes_through_the_network_once_and_alone(
    quick_run, photos, tmp_path, monkeypatch
):
    batches, traced = [], []
    detect, network = Detector.detect_prepared, suppression.detect
    monkeypatch.setattr(
        Detector,
        "detect_prepared",
        lambda self, batch: (batches.append(len(batch)), detect(self, batch))[1],
    )
    monkeypatch.setattr(suppression, "detect", lambda *a: (traced.append(1), network(*a))[1])
    assert _run(quick_run, [photos / "000001.jpg"], tmp_path, "--batch_size=8") == 0
    assert (batches, traced) == ([1], [1])


def test_no_detection_at_all(quick_run, photos, tmp_path, capsys):
    assert _run(quick_run, [photos / "000001.jpg"], tmp_path, "--score_threshold=1") == 0
    entries = _entries(tmp_path)
    assert [entry["detections"] for entry in entries] == [[]]
    out = capsys.readouterr().out
    assert "1 image, 0 detections" in out
    assert "\nnone scored more than 1; --score_threshold=0.05 draws weaker ones, too\nwrote " in out


def test_a_damaged_image_is_left_out_and_named(quick_run, photos, tmp_path, capsys):
    images = [tmp_path / "in" / f"{name}.jpg" for name in "abc"]
    images[0].parent.mkdir()
    for path in images:
        shutil.copy(photos / "000001.jpg", path)
    images[1].write_bytes(images[1].read_bytes()[:300])
    assert _run(quick_run, images, tmp_path / "out", "--batch_size=2") == 0
    a, b, c = _entries(tmp_path / "out")
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
    entries = _entries(out)
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
    (entry,) = _entries(tmp_path / "out")
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
    long = "a" * 300
    assert _run(quick_run, [photos], tmp_path, f"--annotations_dir={long}") == 2
    assert f"--annotations_dir={long}: must be a folder" in capsys.readouterr().err
    assert _run(long, [photos], tmp_path) == 2
    assert f"--run_dir={long}: contains no flags.txt; must be a run" in capsys.readouterr().err
    assert _run(long, [photos], tmp_path, "--score_threshold=best") == 2
    assert f"best: {long} has no thresholds.json; run `ssd-tfrecord" in capsys.readouterr().err
    assert _run(quick_run, [photos], photos) == 2
    error = capsys.readouterr().err
    assert f"--output_dir={photos}: contains the input image {photos}/000001.jpg, " in error
    assert error.endswith("could be overwritten; must be another folder\n")
    shutil.copy(photos / "notes.txt", tmp_path / "notes.md")
    assert _run(quick_run, [tmp_path / "notes.md"], tmp_path / "out") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: no image could be read: ")
    assert "notes.md: cannot be decoded" in error


def _copies(photos, folder, count):
    folder.mkdir()
    paths = [folder / f"{number:02}.jpg" for number in range(count)]
    for path in paths:
        shutil.copy(photos / "000002.jpg", path)
    return paths


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stop_keeps_what_is_found(quick_run, photos, tmp_path, capsys, monkeypatch, number, code):
    take = Delivery.take

    def stopping(self, item):
        take(self, item)
        if self.num_read == 5:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Delivery, "take", stopping)
    before = signal.getsignal(number)
    _copies(photos, tmp_path / "in", 60)
    words = ("--batch_size=2", "--workers=2")
    try:
        assert _run(quick_run, [tmp_path / "in"], tmp_path / "out", *words) == code
    except SystemExit as stop:
        assert stop.code == code
    assert signal.getsignal(number) == before
    entries = _entries(tmp_path / "out")
    assert [entry["image"] for entry in entries] == [
        str(tmp_path / "in" / f"{place:02}.jpg") for place in range(len(entries))
    ]
    assert 5 <= len(entries) < 30
    assert len(list((tmp_path / "out").glob("*.jpg"))) == len(entries)
    name = signal.Signals(number).name
    said = f"stopped after {len(entries)} of 60 images by {name}; {tmp_path}/out/detections.json"
    assert f"{said} has those" in capsys.readouterr().out


def test_a_full_disk_keeps_what_is_found(quick_run, photos, tmp_path, capsys, monkeypatch):
    write = drawn_files.write_bytes

    def full(path, content):
        if path.name == "07.jpg":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, content)

    monkeypatch.setattr(drawn_files, "write_bytes", full)
    _copies(photos, tmp_path / "in", 20)
    assert _run(quick_run, [tmp_path / "in"], tmp_path / "out", "--batch_size=3") == 7
    assert len(_entries(tmp_path / "out")) == 7
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == (
        f"error: {tmp_path}/out/07.jpg: No space left on device; stopped after 7 of 20 images; "
        f"{tmp_path}/out/detections.json has those that are finished"
    )


def test_the_output_folder_is_tried_before_the_model_is_loaded(photos, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert _run("no run", [photos], tmp_path / "file" / "out") == 2
    assert f"--output_dir={tmp_path}/file/out: is a file, or in one" in capsys.readouterr().err


def test_two_at_a_time_do_not_write_into_one_folder(quick_run, photos, tmp_path, capsys):
    with lock.alone_in(tmp_path, "detect"):
        assert _run("no run", [photos / "000001.jpg"], tmp_path) == 2
        assert os.listdir(tmp_path) == []
    assert capsys.readouterr().err == (
        f"error: --output_dir={tmp_path}: another detect is writing here; wait for it to finish, "
        "or choose another --output_dir\n"
    )
    held = []
    take = Delivery.take

    def looking(self, item):
        with pytest.raises(InputError), lock.alone_in(tmp_path, "detect"):
            pass
        held.append(item)
        take(self, item)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Delivery, "take", looking)
        assert _run(quick_run, [photos / "000001.jpg"], tmp_path, "--pictures=false") == 0
    assert len(held) == 1 and os.listdir(tmp_path) == ["detections.json"]


def test_detections_json_says_what_it_holds(quick_run, photos, tmp_path):
    words = ("--pictures=false", "--score_threshold=0.5", "--max_detections=3")
    assert _run(quick_run, [photos / "000001.jpg"], tmp_path, *words) == 0
    content = json.loads((tmp_path / "detections.json").read_text())
    assert content["run"] == str(quick_run)
    assert (content["checkpoint"], content["step"]) == ("best", 3)
    assert content["thresholds"] == {
        "score_threshold": 0.5,
        "nms_iou": 0.45,
        "nms_candidates": 400,
        "max_detections": 3,
    }
    assert content["classes"][1] == {"id": 2, "name": "dog", "original_id": 2}
    assert "picture" not in content["images"][0]
    assert os.listdir(tmp_path) == ["detections.json"]


def test_all_kinds_of_files_of_all_kinds_of_sources(
    tiny_run, photos, tmp_path, monkeypatch, capsys
):
    video = cv2.VideoWriter(
        str(tmp_path / "clip.mp4"), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), 5, (640, 480)
    )
    for level in (10, 200, 90):
        video.write(np.full((480, 640, 3), level, np.uint8))
    video.release()
    pages = [Image.new("RGB", (80, 60), color) for color in ((220, 60, 40), (40, 90, 220))]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    shutil.copy(photos / "000001.jpg", tmp_path / "a, b.jpg")
    lines = f"{tmp_path}/a, b.jpg\n{tmp_path}/pages.tif\n{tmp_path}/clip.mp4\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    out = tmp_path / "out"
    kinds = ("--save_txt", "--save_coco", "--save_voc", "--save_crops")
    assert _run(tiny_run, ["-"], out, *kinds, "--score_threshold=0.2") == 0
    entries = _entries(out)
    assert [entry["image"].rsplit("/", 1)[1] for entry in entries] == [
        "a, b.jpg",
        *("pages.tif#1", "pages.tif#2"),
        *("clip.mp4#1", "clip.mp4#2", "clip.mp4#3"),
    ]
    pictures = ["a, b.jpg", "pages-1.jpg", "pages-2.jpg", *["clip.mp4"] * 3]
    assert [entry["picture"] for entry in entries] == pictures
    assert [entry["seconds"] for entry in entries[3:]] == [0.0, 0.2, 0.4]
    assert all((out / name).is_file() for name in pictures)
    stems = ["a, b", "clip-1", "clip-2", "clip-3", "pages-1", "pages-2"]
    assert sorted(path.stem for path in (out / "labels").iterdir()) == stems
    assert sorted(path.stem for path in (out / "annotations").iterdir()) == stems
    found = sum(len(entry["detections"]) for entry in entries)
    assert len(list((out / "crops").glob("*/*.jpg"))) == found > 0
    assert len(json.loads((out / "results.json").read_text())) == found
    assert len(json.loads((out / "images.json").read_text())["images"]) == 6
    assert "6 images, " in capsys.readouterr().out


def test_a_second_run_replaces_the_crops_of_the_first(tiny_run, photos, tmp_path):
    paths = [photos / "000001.jpg", photos / "000002.jpg"]
    words = ("--save_crops", "--pictures=false", "--score_threshold=0", "--max_detections=9")
    assert _run(tiny_run, paths, tmp_path, *words) == 0
    crops = {path.name for path in tmp_path.glob("crops/*/*.jpg")}
    assert crops == {f"{stem}-{k}.jpg" for stem in ("000001", "000002") for k in range(1, 10)}
    assert _run(tiny_run, paths[:1], tmp_path, *words[:-1], "--max_detections=2") == 0
    crops = [path.name for path in tmp_path.glob("crops/*/000001-*.jpg")]
    assert sorted(crops) == ["000001-1.jpg", "000001-2.jpg"]
    # As its picture and labels would.
    assert len([*tmp_path.glob("crops/*/000002-*.jpg")]) == 9


def test_the_best_threshold_of_each_class(tiny_run, photos, tmp_path, capsys):
    run_dir = tmp_path / "run"
    shutil.copytree(tiny_run, run_dir)
    words = ("--pictures=false", "--score_threshold=0", "--max_detections=1000")
    assert _run(run_dir, [photos / "000002.jpg"], tmp_path / "all", *words) == 0
    (everything,) = _entries(tmp_path / "all")
    rows = everything["detections"]
    by_class = {name: [row for row in rows if row["label"] == name] for name in ("cat", "dog")}
    best = {name: found[3]["score"] for name, found in by_class.items()}
    points = {name: {"threshold": score} for name, score in best.items()}
    content = {"records": "x", "step": 2, "overall": {"threshold": 1.0}, "classes": points}
    (run_dir / "thresholds.json").write_text(json.dumps(content))
    words = ("--pictures=false", "--score_threshold=best")
    assert _run(run_dir, [photos / "000002.jpg"], tmp_path / "best", *words) == 0
    assert "is of step 2, but the checkpoint is of step 3" in capsys.readouterr().out
    (entry,) = _entries(tmp_path / "best")
    expected = [row for row in rows if row["score"] >= best.get(row["label"], 1.0)]
    assert entry["detections"] == expected[:100] and len(expected) >= 8
    said = json.loads((tmp_path / "best" / "detections.json").read_text())["thresholds"]
    assert said["score_threshold"] == {**best, "person": 1.0}


@pytest.mark.parametrize("flag", ["max_detections", "nms_candidates"])
def test_there_are_no_more_detections_than_a_network_has(photos, tmp_path, capsys, flag):
    for value in (3_000_000_000, 1_000_001, 0):
        assert _run("run", [photos], tmp_path, f"--{flag}={value}") == 2
        said = f"--{flag}={value}: must be at least 1 and at most 1000000\n"
        assert capsys.readouterr().err.endswith(said)


def test_as_many_detections_as_may_be(quick_run, photos, tmp_path):
    run_dir, words = tmp_path / "run", ["--pictures=false", "--nms_candidates=1000000"]
    shutil.copytree(quick_run, run_dir)
    content = {"overall": {"threshold": 1.0}, "classes": {}}
    (run_dir / "thresholds.json").write_text(json.dumps(content))
    for word in ("--max_detections=1000000", "--score_threshold=best"):
        assert _run(run_dir, [photos / "000001.jpg"], tmp_path / "out", *words, word) == 0
        assert [entry["detections"] for entry in _entries(tmp_path / "out")] == [[]]


@pytest.mark.parametrize("value", ["bset", "1.5", "nan"])
def test_thresholds_that_are_none(photos, tmp_path, capsys, value):
    assert _run("run", [photos], tmp_path, f"--score_threshold={value}") == 2
    assert f"--score_threshold={value}: must be" in capsys.readouterr().err


def test_the_largest_image_is_up_to_the_user(quick_run, photos, tmp_path, capsys):
    words = ("--pictures=false", "--max_pixels=4000")
    assert _run(quick_run, [photos / "000001.jpg", photos / "000002.jpg"], tmp_path, *words) == 0
    errors = [entry.get("error", "") for entry in _entries(tmp_path)]
    assert errors[1].endswith("80x60 is too many pixels: must be at most 4000") and not errors[0]


def test_names_in_double_quotes_keep_their_commas_and_spaces():
    words = ["detect", "--run_dir=r", "--output_dir=o", '--images="a, b.jpg",c.jpg']
    assert flags.parse(DetectConfig, words).images == ("a, b.jpg", "c.jpg")


def test_a_detections_json_that_cannot_be_renamed_stays_as_it_is(
    quick_run, photos, tmp_path, capsys
):
    (tmp_path / "detections.json").mkdir()
    assert _run(quick_run, [photos / "000001.jpg"], tmp_path) == 7
    part = tmp_path / "detections.json.part"
    assert len(json.loads(part.read_text())["images"]) == 1
    assert f"{part} has those that are finished" in capsys.readouterr().err
