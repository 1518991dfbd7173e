"""Small sets of objects and detections to score: built from pixels, drawn, kept, and judged."""

import contextlib
import io
import pathlib

import numpy as np
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.evaluation.files.coco_rows import result_rows, truth_rows
from ssd_tfrecord.evaluation.overlaps import find_overlaps
from ssd_tfrecord.evaluation.scored_set import Found, Objects, ScoredSet, score_set

_KEPT = pathlib.Path(__file__).parent / "kept" / "evaluation"
# A box of one step is as large as the largest small object, one of three as the largest medium one.
_STEP = 32
_STEPS = 4
_SIZE = _STEP * _STEPS


def truth(pixels, *, labels=None, difficult=None, crowd=None, areas=None, source_id="a", size=100):
    """The objects of a square image of ``size`` pixels, from [xmin, ymin, xmax, ymax]."""
    count = len(pixels)
    return GroundTruth(
        source_id,
        size,
        size,
        _fractions(pixels, size),
        np.int32(labels if labels is not None else [1] * count),
        np.array(difficult if difficult is not None else [False] * count, bool),
        np.array(crowd if crowd is not None else [False] * count, bool),
        np.float32(areas if areas is not None else [0] * count),
    )


def found(pixels, scores, *, labels=None, source_id="a", size=100):
    """Detections of such an image."""
    labels = np.int32(labels if labels is not None else [1] * len(pixels))
    return Detections(source_id, size, size, _fractions(pixels, size), np.float32(scores), labels)


def arrays(truths, detections, num_classes):
    """The set as the metrics take it: (scored, overlaps)."""
    scored = score_set(truths, detections, [f"class {index}" for index in range(num_classes)])
    return scored, find_overlaps(scored)


def kept(name):
    """A reference set of another project, see NOTICE.txt there: (scored, overlaps)."""
    with np.load(_KEPT / f"{name}.npz") as file:
        content = dict(file)
    images = content["object_images"].astype(np.int64), content["found_images"].astype(np.int64)
    labels = [content[f"{kind}_labels"].astype(np.int32) for kind in ("object", "found")]
    boxes = [content[f"{kind}_boxes"] / 1000 for kind in ("object", "found")]
    nothing = np.zeros(len(labels[0]), bool)
    areas = content["object_areas"].astype(np.float64)
    num_images = 1 + max(part.max() for part in images)
    scored = ScoredSet(
        tuple(str(index) for index in range(num_images)),
        np.full([num_images, 2], 1000),
        tuple(str(index) for index in range(max(part.max() for part in labels))),
        Objects(images[0], boxes[0], labels[0], nothing, content["object_crowd"], areas),
        Found(images[1], boxes[1], labels[1], content["found_scores"]),
    )
    return scored, find_overlaps(scored)


def _fractions(pixels, size):
    boxes = np.float64(pixels).reshape(-1, 4)[:, [1, 0, 3, 2]] / size
    return boxes.astype(np.float32)


# Few values, as equal scores, equal IoUs and areas on limits are where implementations differ.
_EDGES = st.tuples(st.integers(0, _STEPS), st.integers(0, _STEPS)).map(sorted)
_BOXES = st.tuples(_EDGES, _EDGES).map(
    lambda edges: [low for low, _ in edges] + [high for _, high in edges]
)
_AREAS = st.sampled_from([0, 0, 500, 32**2, 96**2])


@st.composite
def _detections(draw, objects, labels):
    """(box, label, score): most with the class of an object, and on it or beside it."""
    box, label = draw(_BOXES), draw(labels)
    if objects and draw(st.integers(0, 4)):
        box, label = draw(st.sampled_from(objects))[:2]
        edge, move = draw(st.integers(0, 3)), draw(st.sampled_from([0, -1, 1]))
        box = [*box[:edge], min(max(box[edge] + move, 0), _STEPS), *box[edge + 1 :]]
        box = [*map(min, box[:2], box[2:]), *map(max, box[:2], box[2:])]
    return box, label, draw(st.integers(1, 4)) / 4


@st.composite
def sets(draw, *, max_images=3, num_classes=2):
    """(truths, detections): ties, crowds, difficult objects, areas and boxes of 0, empty images,
    and more than a hundred detections of a class.
    """
    truths, detections = [], []
    labels = st.integers(1, num_classes)
    flags = st.sampled_from([False, False, False, True])
    for index in range(draw(st.integers(0, max_images))):
        objects = draw(st.lists(st.tuples(_BOXES, labels, _AREAS, flags, flags), max_size=5))
        boxes, *columns = zip(*objects) if objects else [()] * 5
        named = dict(zip(("labels", "areas", "difficult", "crowd"), columns))
        rows = draw(st.lists(_detections(objects, labels), max_size=7))
        rows *= draw(st.sampled_from([1, 1, 1, 40]))
        places, own, scores = zip(*rows) if rows else [()] * 3
        where = {"source_id": str(index), "size": _SIZE}
        truths.append(truth(np.multiply(boxes, _STEP), **named, **where))
        detections.append(found(np.multiply(places, _STEP), scores, labels=own, **where))
    return truths, detections


def coco_evaluation(truths, detections, ids, category_ids):
    """(COCOeval, what it printed) of pycocotools on the set."""
    rows = result_rows(detections, ids, category_ids)
    for number, row in enumerate(rows, start=1):
        # As loadRes() does, which fails where nothing is detected.
        row.update(id=number, area=row["bbox"][2] * row["bbox"][3], iscrowd=0)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        judge = COCOeval(
            _dataset(truth_rows(truths, ids, category_ids), ids, category_ids),
            _dataset(rows, ids, category_ids),
            "bbox",
        )
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge, printed.getvalue()


def _dataset(annotations, ids, category_ids):
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image_id} for image_id in ids],
        "categories": [{"id": category} for category in category_ids],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco
