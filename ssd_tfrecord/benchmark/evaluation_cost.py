"""What the metrics of a set cost in CPU time, beside other implementations of COCO's."""

import contextlib
import functools
import importlib
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ssd_tfrecord.benchmark import rounds
from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.evaluation.average_precision import average_precisions
from ssd_tfrecord.evaluation.coco_metrics import METRICS, coco_metrics
from ssd_tfrecord.evaluation.files.coco_rows import result_rows, truth_rows
from ssd_tfrecord.evaluation.overlaps import find_overlaps
from ssd_tfrecord.evaluation.scored_set import score_set

# As in COCO val2017: the size of images, objects per image, and the share of crowds.
_HEIGHT, _WIDTH = 480, 640
_MEAN_OBJECTS = 7.3
_CROWDS = 0.01
NUM_CLASSES = 80
# Detections per image, and how many of them lie on each object.
NUM_DETECTIONS = 100
_NUM_NEAR = 4
# Measured where they are installed: module -> names of its data set and of its evaluation.
_PEERS = {"hotcoco": ("COCO", "COCOeval"), "faster_coco_eval": ("COCO", "COCOeval_faster")}


def measure_evaluation(*, num_images: int, num_rounds: int, seed: int) -> dict[str, Any]:
    """CPU milliseconds per image (user + system of the whole process) of metrics.

    Ours start from the detections in memory; the peers from rows as they stand in JSON files, which
    is what they take. All take turns; each figure is the median over the turns.

    Args:
        num_images: I, with about 7 objects and 100 detections each, of 80 classes.
        num_rounds: turns that are counted, after one that is not.
        seed: of boxes, classes and scores.

    Returns:
        ``images``; ``part_scored_set``, ``part_overlaps``, ``part_coco``, ``part_voc``, ``coco``
        (all that COCO's twelve numbers need): {cpu_ms_per_image, cpu_ms_spread}; ``peers``: {name:
        the same, ``ratio_to_coco``, and ``difference``, the largest between their numbers and
        ours}.
    """
    truths, detections = draw_set(num_images, seed)
    names, ids = [str(label) for label in range(NUM_CLASSES)], range(NUM_CLASSES)
    scored = score_set(truths, detections, names)
    overlaps = find_overlaps(scored)

    def coco() -> list[float]:
        own = score_set(truths, detections, names)
        numbers, _ = coco_metrics(own, find_overlaps(own), ids)
        return [-1.0 if value is None else value for value in numbers.values()]

    peers = _peers(truths, detections)
    costs = rounds.measure(
        {
            "part_scored_set": lambda: score_set(truths, detections, names),
            "part_overlaps": lambda: find_overlaps(scored),
            "part_coco": lambda: coco_metrics(scored, overlaps, ids),
            "part_voc": lambda: average_precisions(scored, overlaps),
            "coco": coco,
            **peers,
        },
        num_rounds,
    )
    cpu = {name: [cost.over(num_images).cpu_ms for cost in own] for name, own in costs.items()}
    rows = {
        name: {"cpu_ms_per_image": rounds.median(own), "cpu_ms_spread": rounds.spread(own)}
        for name, own in cpu.items()
    }
    for name, peer in peers.items():
        rows[name] |= {
            "ratio_to_coco": rounds.median(np.divide(cpu[name], cpu["coco"])),
            "difference": float(np.max(np.abs(np.subtract(peer(), coco())))),
        }
    ours = {name: row for name, row in rows.items() if name not in peers}
    return {"images": num_images, **ours, "peers": {name: rows[name] for name in peers}}


def draw_set(num_images: int, seed: int) -> tuple[list[GroundTruth], list[Detections]]:
    """Objects as in COCO, and detections, the best first, of which 4 are on each object.

    Args:
        num_images: I.
        seed: of all that is drawn.
    """
    random = np.random.default_rng(seed)
    images = [_draw_image(random, str(index)) for index in range(num_images)]
    return [truth for truth, _ in images], [found for _, found in images]


def _draw_image(random: np.random.Generator, name: str) -> tuple[GroundTruth, Detections]:
    count = random.poisson(_MEAN_OBJECTS)
    boxes = _draw_boxes(random, count)
    # A few classes have most of the objects.
    labels = (1 + random.zipf(1.5, count) % NUM_CLASSES).astype(np.int32)
    crowd = random.random(count) < _CROWDS
    areas = np.zeros(count, np.float32)
    truth = GroundTruth(name, _HEIGHT, _WIDTH, boxes, labels, crowd & False, crowd, areas)

    near = np.repeat(np.arange(count), _NUM_NEAR)[:NUM_DETECTIONS]
    num_far = NUM_DETECTIONS - len(near)
    moved = np.clip(boxes[near] + random.normal(0, 0.02, [len(near), 4]), 0, 1)
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2])
    scores = np.concatenate([random.beta(4, 3, len(near)), random.beta(1, 6, num_far)])
    own = random.integers(1, NUM_CLASSES + 1, NUM_DETECTIONS, np.int32)
    # Four of five detections of an object have its class.
    right = np.flatnonzero(random.random(len(near)) < 0.8)
    own[right] = labels[near[right]]
    order = np.argsort(-scores)
    everywhere = np.concatenate([moved, _draw_boxes(random, num_far)]).astype(np.float32)
    found = Detections(
        name, _HEIGHT, _WIDTH, everywhere[order], scores[order].astype(np.float32), own[order]
    )
    return truth, found


def _draw_boxes(random: np.random.Generator, count: int) -> np.ndarray:
    """Fractions, float32 [N, 4], of at least a thousandth of the image."""
    sides = np.clip(np.exp(random.normal(-2, 0.8, [count, 2])), 0.001, 1)
    low = random.uniform(0, 1 - sides)
    return np.concatenate([low, low + sides], axis=-1).astype(np.float32)


def _peers(
    truths: Sequence[GroundTruth], detections: Sequence[Detections]
) -> dict[str, Callable[[], list[float]]]:
    """{name: function that computes COCO's twelve numbers} of pycocotools and what is installed."""
    image_ids, categories = range(len(truths)), range(NUM_CLASSES)
    instances = {
        "images": [{"id": index, "height": _HEIGHT, "width": _WIDTH} for index in image_ids],
        "categories": [{"id": index, "name": str(index)} for index in categories],
        "annotations": truth_rows(truths, image_ids, categories),
    }
    results = result_rows(detections, image_ids, categories)

    def judge(dataset: Callable[[], Any], evaluation: Callable[..., Any]) -> list[float]:
        # They print their progress and a table.
        with contextlib.redirect_stdout(io.StringIO()):
            coco = dataset()
            job = evaluation(coco, coco.loadRes(results), "bbox")
            job.evaluate()
            job.accumulate()
            job.summarize()
        return [float(value) for value in job.stats][: len(METRICS)]

    def pycocotools_set() -> COCO:
        # It takes a path or nothing.
        coco = COCO()
        coco.dataset = instances
        coco.createIndex()
        return coco

    found: dict[str, Callable[[], list[float]]] = {
        "pycocotools": functools.partial(judge, pycocotools_set, COCOeval)
    }
    for name, (dataset, evaluation) in _PEERS.items():
        with contextlib.suppress(ImportError):
            peer = importlib.import_module(name)
            own = functools.partial(getattr(peer, dataset), instances)
            found[name] = functools.partial(judge, own, getattr(peer, evaluation))
    return found
