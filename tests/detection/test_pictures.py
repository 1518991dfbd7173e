"""What is drawn where, to the pixel where that matters."""

import numpy as np
import pytest
from PIL import Image

from ssd_tfrecord.detection import pictures, recorded
from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.detection.recorded import read_ground_truths
from ssd_tfrecord.records.manifest import Manifest

NAMES = ("cat", "dog")
GREY = (99, 99, 99)


def _found(boxes, scores, labels):
    boxes = np.float32(boxes).reshape(-1, 4)
    return Detections("a", 500, 800, boxes, np.float32(scores), np.int32(labels))


def _drawn(found, **options):
    blank = Image.new("RGB", (800, 500), GREY)
    picture = pictures.draw_detections(blank, found, NAMES, **options)
    assert np.all(np.asarray(blank) == GREY)
    return np.asarray(picture)


def test_edges_have_the_colour_of_the_class_and_the_inside_is_left_alone():
    pixels = _drawn(_found([[0.25, 0.25, 0.75, 0.75]], [0.9], [2]))
    dog = pictures.class_color(2)
    for row, column in ((125, 400), (374, 400), (250, 200), (250, 599)):
        assert tuple(pixels[row, column]) == dog
    assert tuple(pixels[250, 400]) == tuple(pixels[250, 190]) == GREY
    # The tag stands above the box.
    assert tuple(pixels[120, 202]) == dog and tuple(pixels[130, 230]) == GREY


def test_tags_stay_on_the_picture():
    pixels = _drawn(_found([[0, 0.99, 0.2, 1], [0, 0, 1, 1]], [0.9, 0.8], [1, 2]))
    assert pixels.shape == (500, 800, 3)
    assert tuple(pixels[1, 700]) == pictures.class_color(2)
    # A tag of the box at the right border ends there: its ground begins well to the left.
    cat = np.all(pixels == pictures.class_color(1), axis=-1)
    assert cat[:25, 720:].sum() > 500


@pytest.mark.parametrize("between", ["\n", "\r", "\0", "\x1b", "\x85", "\u2028", "\ud800"])
def test_a_name_of_several_lines_is_drawn_as_one(between):
    blank, found = Image.new("RGB", (800, 500), GREY), _found([[0.25, 0.25, 1, 1]], [0.9], [1])
    picture = pictures.draw_detections(blank, found, [f"a{between}b"])
    assert picture == pictures.draw_detections(blank, found, ["a b"])
    truth = GroundTruth("a", 500, 800, found.boxes, found.labels, *np.zeros([3, 1], bool))
    picture = pictures.draw_ground_truth(blank, truth, [f"a{between}b"])
    assert picture == pictures.draw_ground_truth(blank, truth, ["a b"])


def test_low_scores_and_empty_images_are_left_alone():
    found = _found([[0, 0, 1, 1]], [0.2], [1])
    assert np.all(_drawn(found, min_score=0.3) == GREY)
    assert np.all(_drawn(_found([], [], [])) == GREY)


def test_the_best_detection_is_on_top():
    pixels = _drawn(_found([[0.25, 0.25, 0.75, 0.75]] * 2, [0.9, 0.8], [1, 2]))
    assert tuple(pixels[125, 400]) == pictures.class_color(1)


def test_ground_truth_says_difficult_and_crowd():
    def drawn(difficult, crowd):
        truth = GroundTruth(
            "a",
            500,
            800,
            np.float32([[0.25, 0.25, 0.75, 0.75]]),
            np.int32([1]),
            np.array([difficult]),
            np.array([crowd]),
            np.zeros(1, np.float32),
        )
        picture = pictures.draw_ground_truth(Image.new("RGB", (800, 500), GREY), truth, NAMES)
        return np.all(np.asarray(picture) == pictures.class_color(1), axis=-1).sum()

    assert drawn(False, False) < drawn(False, True) < drawn(True, False)


def test_colours_of_the_first_eighty_classes_differ():
    assert len({pictures.class_color(label) for label in range(1, 81)}) == 80


def test_spread_takes_each_index_once_from_the_whole_set():
    assert pictures.spread(10, 4) == [0, 2, 5, 7]
    assert pictures.spread(3, 16) == [0, 1, 2]
    assert pictures.spread(0, 4) == []


def test_pictures_of_records_show_the_records_own_pixels(tiny_records):
    manifest = Manifest.load(tiny_records)
    truths = read_ground_truths(manifest)
    found = [
        Detections(t.source_id, t.height, t.width, t.boxes, np.ones(len(t.labels)), t.labels)
        for t in truths
    ]
    names = manifest.class_names
    chosen = pictures.beside_truth(
        lambda places: recorded.read_images(manifest, places), truths, found, names, 6
    )
    assert [name for name, _ in chosen] == [truth.source_id for truth in truths]
    for (_, picture), truth in zip(chosen, truths):
        half = np.asarray(picture)[:, : picture.width // 2]
        # The pictures are enlarged to 400 pixels, the caption stands above.
        assert picture.height > 400 * truth.height / max(truth.height, truth.width)
        assert half.shape[1] >= 400 * truth.width / max(truth.height, truth.width)
    by_name = dict(chosen)
    # The cat of 000001 covers its whole image: (220, 60, 40).
    center = np.asarray(by_name["VOC2007/000001"])[180, 200].astype(int)
    assert np.abs(center - [220, 60, 40]).max() < 12


def test_pictures_of_an_earlier_call_go_and_nothing_else(tmp_path):
    image = Image.new("RGB", (40, 30))
    image.save(tmp_path / "mine.jpg")
    (tmp_path / "torn.jpg").write_bytes(b"")
    pictures.write_pictures(tmp_path, [("VOC2007/000001", image), ("VOC2007/000002", image)])
    pictures.write_pictures(tmp_path, [("VOC2007/000003", image)])
    names = ["000003.jpg", "contact_sheet.jpg", "mine.jpg", "torn.jpg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_no_jpeg_of_others_is_overwritten_and_no_link_is_followed(tmp_path):
    """An image may be called as a file that is there, as the sheet, or as a link; however often."""
    image, folder = Image.new("RGB", (40, 30)), tmp_path / "pictures"
    folder.mkdir()
    for name in ("im1.jpg", "IM2.JPG", "contact_sheet.jpg"):
        (folder / name).write_bytes(b"mine")
    (tmp_path / "orig.jpg").write_bytes(b"mine")
    (folder / "im3.jpg").symlink_to("../orig.jpg")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    (folder / "dir.jpg").mkdir()
    old = {path.name for path in folder.iterdir()}
    found = [(name, image) for name in ("a/im1", "im2", "im3", "im3-2", "gone", "dir", "new")]
    new = ("im1-2", "im2-2", "im3-3", "im3-2", "gone-2", "dir-2", "new", "contact_sheet-2")
    for _ in range(2):
        pictures.write_pictures(folder, found)
        assert {path.name for path in folder.iterdir()} == {*old, *(f"{name}.jpg" for name in new)}
    for name in ("im1.jpg", "IM2.JPG", "contact_sheet.jpg", "im3.jpg"):
        assert (folder / name).read_bytes() == b"mine"
    assert (folder / "gone.jpg").is_symlink() and not (tmp_path / "nowhere.jpg").exists()


def test_a_link_to_a_picture_of_ours_stays(tmp_path):
    image = Image.new("RGB", (40, 30))
    pictures.write_pictures(tmp_path / "a", [("im1", image)])
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "im1.jpg").symlink_to("../a/im1.jpg")
    pictures.write_pictures(tmp_path / "b", [("im1", Image.new("RGB", (40, 30), "red"))])
    assert (tmp_path / "b" / "im1.jpg").is_symlink()
    assert Image.open(tmp_path / "a" / "im1.jpg").getpixel((0, 0)) == (0, 0, 0)


def test_a_picture_is_whole_or_not_there(tmp_path, monkeypatch):
    image = Image.new("RGB", (40, 30))
    pictures.write_pictures(tmp_path, [("im1", image)])
    # What a killed process leaves.
    (tmp_path / "im1.jpg").rename(tmp_path / "im1.jpg.12.part")

    def fail(*_):
        raise OSError("full")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):
        patch.setattr("os.replace", fail)
        pictures.write_pictures(tmp_path, [("im1", image)])
    assert list(tmp_path.iterdir()) == []


def test_contact_sheet_holds_every_picture():
    small = [Image.new("RGB", size, (200, 0, 0)) for size in ((300, 100), (50, 400), (7, 7))]
    sheet = np.asarray(pictures.contact_sheet(small, columns=2))
    assert sheet.shape == (2 * 268 + 8, 2 * 648 + 8, 3)
    for y, x in ((138, 328), (138, 976), (406, 328)):
        assert tuple(sheet[y, x]) == (200, 0, 0)


def test_an_image_called_as_the_sheet_keeps_its_picture(tmp_path):
    pictures.write_pictures(tmp_path, [("contact_sheet", Image.new("RGB", (40, 30)))])
    assert len(list(tmp_path.glob("*.jpg"))) == 2
