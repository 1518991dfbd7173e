"""Sets and detections made from numbers, for files to be written of and read back."""

import numpy as np
import pytest

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.evaluation.annotated_set import AnnotatedSet
from ssd_tfrecord.evaluation.image_ids import image_ids as ids_of


@pytest.fixture(scope="session")
def make_set():
    """Makes the AnnotatedSet of ground truths."""

    def make(truths, class_names, original_ids=None, *, image_ids=None, files=None, name="test"):
        return AnnotatedSet(
            name=name,
            where="made",
            digest="",
            class_names=tuple(class_names),
            original_ids=tuple(original_ids or range(1, len(class_names) + 1)),
            truths=list(truths),
            image_ids=image_ids or ids_of([truth.source_id for truth in truths]),
            file_names=files or [""] * len(truths),
            read_images=None,
        )

    return make


@pytest.fixture(scope="session")
def make_scene():
    """Makes an image's objects, of three classes, and detections near them.

    Scores tie often, within and across images, unless ``ties`` is False.
    """

    def make(rng, source_id, *, ties=True, height=120, width=200):
        count = rng.integers(0, 6)
        low = rng.uniform(0, 0.6, [count, 2])
        boxes = np.concatenate([low, low + rng.uniform(0.05, 0.4, [count, 2])], axis=-1)
        labels = rng.integers(1, 4, count)
        truth = GroundTruth(
            source_id,
            height,
            width,
            boxes.astype(np.float32),
            np.int32(labels),
            rng.random(count) < 0.3,
            rng.random(count) < 0.2,
            np.float32(rng.choice([0.0, 500.5, 3000.25], count)),
        )
        near = np.clip(np.repeat(boxes, 2, axis=0) + rng.normal(0, 0.03, [2 * count, 4]), 0, 1)
        near[:, 2:] = np.maximum(near[:, :2], near[:, 2:])
        scores = rng.integers(1, 4, 2 * count) / 4 if ties else rng.random(2 * count)
        scores = np.sort(scores)[::-1]
        labels = np.where(rng.random(2 * count) < 0.8, np.repeat(labels, 2), 1)
        found = Detections(
            source_id, height, width, near.astype(np.float32), np.float32(scores), np.int32(labels)
        )
        return truth, found

    return make


@pytest.fixture(scope="session")
def assert_read_back():
    """Asserts that detections are those that were written: scores to the bit, boxes to 1/1000."""

    def check(written, found):
        for one, two in zip(written, found, strict=True):
            assert (one.source_id, one.height, one.width) == (
                two.source_id,
                two.height,
                two.width,
            )
            sides = [one.height, one.width, one.height, one.width]
            # Files of one class each say nothing of the order among classes.
            for label in np.unique([*one.labels, *two.labels]):
                old, new = one.labels == label, two.labels == label
                assert one.scores[old].tolist() == two.scores[new].tolist()
                boxes = (image.boxes.astype(float) * sides for image in (one, two))
                np.testing.assert_array_equal(
                    *(np.round(b[of], 3) for b, of in zip(boxes, (old, new)))
                )

    return check
