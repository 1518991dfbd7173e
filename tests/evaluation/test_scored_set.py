"""Lists of images as flat arrays."""

import numpy as np
import pytest
from scored_sets import found, truth

from ssd_tfrecord.detection.detections import pixel_boxes
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.evaluation.scored_set import score_set


def test_boxes_lie_one_after_another_and_know_their_image():
    truths = [
        truth([[0, 0, 10, 20], [5, 5, 6, 7]], labels=[2, 1], difficult=[False, True]),
        truth([], source_id="b"),
        truth([[0, 0, 30, 30]], crowd=[True], areas=[12.5], source_id="c", size=60),
    ]
    detections = [
        found([], []),
        found([[1, 2, 3, 4]], [0.5], labels=[2], source_id="b"),
        found([[0, 0, 6, 3]], [0.25], source_id="c", size=60),
    ]
    scored = score_set(truths, detections, ["cat", "dog"])
    assert (scored.num_images, scored.num_classes) == (3, 2)
    assert scored.source_ids == ("a", "b", "c")
    assert scored.sizes.tolist() == [[100, 100], [100, 100], [60, 60]]
    objects = scored.objects
    assert objects.image.tolist() == [0, 0, 2]
    assert objects.boxes.tolist() == [[0, 0, 20, 10], [5, 5, 7, 6], [0, 0, 30, 30]]
    assert objects.labels.tolist() == [2, 1, 1]
    assert objects.difficult.tolist() == [False, True, False]
    assert objects.crowd.tolist() == [False, False, True]
    assert objects.ignored.tolist() == [False, True, True]
    assert objects.areas.tolist() == [0, 0, 12.5]
    assert scored.found.image.tolist() == [1, 2]
    assert scored.found.boxes.tolist() == [[2, 1, 4, 3], [0, 0, 3, 6]]
    assert scored.found.labels.tolist() == [2, 1]
    assert scored.found.scores.tolist() == [0.5, 0.25]


def test_pixels_are_those_of_the_files_of_results():
    rng = np.random.default_rng(0)
    boxes = np.sort(rng.uniform(0, 640, [100, 2, 2]), axis=1).reshape(-1, 4)
    image = found(boxes, np.ones(100), size=640)
    scored = score_set([truth([], size=640)], [image], ["cat"])
    np.testing.assert_array_equal(scored.found.boxes, pixel_boxes(image.boxes, 640, 640))


def test_no_images_and_empty_images():
    for scored in (score_set([], [], ["cat"]), score_set([truth([])], [found([], [])], ["cat"])):
        assert scored.objects.boxes.shape == scored.found.boxes.shape == (0, 4)
        assert scored.objects.labels.dtype == scored.found.labels.dtype == np.int32
        assert scored.objects.image.dtype == scored.found.image.dtype == np.int64
        assert scored.sizes.shape == (scored.num_images, 2)


@pytest.mark.parametrize("source_ids", [["b"], ["a", "b"], []])
def test_other_images_are_an_error(source_ids):
    detections = [found([], [], source_id=name) for name in source_ids]
    message = f"1 ground truths and {len(source_ids)} detections: must belong to the same images"
    with pytest.raises(InputError, match=message):
        score_set([truth([])], detections, ["cat"])


@pytest.mark.parametrize("label", [0, -1, 3])
def test_a_label_without_a_name_is_an_error(label):
    boxes = [[0, 0, 10, 20]] * 2
    pairs = [
        (truth(boxes, labels=[1, label]), found([], [])),
        (truth([]), found(boxes, [0.5, 0.4], labels=[2, label])),
    ]
    for one, other in pairs:
        message = f"image a: label {label}; must be from 1 to 2, the number of class names"
        with pytest.raises(InputError, match=message):
            score_set([one], [other], ["cat", "dog"])
