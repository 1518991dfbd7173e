"""The files of an image: crops, YOLO's text, VOC's XML, COCO's rows, videos."""

import json
import os
import pathlib
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.outputs import voc_drafts
from ssd_tfrecord.detection.outputs.coco_rows_files import CocoRowsFiles
from ssd_tfrecord.detection.outputs.drawn_files import Crops, write_picture
from ssd_tfrecord.detection.outputs.video_writing import VideoWriting
from ssd_tfrecord.detection.outputs.yolo_text import YoloText
from ssd_tfrecord.detection.sources.frame_readers import Frame
from ssd_tfrecord.detection.sources.source_list import Source
from ssd_tfrecord.errors import DiskError
from ssd_tfrecord.records.sources.voc_files.voc_xml import parse_voc_xml

NAMES = ("cat", "a/b")


def _found(boxes, scores, labels, height=50, width=100):
    boxes = np.float32(boxes).reshape(-1, 4)
    return Detections("a", height, width, boxes, np.float32(scores), np.int32(labels))


# In pixels of 50 x 100: ymin 10, xmin 20, ymax 30, xmax 60; and a sliver at the right border.
FOUND = _found([[0.2, 0.2, 0.6, 0.6], [0.5, 0.999, 0.5, 1.0]], [0.75, 0.5], [2, 1])


def test_yolo_lines_are_centres_and_sizes_in_fractions(tmp_path):
    text = YoloText(tmp_path, NAMES)
    text.write("a", FOUND)
    text.write("b", _found([], [], []))
    assert (tmp_path / "classes.txt").read_text() == "cat\na/b\n"
    lines = (tmp_path / "labels" / "a.txt").read_text().splitlines()
    assert lines[0] == "1 0.400000 0.400000 0.400000 0.400000 0.750000"
    assert len(lines) == 2 and (tmp_path / "labels" / "b.txt").read_text() == ""


def test_an_xml_is_read_back_by_the_converter(tmp_path):
    (tmp_path / "annotations").mkdir()
    path = pathlib.Path("photos/a \x01<&>.jpg")
    voc_drafts.write_xml(tmp_path, "a", path, FOUND, ("cat", "a & b"))
    parsed = parse_voc_xml(str(tmp_path / "annotations" / "a.xml"), pixel_origin=1)
    assert (parsed.filename, parsed.size) == ("a _<&>.jpg", (100, 50))
    first, second = parsed.objects
    assert (first.name, first.box) == ("a & b", (10, 20, 30, 60))
    # Thinner than a pixel, but no reader takes it for a mistake.
    assert (second.name, second.flaw, second.box) == ("cat", "", (25, 98, 27, 100))
    assert not parsed.rejects and not parsed.odd


@pytest.mark.parametrize(("low", "high"), [(1, 1), (99.6, 100), (0.6, 1.2), (50.5, 50.5), (1, 100)])
def test_pixels_of_an_xml_are_two_at_least_and_in_the_image(low, high):
    first, last = voc_drafts._pixels(low, high, 100)
    assert 1 <= first < last <= 100
    assert abs(first - low) <= 1.5 and abs(last - high) <= 1.5


def test_crops_are_in_the_folder_of_their_class(tmp_path):
    image = Image.new("RGB", (100, 50))
    image.paste((200, 0, 0), (20, 10, 60, 30))
    Crops(tmp_path, NAMES).write("x", image, FOUND)
    with Image.open(tmp_path / "crops" / "a_b" / "x-1.jpg") as crop:
        assert crop.size == (40, 20)
        np.testing.assert_allclose(np.asarray(crop), np.full((20, 40, 3), [200, 0, 0]), atol=4)
    with Image.open(tmp_path / "crops" / "cat" / "x-2.jpg") as crop:
        assert crop.size == (1, 1)


def _crops(folder):
    return sorted(str(path.relative_to(folder / "crops")) for path in folder.glob("crops/*/*"))


def test_crops_of_an_earlier_run_are_replaced_image_by_image(tmp_path):
    image = Image.new("RGB", (100, 50))
    # As a photo has them; some stand before the comment.
    image.info |= {"comment": b"mine", "xmp": b"x" * 60_000, "icc_profile": b"y" * 90_000}
    first = Crops(tmp_path, ("a/b", "cat"))
    for name in ("x", "x-1", "y"):
        first.write(name, image, FOUND)
    (tmp_path / "crops" / "a_b" / "x-77.jpg").write_bytes(b"no JPEG")
    image.save(tmp_path / "crops" / "cat" / "x-78.jpg")
    # Sorted by hand into another class, and renamed.
    shutil.copy(tmp_path / "crops" / "a_b" / "x-2.jpg", tmp_path / "crops" / "cat" / "x-2.jpg")
    shutil.copy(tmp_path / "crops" / "cat" / "x-1.jpg", tmp_path / "crops" / "cat" / "x-5.jpg")
    own = ["a_b/x-77.jpg", "cat/x-2.jpg", "cat/x-5.jpg", "cat/x-78.jpg"]
    written = [f"{kind}-{k}.jpg" for k, kind in ((2, "a_b/x"), (2, "a_b/x-1"), (2, "a_b/y"))]
    written += [f"cat/{name}-1.jpg" for name in ("x", "x-1", "y")]
    assert _crops(tmp_path) == sorted(own + written)
    # Another model, which does not know one of the classes.
    later = Crops(tmp_path, ("dog", "cat"))
    later.write("x", image, _found([[0.2, 0.2, 0.6, 0.6]], [0.7], [1]))
    gone = {"a_b/x-2.jpg", "cat/x-1.jpg"}
    assert _crops(tmp_path) == sorted({*own, *written, "dog/x-1.jpg"} - gone)
    later.write("y", image, _found([], [], []))
    gone |= {"a_b/y-2.jpg", "cat/y-1.jpg"}
    assert _crops(tmp_path) == sorted({*own, *written, "dog/x-1.jpg"} - gone)


def test_crops_are_not_deleted_where_links_lead(tmp_path):
    image = Image.new("RGB", (100, 50))
    Crops(tmp_path / "a", NAMES).write("x", image, FOUND)
    before = _crops(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "crops").symlink_to(tmp_path / "a" / "crops")
    (tmp_path / "c" / "crops").mkdir(parents=True)
    (tmp_path / "c" / "crops" / "cat").symlink_to(tmp_path / "a" / "crops" / "cat")
    (tmp_path / "c" / "crops" / "a_b").mkdir()
    (tmp_path / "c" / "crops" / "a_b" / "x-1.jpg").symlink_to(tmp_path / "a/crops/a_b/x-1.jpg")
    for name in ("b", "c"):
        Crops(tmp_path / name, NAMES).write("x", image, _found([], [], []))
    assert _crops(tmp_path / "a") == before
    assert os.listdir(tmp_path / "c" / "crops" / "a_b") == ["x-1.jpg"]


def test_a_picture_fits_into_a_jpeg(tmp_path):
    write_picture(tmp_path / "a.jpg", Image.new("RGB", (70_000, 10)))
    with Image.open(tmp_path / "a.jpg") as picture:
        assert picture.size[0] == 65_500


def _coco(folder, paths):
    sources = [Source(pathlib.Path(path)) for path in paths]
    files = CocoRowsFiles(folder, sources, NAMES, (7, 3))
    for source in sources:
        files.add(Frame(source, 0, lambda: None), FOUND)
    files.close()
    return json.loads((folder / "images.json").read_text())


def test_pycocotools_reads_the_rows(tmp_path):
    images = _coco(tmp_path, ["b/000139.jpg", "000285.png"])
    assert [image["id"] for image in images["images"]] == [139, 285]
    assert images["categories"] == [{"id": 7, "name": "cat"}, {"id": 3, "name": "a/b"}]
    truth = COCO()
    truth.dataset = {**images, "annotations": []}
    truth.createIndex()
    loaded = truth.loadRes(str(tmp_path / "results.json"))
    rows = loaded.loadAnns(loaded.getAnnIds(imgIds=[139]))
    assert [row["category_id"] for row in rows] == [3, 7]
    assert rows[0]["bbox"] == [20, 10, 40, 20] and rows[0]["score"] == 0.75


@pytest.mark.parametrize("paths", [["1.jpg", "x.jpg"], ["1.jpg", "b/01.png"]])
def test_images_are_counted_where_names_are_no_numbers_of_their_own(tmp_path, paths):
    assert [image["id"] for image in _coco(tmp_path, paths)["images"]] == [1, 2]


def test_a_video_has_all_its_frames_even_of_odd_size(tmp_path):
    video = VideoWriting(tmp_path / "a.mp4", 10.0)
    for number in range(4):
        video.add(np.full((31, 47, 3), (200, 50 * number, 20), np.uint8))
    video.close()
    capture = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    there, pixels = capture.read()
    assert there and pixels.shape == (30, 46, 3)
    np.testing.assert_allclose(pixels[15, 23], [20, 0, 200], atol=10)
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 4
    capture.release()


RATES = [
    *[(1e-9, 0.002), (0.0011, 0.002), (0.0123, 0.012), (0.2, 0.2), (30000 / 1001, 29.97)],
    *[(65.534, 65.534), (65.535, 65.535), (65.5354, 65.54), (119.673, 119.67), (239.417, 239.42)],
    *[(655.353, 655.4), (999.99, 1000.0), (6553.55, 6554.0), (65535.4, 65535.0), (1e9, 65535.0)],
]


@pytest.mark.parametrize(("rate", "written"), RATES)
def test_a_video_has_the_nearest_rate_that_can_be_written(tmp_path, rate, written):
    video = VideoWriting(tmp_path / "a.mp4", rate)
    for _ in range(3):
        video.add(np.zeros((16, 16, 3), np.uint8))
    video.close()
    capture = cv2.VideoCapture(str(tmp_path / "a.mp4"), cv2.CAP_FFMPEG)
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(written, rel=1e-5)
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    capture.release()


def test_links_in_the_folder_are_replaced_by_files_of_every_kind(tmp_path):
    own, out = tmp_path / "own", tmp_path / "out"
    names = ("a.mp4", "a.jpg", "classes.txt", "labels/a.txt", "annotations/a.xml")
    names = (*names, "crops/cat/a-2.jpg", "images.json.part", "results.json.part")
    for name in names:
        for folder in (own, out):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_text("mine")
        (out / name).symlink_to(own / name)
    image = Image.new("RGB", (100, 50))
    write_picture(out / "a.jpg", image)
    YoloText(out, NAMES).write("a", FOUND)
    voc_drafts.write_xml(out, "a", pathlib.Path("a.jpg"), FOUND, NAMES)
    Crops(out, NAMES).write("a", image, FOUND)
    _coco(out, ["a.jpg"])
    video = VideoWriting(out / "a.mp4", 10.0)
    video.add(np.asarray(image))
    video.close()
    assert {(own / name).read_text() for name in names} == {"mine"}
    assert not any((out / name).is_symlink() for name in names)
    assert sum(path.is_file() for path in out.rglob("*")) == len(names) + 1


def test_a_video_that_cannot_be_written_is_an_error(tmp_path):
    video = VideoWriting(tmp_path / "nowhere" / "a.mp4", 10.0)
    with pytest.raises(DiskError, match=r"a.mp4: cannot be written"):
        video.add(np.zeros((8, 8, 3), np.uint8))
