"""An evaluated set: objects, detections that are mostly right, answers, and plain pictures."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.evaluation.analysis.answering import answer
from ssd_tfrecord.evaluation.evaluated_set import EvaluatedSet
from ssd_tfrecord.evaluation.overlaps import find_overlaps
from ssd_tfrecord.evaluation.scored_set import score_set

HEIGHT, WIDTH = 90, 120
METRICS = ("voc07", "voc12", "coco", "coco50", "coco75")


def read_images(images):
    """A grey picture for each."""
    for _ in images:
        yield Image.new("RGB", (WIDTH, HEIGHT), (128, 128, 128))


def _image(rng, place, num_classes, difficult):
    count = int(rng.integers(1, 5))
    low = rng.uniform(0, 0.6, (count, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.1, 0.4, (count, 2))], 1).astype(np.float32)
    labels = rng.integers(1, num_classes + 1, count).astype(np.int32)
    truth = GroundTruth(
        source_id=f"image {place}",
        height=HEIGHT,
        width=WIDTH,
        boxes=boxes,
        labels=labels,
        difficult=np.full(count, difficult),
        crowd=np.zeros(count, bool),
        area=np.zeros(count, np.float32),
    )
    # One of six is on nothing that it should be on, the others are a little off.
    moved = boxes + rng.normal(0, 0.02, boxes.shape).astype(np.float32)
    found = np.where(
        rng.uniform(size=count) < 0.85, labels, rng.integers(1, num_classes + 1, count)
    )
    extra = np.float32([[0.7, 0.7, 0.98, 0.98]])
    order = np.argsort(-(scores := np.append(rng.beta(5, 2, count), rng.beta(2, 3))))
    return truth, Detections(
        truth.source_id,
        HEIGHT,
        WIDTH,
        np.clip(np.concatenate([moved, extra]), 0, 1)[order],
        scores.astype(np.float32)[order],
        np.append(found, 1).astype(np.int32)[order],
    )


def _metrics(scored, seed):
    """Any numbers; none for a class without objects that count."""
    rng = np.random.default_rng(seed)
    counts = np.bincount(scored.objects.labels[~scored.objects.ignored], minlength=10**3)[1:]
    per_class = {
        name: {key: float(rng.uniform()) if counts[i] else None for key in METRICS}
        for i, name in enumerate(scored.class_names)
    }
    known = [entry["voc12"] for entry in per_class.values() if entry["voc12"] is not None]
    mean = float(np.mean(known)) if known else None
    return {
        "voc07_map": mean,
        "voc12_map": mean,
        "coco_ap": mean,
        "ap_per_class": per_class,
        "num_images": scored.num_images,
        "num_objects": len(scored.objects.labels),
        "step": 1200,
    }


@pytest.fixture(scope="session")
def make_set():
    """A function: class names, and what else the set is to be -> an EvaluatedSet."""

    def make(
        names, *, images=12, seed=0, detect=True, difficult=False, source_ids=None, anchors=None
    ):
        rng = np.random.default_rng(seed)
        pairs = [_image(rng, place, len(names), difficult) for place in range(images)]
        if source_ids:
            for source_id, pair in zip(source_ids, pairs):
                for item in pair:
                    object.__setattr__(item, "source_id", source_id)
        truths, detections = [truth for truth, _ in pairs], [found for _, found in pairs]
        if not detect:
            nothing = (np.zeros([0, 4], np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))
            detections = [Detections(d.source_id, HEIGHT, WIDTH, *nothing) for d in detections]
        scored = score_set(truths, detections, names)
        overlaps = find_overlaps(scored)
        return EvaluatedSet(
            name="val",
            scored=scored,
            overlaps=overlaps,
            metrics=_metrics(scored, seed),
            answers=answer(scored, overlaps, bootstrap=20, anchors=anchors),
            facts={"records": "/data/val", "checkpoint": "runs/a/checkpoints/best/ckpt-1200"},
            read_images=read_images,
        )

    return make


@pytest.fixture(scope="session")
def evaluated(make_set):
    """A set of three classes, of which the last one has no object."""
    made = make_set(("cat", "dog"))
    scored = dataclasses.replace(made.scored, class_names=("cat", "dog", "unicorn"))
    overlaps = find_overlaps(scored)
    return dataclasses.replace(
        made,
        scored=scored,
        overlaps=overlaps,
        metrics=_metrics(scored, 0),
        answers=answer(scored, overlaps, bootstrap=20),
    )


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; DROP TABLE--",
    "$\\frac{a}{b}$ and $",
    "=HYPERLINK(1)",
    "abc\u202edcba\x00\x1b[31m\n\r\t",
    "\udcff\ud800",
    "x" * 5000,
    "שלום",
    "👩‍🚀",
    "</style></title><svg onload=alert(1)>",
    "\\",
)


@pytest.fixture(scope="session")
def hostile(make_set):
    """A set in which all names are such as strangers give."""
    made = make_set(HOSTILE, images=len(HOSTILE), source_ids=HOSTILE)
    facts = {name: name for name in HOSTILE}
    return dataclasses.replace(made, name=HOSTILE[0] + HOSTILE[5], facts=facts)
