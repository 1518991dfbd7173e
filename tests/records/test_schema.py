"""The record schema: round trip, the Object Detection API's keys, records of other tools."""

import sys

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.records import wire
from ssd_tfrecord.records.annotation import ImageAnnotation, ObjectAnnotation
from ssd_tfrecord.records.schema import parse_example, to_example

OBJECTS = (
    ObjectAnnotation(
        3, "dög", (0.25, 0.0, 1.0, 0.5), difficult=True, area=12.5, pose="Left", annotation_id=2**40
    ),
    ObjectAnnotation(
        1, "cat", (0.0, 0.125, 0.5, 1.0), truncated=True, crowd=True, area=7.0, occluded=True
    ),
)
ANNOTATION = ImageAnnotation("VOC2007/000001", "000001.jpg", 48, 64, OBJECTS, "png")


def _parse_in_graph(serialized):
    dataset = tf.data.Dataset.from_tensors(serialized).map(parse_example)
    return next(iter(dataset.as_numpy_iterator()))


def test_round_trip_in_graph():
    parsed = _parse_in_graph(to_example(ANNOTATION, b"\xff\xd8pixels"))
    assert parsed["encoded"] == b"\xff\xd8pixels"
    assert parsed["source_id"] == b"VOC2007/000001"
    assert (parsed["height"], parsed["width"]) == (48, 64)
    np.testing.assert_array_equal(parsed["boxes"], [item.box for item in OBJECTS])
    np.testing.assert_array_equal(parsed["labels"], [3, 1])
    np.testing.assert_array_equal(parsed["difficult"], [True, False])
    np.testing.assert_array_equal(parsed["crowd"], [False, True])
    np.testing.assert_array_equal(parsed["area"], np.float32([12.5, 7.0]))
    dtypes = {
        name: value.dtype for name, value in parse_example(to_example(ANNOTATION, b"")).items()
    }
    assert dtypes == {
        "encoded": tf.string,
        "source_id": tf.string,
        "height": tf.int32,
        "width": tf.int32,
        "boxes": tf.float32,
        "labels": tf.int32,
        "difficult": tf.bool,
        "crowd": tf.bool,
        "area": tf.float32,
    }


def test_what_is_long_is_not_kept_once_it_is_written():
    image = b"\xff\xd8" + bytes(1000)
    long = ObjectAnnotation(1, "x" * 600, (0.0, 0.0, 1.0, 1.0), pose="y" * 600)
    before = sys.getrefcount(image)
    kept = wire._whole_words.cache_info().currsize
    example = to_example(ImageAnnotation("1", "1.jpg", 4, 5, (long,)), image)
    assert image in example and b"x" * 600 in example
    assert sys.getrefcount(image) == before
    # No more than the formats, "jpeg".
    assert wire._whole_words.cache_info().currsize <= kept + 1


def test_no_objects_are_empty_tensors():
    parsed = _parse_in_graph(to_example(ImageAnnotation("1", "1.jpg", 4, 5), b""))
    assert parsed["boxes"].shape == (0, 4)
    assert all(parsed[key].shape == (0,) for key in ("labels", "difficult", "crowd", "area"))


def test_keys_are_those_of_the_object_detection_api():
    feature = tf.train.Example.FromString(to_example(ANNOTATION, b"")).features.feature
    assert sorted(feature) == [
        "image/encoded",
        "image/filename",
        "image/format",
        "image/height",
        "image/key/sha256",
        "image/object/annotation_id",
        "image/object/area",
        "image/object/bbox/xmax",
        "image/object/bbox/xmin",
        "image/object/bbox/ymax",
        "image/object/bbox/ymin",
        "image/object/class/label",
        "image/object/class/text",
        "image/object/difficult",
        "image/object/is_crowd",
        "image/object/occluded",
        "image/object/truncated",
        "image/object/view",
        "image/original_format",
        "image/source_id",
        "image/width",
    ]
    assert feature["image/object/bbox/xmax"].float_list.value == [0.5, 1.0]
    assert feature["image/object/class/text"].bytes_list.value == ["dög".encode(), b"cat"]
    assert feature["image/object/truncated"].int64_list.value == [0, 1]
    assert feature["image/object/occluded"].int64_list.value == [0, 1]
    assert feature["image/object/annotation_id"].int64_list.value == [2**40, -1]
    assert feature["image/original_format"].bytes_list.value == [b"png"]
    assert feature["image/object/view"].bytes_list.value == [b"Left", b""]
    assert feature["image/format"].bytes_list.value == [b"jpeg"]
    # sha256 of no bytes.
    assert feature["image/key/sha256"].bytes_list.value[0].startswith(b"e3b0c44298fc1c14")


def test_records_without_the_optional_keys_get_zeros():
    example = tf.train.Example.FromString(to_example(ANNOTATION, b""))
    for key in ("difficult", "is_crowd", "area"):
        del example.features.feature[f"image/object/{key}"]
    parsed = _parse_in_graph(example.SerializeToString())
    np.testing.assert_array_equal(parsed["difficult"], [False, False])
    np.testing.assert_array_equal(parsed["crowd"], [False, False])
    np.testing.assert_array_equal(parsed["area"], [0.0, 0.0])


@pytest.mark.parametrize("key", ["image/object/class/label", "image/object/bbox/xmin"])
def test_a_record_whose_lists_differ_in_length_is_an_error(key):
    example = tf.train.Example.FromString(to_example(ANNOTATION, b""))
    del example.features.feature[key]
    with pytest.raises(tf.errors.InvalidArgumentError):
        _parse_in_graph(example.SerializeToString())


def test_equal_annotations_are_equal_bytes():
    assert to_example(ANNOTATION, b"x") == to_example(ANNOTATION, b"x")
