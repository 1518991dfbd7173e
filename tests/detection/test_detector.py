"""The Detector: any images; records exactly once, in order, on one replica and on two."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tfrecord.detection import detector
from ssd_tfrecord.detection.recorded import read_ground_truths
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.keras import keras
from ssd_tfrecord.options import DetectionOptions, RecordSetOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceObject, SourceSet
from ssd_tfrecord.records.sources.spool import IMAGES, Spool
from ssd_tfrecord.records.writing import convert

# Upper left quarter, and the whole picture.
ANCHORS = np.float32([[0, 0, 0.5, 0.5], [0, 0, 1, 1]])


def _model():
    """Scores that follow from the mean colour, so that each image has its own."""
    image = keras.Input([32, 32, 3])
    mean = keras.layers.GlobalAveragePooling2D()(image)
    logits = keras.layers.Dense(8, use_bias=False, kernel_initializer=_kernel, name="logits")(mean)
    offsets = keras.layers.Dense(8, kernel_initializer="zeros", name="offsets")(mean)
    outputs = {
        "offsets": keras.layers.Reshape([2, 4])(offsets),
        "logits": keras.layers.Reshape([2, 4])(logits),
    }
    return keras.Model(image, outputs)


def _kernel(shape, dtype=None):
    return tf.constant(np.random.default_rng(0).normal(scale=0.1, size=shape), dtype)


def _detect(manifest, strategy, *, batch_size):
    with strategy.scope():
        model = _model()
    options = DetectionOptions(max_detections=6)
    names = manifest.class_names
    whole = detector.Detector(model, ANCHORS, names, options, strategy=strategy)
    return whole.detect_records(manifest, read_ground_truths(manifest), batch_size=batch_size)


def _mirrored():
    return tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )


@pytest.fixture(scope="module")
def manifest(tiny_records):
    return Manifest.load(tiny_records)


def test_ground_truth_of_records_is_that_of_the_xml(manifest):
    truths = {truth.source_id: truth for truth in read_ground_truths(manifest)}
    assert sorted(truths) == [f"VOC2007/00000{number}" for number in range(1, 7)]
    two = truths["VOC2007/000002"]
    assert (two.height, two.width) == (60, 80)
    np.testing.assert_array_equal(two.labels, [2, 1])
    np.testing.assert_array_equal(two.difficult, [False, True])
    np.testing.assert_allclose(
        two.boxes, [[5 / 60, 10 / 80, 45 / 60, 50 / 80], [20 / 60, 40 / 80, 1, 1]], rtol=1e-6
    )
    np.testing.assert_allclose(two.area, [1600, 1600])
    assert truths["VOC2007/000004"].boxes.shape == (0, 4)
    np.testing.assert_array_equal(truths["VOC2007/000001"].boxes, [[0, 0, 1, 1]])


def test_every_image_once_in_record_order(manifest):
    found = _detect(manifest, tf.distribute.get_strategy(), batch_size=4)
    truths = read_ground_truths(manifest)
    assert [image.source_id for image in found] == [truth.source_id for truth in truths]
    assert [image.width for image in found] == [truth.width for truth in truths]
    assert all(0 < len(image.labels) <= 6 and image.labels.min() > 0 for image in found)
    assert all((np.diff(image.scores) <= 0).all() for image in found)
    # Each image has scores of its own: rows were not swapped on the way.
    assert len({float(image.scores[0]) for image in found}) == 6


@pytest.fixture(scope="module")
def one_by_one(manifest):
    return _detect(manifest, tf.distribute.get_strategy(), batch_size=1)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 32])
def test_two_replicas_and_any_batch_size_give_the_same(manifest, one_by_one, batch_size):
    found = _detect(manifest, _mirrored(), batch_size=batch_size)
    for one, other in zip(one_by_one, found, strict=True):
        assert one.source_id == other.source_id
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-6)


def test_an_image_left_out_or_seen_twice_is_an_error(manifest, monkeypatch):
    whole = detector.evaluation_dataset

    def masked(*args, **settings):
        return whole(*args, **settings).map(lambda batch: batch._replace(valid=batch.indices != 3))

    monkeypatch.setattr(detector, "evaluation_dataset", masked)
    with pytest.raises(RuntimeError, match=r"tiny: 5 of 6 images were returned"):
        _detect(manifest, tf.distribute.get_strategy(), batch_size=2)
    monkeypatch.setattr(detector, "evaluation_dataset", lambda *a, **k: whole(*a, **k).take(1))
    with pytest.raises(RuntimeError, match=r"tiny: record 0 was returned twice"):
        _detect(manifest, tf.distribute.get_strategy(), batch_size=2)


@pytest.fixture(scope="module")
def small():
    return detector.Detector(_model(), ANCHORS, ("cat", "dog", "person"))


@pytest.fixture(scope="module")
def photos(tiny_voc):
    return sorted((tiny_voc / "VOC2007" / "JPEGImages").glob("*.jpg"))


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert (one.height, one.width) == (other.height, other.width)
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-6)


def test_paths_bytes_arrays_and_pillow_images_are_one(small, photos):
    paths = small.detect(photos)
    assert [found.source_id for found in paths] == list(map(str, photos))
    assert_same(small.detect(map(str, photos)), paths)
    assert_same(small.detect([path.read_bytes() for path in photos]), paths)
    images = [Image.open(path) for path in photos]
    assert_same(small.detect(images), paths)
    arrays = small.detect(map(np.asarray, images))
    assert_same(arrays, paths)
    assert [found.source_id for found in arrays] == ["0", "1", "2", "3", "4", "5"]


def test_one_image_alone_is_a_list_of_one(small, photos):
    expected = small.detect(photos[:1])
    image = Image.open(photos[0])
    for one in (photos[0], str(photos[0]), photos[0].read_bytes(), image, np.asarray(image)):
        assert_same(small.detect(one), expected)
    assert small.detect(str(photos[0]))[0].source_id == str(photos[0])
    assert len(small.detect(np.asarray([image, image]))) == 2


def test_an_image_without_pixels_is_one_line(small):
    image, empty = np.zeros((10, 10, 3), np.uint8), np.zeros((0, 10, 3), np.uint8)
    with pytest.raises(InputError, match=r"^image 1: 0 x 10 pixels; must have at least one"):
        small.detect([image, empty])
    for mode in ("RGB", "I;16", "P"):
        with pytest.raises(InputError, match=r"^image 0: 20 x 0 pixels; must have at least one"):
            small.detect([Image.new(mode, (0, 20))])


def test_arguments_that_do_not_fit_are_one_line(small, photos, manifest):
    for batch_size in (0, -1, 1.5):
        message = rf"^batch_size={batch_size}: must be a whole number of at least 1$"
        with pytest.raises(InputError, match=message):
            small.detect(photos, batch_size=batch_size)
        with pytest.raises(InputError, match=message):
            small.detect_records(manifest, read_ground_truths(manifest), batch_size=batch_size)
    with pytest.raises(InputError, match=r"tiny: 1 ground truths; must be those of all 6 records"):
        small.detect_records(manifest, read_ground_truths(manifest)[:1])


@pytest.mark.parametrize("batch_size", [1, 4, 6, 100])
def test_any_number_of_images_in_batches_of_any_size(small, photos, batch_size):
    assert_same(small.detect(photos, batch_size=batch_size), small.detect(photos))
    assert small.detect([], batch_size=batch_size) == []


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Files of all kinds, among them one far larger than the input, and their record set."""
    folder = tmp_path_factory.mktemp("mixed")
    random = np.random.default_rng(0)
    sizes = {"a.jpg": (40, 60), "b.png": (31, 30), "c.bmp": (200, 170), "d.jpg": (900, 1100)}
    for name, (height, width) in {**sizes, "e.gif": (20, 64), "f.webp": (50, 41)}.items():
        noise = random.integers(0, 256, (height, width, 3)).astype(np.uint8)
        Image.fromarray(noise).save(folder / name)
    levels = random.normal(30000, 200, (40, 50)).astype(np.uint16)
    Image.fromarray(levels).save(folder / "g.png")
    box = (SourceObject(1, "cat", (0, 0, 9, 9)),)
    images = [
        SourceImage(path.name, str(path), path.name, objects=box)
        for path in sorted(folder.iterdir())
    ]
    options = RecordSetOptions(
        output_dir=str(folder / "records"), num_shards=2, classes="auto", workers=1
    )
    sources = SourceSet(Spool(IMAGES, images), {"input": "test"})
    convert.convert(sources, options, tool="test", flag_lines=())
    return images, Manifest.load(folder / "records")


@pytest.mark.parametrize("batch_size", [1, 7])
def test_files_are_detected_in_as_records_are_to_the_bit(small, mixed, batch_size):
    images, manifest = mixed
    records = small.detect_records(manifest, read_ground_truths(manifest), batch_size=batch_size)
    # In the records' order: what else is in a batch, and where, may change the last bit.
    paths = {image.source_id: image.image_path for image in images}
    files = small.detect([paths[found.source_id] for found in records], batch_size=batch_size)
    assert len(files) == len(images) == 7
    for expected, found in zip(records, files):
        assert (found.height, found.width) == (expected.height, expected.width)
        assert len(found.labels)
        for name in ("boxes", "scores", "labels"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_an_image_that_cannot_be_used_is_named(small, tmp_path, photos):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photos[0].read_bytes()[:300])
    with pytest.raises(InputError, match=r"broken.jpg: cannot be decoded"):
        small.detect([photos[0], broken])
    with pytest.raises(InputError, match=r"^1: cannot be decoded"):
        small.detect([photos[0], b"no image"])
    with pytest.raises(InputError, match=r"^image 0: float32 \[4, 4, 3\]; must be uint8 \[height"):
        small.detect([np.zeros([4, 4, 3], np.float32)])
    with pytest.raises(InputError, match=r"nowhere.jpg: cannot be read: No such file"):
        small.detect(["nowhere.jpg"])
    with pytest.raises(InputError, match=r"^image 0: floating-point pixels, .*; must have 8 or 16"):
        small.detect([Image.new("F", (4, 4))])


def test_sixteen_bits_are_stretched_alike_whatever_they_come_in(small, tmp_path):
    levels = np.random.default_rng(0).normal(30000, 200, (40, 50)).astype(np.uint16)
    path = tmp_path / "thermal.png"
    Image.fromarray(levels).save(path)
    images = [path, path.read_bytes(), Image.open(path)]
    stretched = small.detect(images, stretch="percentile")
    assert_same(stretched[:2], [stretched[0]] * 2)
    # The pixels of a file have become a JPEG's.
    np.testing.assert_allclose(stretched[2].scores, stretched[0].scores, rtol=1e-2)
    with pytest.raises(InputError, match="--stretch=percent: must be one of none, percentile"):
        small.detect([path], stretch="percent")
    plain = small.detect([path])
    assert plain[0].scores[0] != stretched[0].scores[0]


def test_a_run_is_loaded_with_its_classes(tiny_run):
    loaded = detector.Detector.load(tiny_run)
    assert loaded.class_names == ("cat", "dog", "person")
    assert (loaded.original_ids, loaded.step, loaded.input_size) == ((1, 2, 3), 3, 300)
