"""The images that are stored with exports, and those of others."""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.detector import Prepared
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting import stored_checks
from ssd_tfrecord.exporting.check_set import CheckImage

NAMES = ("cat", "dog")


def _image(number, count):
    pixels = np.random.default_rng(number).integers(0, 256, [30, 40, 3], np.uint8)
    boxes = np.linspace(0, 1, 4 * count, dtype=np.float32).reshape(-1, 4)
    labels = np.ones(count, np.int32)
    key = (f"a/{number}", 30, 40)
    flags, area = np.arange(count) > 0, np.full(count, 2.5, np.float32)
    truth = GroundTruth(*key, boxes, labels, flags, ~flags, area)
    found = Detections(*key, boxes, np.linspace(1, 0.5, count, dtype=np.float32), labels + 1)
    encoded = tf.io.encode_jpeg(pixels).numpy()
    return CheckImage(encoded, Prepared(*key, pixels[:20, :20]), truth), found


@pytest.fixture
def folder(tmp_path):
    pairs = [_image(0, 3), _image(1, 0)]
    stored_checks.store_checks(
        tmp_path, [image for image, _ in pairs], [found for _, found in pairs], NAMES
    )
    return tmp_path


def test_what_is_stored_is_loaded(folder):
    images, expected, names = stored_checks.load_checks(folder)
    assert names == NAMES and len(images) == len(expected) == 2
    for number, count in ((0, 3), (1, 0)):
        image, found = _image(number, count)
        loaded = images[number]
        assert loaded.encoded == image.encoded
        for one, other in (
            (loaded.prepared, image.prepared),
            (loaded.truth, image.truth),
            (expected[number], found),
        ):
            for key, value in vars(other).items():
                np.testing.assert_array_equal(getattr(one, key), value)
                assert getattr(getattr(one, key), "dtype", None) == getattr(value, "dtype", None)


def _write(path, content):
    path.write_bytes(content)


def _npy(array):
    def damage(check):
        np.save(check / "0000.npy", array)

    return damage


def _huge(check):
    """A header that claims 12 GB."""
    whole = (check / "0000.npy").read_bytes()
    _write(
        check / "0000.npy", whole.replace(b"(20, 20, 3), }    ", b"(65535, 65535, 3), }", 1)[:900]
    )


def _pipe(check):
    (check / "0000.npy").unlink()
    os.mkfifo(check / "0000.npy")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda check: _write(check / "0000.npy", b""), r"0000.npy: damaged \(.+\)"),
        (
            lambda check: _write(check / "0000.npy", b"\x93NUMPY\1\0\6\0{((((\n"),
            r"0000.npy: damaged",
        ),
        (lambda check: (check / "0000.npy").unlink(), r"0000.npy: damaged \(no such file\)"),
        (
            _npy(np.zeros([20, 20, 3])),
            r"0000.npy: damaged \(float64 \[20, 20, 3\], must be uint8 \[",
        ),
        (
            _npy(np.zeros([20, 30, 3], np.uint8)),
            r"0000.npy: damaged \(uint8 \[20, 30, 3\], must be",
        ),
        (
            _npy(np.zeros([], np.uint8)),
            r"0000.npy: damaged \(uint8 \[\], must be uint8 \[S, S, 3\]",
        ),
        (_huge, r"0000.npy: damaged \(.+\)"),
        (_pipe, r"0000.npy: damaged \(no such file\)"),
        (lambda check: _write(check / "0001.jpg", b"other bytes"), r"0001.jpg: damaged \(.+\)"),
        (lambda check: _write(check / "0001.jpg", b""), r"0001.jpg: damaged \(.+\)"),
        (lambda check: (check / "0001.jpg").unlink(), r"0001.jpg: damaged \(no such file\)"),
        (
            lambda check: _write(check / "0001.jpg", (check / "0001.jpg").read_bytes()[:-40]),
            r"0001.jpg: damaged \(.*truncated.*\)",
        ),
        (
            lambda check: _write(
                check / "0001.jpg", tf.io.encode_jpeg(np.zeros([8, 9, 3], np.uint8)).numpy()
            ),
            r"0001.jpg: damaged \(has 9x8 pixels; expected.json says 40x30\)",
        ),
    ],
)
def test_a_damaged_image_is_named(folder, damage, message):
    damage(folder / "check")
    with pytest.raises(InputError, match=rf"^{folder}/check/{message}.*; export again$"):
        stored_checks.load_checks(folder)


def _set(*path, value):
    def change(content):
        *inner, last = path
        for key in inner:
            content = content[key]
        content[last] = value

    return change


def _field(part, name, value):
    return _set("images", 0, part, name, value=value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("images", value=[]), r"images: \[\]: must be a list of at least one image"),
        (_set("images", value={}), r"images: {}: must be a list of at least one image"),
        (_set("images", 0, value=3), r"images\[0\]: 3: must be a JSON object"),
        (
            _set("images", 0, "image", value="../0000.jpg"),
            r"images\[0\].image: '../0000.jpg': must ",
        ),
        (_set("images", 0, "image", value=None), r"images\[0\].image: None: must be a name like"),
        (_set("images", 0, "truth", value=[]), r"images\[0\].truth: \[\]: must be a JSON object"),
        (_set("classes", value=[]), r"classes: \[\]: must be a list of at least one name"),
        (
            _set("classes", value=["cat"]),
            r"detections.labels\[0\]: 2: must be one of labels from 1 ",
        ),
        (_set("classes", value=[1, 2]), r"classes: \[1, 2\]: must be a list of at least one name"),
        (_field("truth", "labels", [-1, 1, 1]), r"truth.labels\[0\]: -1: must be one of labels fr"),
        (
            _field("truth", "labels", [2**40, 1, 1]),
            r"truth.labels\[0\]: 1099511627776: must be one",
        ),
        (
            _field("truth", "labels", [True, 1, 1]),
            r"truth.labels\[0\]: True: must be one of labels",
        ),
        (
            _field("truth", "labels", [1]),
            r"truth: must have lists of one length, and has boxes 3, lab",
        ),
        (_field("truth", "area", 3), r"truth.area: 3: must be a list of numbers"),
        (
            _field("truth", "difficult", [0, 0, 0]),
            r"truth.difficult\[0\]: 0: must be one of true an",
        ),
        (
            _field("truth", "height", 0),
            r"truth.height: 0: must be a whole number from 1 to 2147483647",
        ),
        (
            _field("truth", "height", 31),
            r"images\[0\]: truth and detections must be of one source_id",
        ),
        (_field("truth", "source_id", 5), r"truth.source_id: 5: must be a text"),
        (
            _field("detections", "boxes", [[1, 2]] * 3),
            r"detections.boxes\[0\]: \[1, 2\]: must be one",
        ),
        (
            _field("detections", "boxes", [1] * 3),
            r"detections.boxes\[0\]: 1: must be one of boxes of",
        ),
        (
            _field("detections", "scores", [1e300] * 3),
            r"detections.scores\[0\]: 1e\+300: must be one",
        ),
        (
            _field("detections", "scores", [10**400] * 3),
            r"detections.scores\[0\]: 1000.*0000: must be",
        ),
        (
            _field("detections", "scores", ["1"] * 3),
            r"detections.scores\[0\]: '1': must be one of n",
        ),
    ],
)
def test_what_is_expected_is_read_without_trust(folder, change, message):
    path = folder / "check" / "expected.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"^{path}: damaged \(.*{message}.*\); export again$"):
        stored_checks.load_checks(folder)


def test_none_at_all(folder):
    shutil.rmtree(folder / "check")
    with pytest.raises(InputError, match=r"has no check/expected.json; export again"):
        stored_checks.load_checks(folder)
