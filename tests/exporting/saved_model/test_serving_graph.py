"""What a SavedModel answers, and what goes with it."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.detection.image_files import LoadedImage


def run(saved, name, value):
    outputs = saved.loaded.signatures[name](input_tensor=tf.constant(value))
    return {key: tensor.numpy() for key, tensor in outputs.items()}


def assert_detections(outputs, toy, images):
    """That the outputs are what the Detector finds in each of ``images``."""
    for row, pixels in enumerate(images):
        prepared = toy.detector.prepare(LoadedImage.of_array(pixels), "0")
        (expected,) = toy.detector.detect_prepared([prepared])
        count = int(outputs["num_detections"][row])
        assert count == len(expected.labels) > 0
        np.testing.assert_array_equal(outputs["detection_classes"][row, :count], expected.labels)
        for name in ("boxes", "scores"):
            found = outputs[f"detection_{name}"][row, :count]
            np.testing.assert_allclose(found, getattr(expected, name), atol=1e-6)


def decoded(jpegs):
    return [tf.io.decode_jpeg(jpeg, 3, dct_method="INTEGER_ACCURATE").numpy() for jpeg in jpegs]


def test_files_of_two_sizes_are_detected_as_the_detector_does(saved, toy, photographs):
    outputs = run(saved, "encoded", photographs.jpegs)
    assert_detections(outputs, toy, decoded(photographs.jpegs))
    # PNG beside JPEG, pixel by pixel.
    outputs = run(saved, "encoded", [photographs.jpegs[1], photographs.pngs[1]])
    assert_detections(outputs, toy, [*decoded(photographs.jpegs[1:]), photographs.pixels[1]])


def test_pixels_and_records_are_seen_as_their_files_are(saved, toy, photographs):
    expected = run(saved, "encoded", photographs.pngs)
    assert_detections(expected, toy, photographs.pixels)
    examples = []
    for png in photographs.pngs:
        feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[png]))
        features = tf.train.Features(feature={"image/encoded": feature})
        examples.append(tf.train.Example(features=features).SerializeToString())
    others = {
        "image_tensor": photographs.pixels,
        "float_image_tensor": photographs.pixels.astype(np.float32),
        "tf_example": examples,
    }
    for name, value in others.items():
        for key, found in run(saved, name, value).items():
            np.testing.assert_array_equal(found, expected[key], err_msg=f"{name} {key}")


def test_rows_belong_together_and_end_in_zeros(saved, photographs):
    outputs = run(saved, "image_tensor", photographs.pixels)
    counts = outputs["num_detections"].astype(int)
    assert 0 < counts.min() < 40
    # Raw is before clipping.
    assert outputs["raw_detection_boxes"].min() < 0
    for row, count in enumerate(counts):
        kept = {
            name: outputs[name][row, :count].astype(np.int64)
            for name in ("detection_classes", "detection_anchor_indices")
        }
        anchors, classes = kept["detection_anchor_indices"], kept["detection_classes"]
        multiclass = outputs["detection_multiclass_scores"][row]
        raw_boxes = outputs["raw_detection_boxes"][row, anchors]
        raw_scores = outputs["raw_detection_scores"][row, anchors]
        np.testing.assert_array_equal(multiclass[:count], raw_scores)
        np.testing.assert_allclose(multiclass[:count].sum(axis=1), 1, rtol=1e-5)
        scores = outputs["detection_scores"][row]
        np.testing.assert_array_equal(scores[:count], raw_scores[np.arange(count), classes])
        boxes = outputs["detection_boxes"][row]
        np.testing.assert_array_equal(boxes[:count], raw_boxes.clip(0, 1))
        for name, value in outputs.items():
            if name.startswith("detection_"):
                assert not value[row, count:].any(), name


def test_a_batch_without_images_has_no_rows(saved):
    outputs = run(saved, "image_tensor", np.zeros([0, 20, 20, 3], np.uint8))
    assert outputs["detection_boxes"].shape == (0, 40, 4)
    assert outputs["num_detections"].shape == (0,)


def _png_header(height, width):
    return (
        b"\x89PNG\r\n\x1a\n"
        + b"\0\0\0\rIHDR"
        + width.to_bytes(4, "big")
        + height.to_bytes(4, "big")
    )


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda files: b"", "neither a JPEG nor a PNG"),
        (lambda files: b"GIF89a" + bytes(40), "neither a JPEG nor a PNG"),
        (lambda files: files.jpegs[0][: len(files.jpegs[0]) // 2], "Invalid JPEG data"),
        (lambda files: files.jpegs[0][:20], "Invalid JPEG data"),
        (lambda files: files.pngs[0][: len(files.pngs[0]) // 2], "Invalid PNG"),
        (lambda files: _png_header(20_000, 20_000), "must have 1 to 100000000 pixels"),
        (lambda files: _png_header(2**31 + 5, 2**31 + 5), "must have 1 to 100000000 pixels"),
        (lambda files: _png_header(0, 5), "must have 1 to 100000000 pixels"),
        (lambda files: b"\x89PNG\r\n\x1a\n", "must have 1 to 100000000 pixels"),
    ],
)
def test_damaged_files_are_refused_in_plain_words(saved, photographs, damage, words):
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        run(saved, "encoded", [photographs.jpegs[0], damage(photographs)])


def test_a_record_without_an_image_is_refused(saved):
    with pytest.raises(tf.errors.InvalidArgumentError, match="image/encoded"):
        run(saved, "tf_example", [tf.train.Example().SerializeToString()])
