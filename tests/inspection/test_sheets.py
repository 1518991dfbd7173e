"""Sheets of suspects: which there are, how large, and what is drawn where."""

import io

import numpy as np
import pytest
from PIL import Image

from ssd_tfrecord.inspection import sheets
from ssd_tfrecord.inspection.facts import gather
from ssd_tfrecord.inspection.suspects import Suspect

BOX = (0.25, 0.25, 0.75, 0.75)


def _grey():
    target = io.BytesIO()
    Image.new("RGB", (120, 90), (128, 128, 128)).save(target, "JPEG", quality=95)
    return target.getvalue()


@pytest.fixture
def sets(tmp_path, scene, write_set):
    images = [("a", _grey(), [(1, BOX)]), ("b", scene(2), []), ("c", scene(3), [])]
    return gather([write_set(tmp_path / "train", images)])


def _draw(suspects, sets, folder):
    paths = sheets.write_suspect_sheets(suspects, sets, str(folder))
    return {path.rpartition("/")[2]: np.asarray(Image.open(path)).astype(int) for path in paths}


def test_a_sheet_for_each_kind_that_can_be_drawn(sets, tmp_path):
    (tmp_path / "suspects-aspect_outlier.png").write_bytes(b"of an earlier search")
    suspects = [
        *[Suspect("near_duplicate", 0, (0, 1), 2, "alike", other=(0, 2))] * 30,
        Suspect("tiny_box", 0, (0, 0), 1, "tiny", "cat", (0.5, 0.5, 0.51, 0.51)),
        Suspect("rare_class", 0, (0, -1), 0, "no object", "dog"),
    ]
    drawn = _draw(suspects, sets, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == sorted(drawn)
    # 24 of the 30, in eight rows of three, and one alone: 640 x 364 each, 8 apart.
    assert {name: sheet.shape for name, sheet in drawn.items()} == {
        "suspects-near_duplicate.png": (8 * 372 + 8, 3 * 648 + 8, 3),
        "suspects-tiny_box.png": (372 + 8, 648 + 8, 3),
    }


def _is_blue(sheet):
    """Where the colour of the drawn box is: far more blue than red, which grey is not."""
    return sheet[..., 2] - sheet[..., 0] > 100


def test_a_large_box_is_drawn_on_the_image(sets, tmp_path):
    suspect = Suspect("whole_image_box", 1, (0, 0), 1, "covers it", "cat", BOX)
    sheet = _draw([suspect], sets, tmp_path)["suspects-whole_image_box.png"]
    # The image is 400 x 300 in the middle of 640 x 300, 8 from the sheet's edges.
    ys, xs = np.nonzero(_is_blue(sheet[80:]))
    assert (ys.max() + 80, xs.min(), xs.max()) == pytest.approx(
        (8 + 225, 128 + 100, 128 + 300), abs=4
    )
    # Letters below, and only there.
    assert (sheet[8 + 300 :] > 200).any()
    assert not (sheet[8 + 270 : 8 + 300] > 200).any()


def test_a_small_box_is_shown_enlarged_beside(sets, tmp_path):
    suspect = Suspect("tiny_box", 1, (0, 0), 1, "tiny", "cat", (0.5, 0.5, 0.6, 0.6))
    sheet = _draw([suspect], sets, tmp_path)["suspects-tiny_box.png"]
    # The right half shows 48 x 48 pixels of the image, in which the box is 12 wide.
    right = _is_blue(sheet[:, 8 + 322 :])
    _, xs = np.nonzero(right[150:300])
    assert xs.max() - xs.min() == pytest.approx(300 * 12 / 48, abs=8)
    left = np.nonzero(_is_blue(sheet[:, : 8 + 318])[170:300])
    assert left[1].max() - left[1].min() == pytest.approx(318 * 0.1, abs=6)


@pytest.mark.parametrize("box", [(0, 0, 0.01, 0.01), (0.99, 0.99, 1, 1), (0, 0.4, 0.2, 0.6)])
def test_the_part_around_a_box_lies_in_the_image(box):
    image = Image.fromarray(np.arange(120 * 90).reshape(90, 120).astype(np.int32) % 251 + 1)
    part, inside = sheets._around(image.convert("L"), np.array(box))
    assert np.asarray(part).min() > 0
    assert (inside >= 0).all() and (inside <= 1).all()
    # The same box in pixels, wherever the part begins.
    sides = (inside[2:] - inside[:2]) * [part.height, part.width]
    np.testing.assert_allclose(sides, np.subtract(box[2:], box[:2]) * [90, 120])


def test_an_image_that_cannot_be_decoded_leaves_its_place_empty(sets, tmp_path, monkeypatch):
    monkeypatch.setattr(
        sheets, "_read_images", lambda places, sets: dict.fromkeys(places, b"\xff\xd8damaged")
    )
    suspect = Suspect("duplicate", 0, (0, 1), 0, "equal", other=(0, 2))
    sheet = _draw([suspect], sets, tmp_path)["suspects-duplicate.png"]
    assert (sheet[8:300, 8:600] == (39, 39, 42)).all()
