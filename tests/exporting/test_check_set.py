"""The images that exports are checked on: which, and seen as an evaluation sees them."""

import types

import numpy as np
import pytest

from ssd_tfrecord.data.whole_images import evaluation_dataset
from ssd_tfrecord.detection.detector import Prepared
from ssd_tfrecord.detection.recorded import read_ground_truths
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting.check_set import CheckSet, spread
from ssd_tfrecord.pixels.resampling import resample
from ssd_tfrecord.records.manifest import Manifest


def prepare(image, name):
    """As the Detector's, for a network of 64 pixels."""
    return Prepared(name, *image.size, resample(image.pixels, [64, 64]).numpy())


@pytest.fixture(scope="module")
def manifest(tiny_records):
    return Manifest.load(tiny_records)


def detector(*class_names):
    return types.SimpleNamespace(class_names=class_names, prepare=prepare)


def test_images_are_spread_over_the_set():
    assert spread(10, 4) == [0, 3, 6, 9]
    assert spread(3, 200) == spread(3, 0) == [0, 1, 2]
    assert spread(5, 1) == [0]


def test_images_are_those_of_an_evaluation(manifest, tiny_voc):
    images = CheckSet(manifest, 0, detector("cat", "dog", "person"))
    (batch,) = evaluation_dataset(manifest, input_size=64, batch_size=6)
    truths = read_ground_truths(manifest)
    assert len(images) == 6
    for index, image in enumerate(images):
        row = list(batch.indices.numpy()).index(index)
        np.testing.assert_array_equal(image.prepared.pixels, batch.images[row])
        truth = truths[index]
        assert image.prepared.source_id == image.truth.source_id == truth.source_id
        assert (image.prepared.height, image.prepared.width) == (truth.height, truth.width)
        np.testing.assert_array_equal(image.truth.boxes, truth.boxes)
        name = truth.source_id.split("/")[1]
        assert image.encoded == (tiny_voc / f"VOC2007/JPEGImages/{name}.jpg").read_bytes()


def test_a_set_can_be_gone_through_twice(manifest):
    images = CheckSet(manifest, 2, detector("cat", "dog", "person"))
    first, second = ([image.truth.source_id for image in images] for _ in range(2))
    assert first == second and len(first) == 2


def test_other_classes_are_refused(manifest):
    with pytest.raises(
        InputError, match=r"has the classes cat, dog, person; must have .* cat, cow"
    ):
        CheckSet(manifest, 0, detector("cat", "cow"))
