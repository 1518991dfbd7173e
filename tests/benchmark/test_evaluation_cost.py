"""The cost of the metrics: a set like COCO's, and figures of turns whose times are known."""

import sys
import time
import tracemalloc
import types

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval
from scored_sets import coco_evaluation

from ssd_tfrecord.benchmark import evaluation_cost, rounds
from ssd_tfrecord.evaluation.metrics import compute_metrics


def test_figures_by_hand(monkeypatch):
    times = {"part_scored_set": 2, "part_overlaps": 4, "part_coco": 6, "part_voc": 8, "coco": 10}
    times |= {"pycocotools": 90, "hotcoco": 20}

    def measure(works, num_rounds):
        assert num_rounds == 3
        assert set(works) == set(times)
        return {name: [rounds.Cost(times[name] * k, 0) for k in (1, 3, 2)] for name in works}

    class Halves(COCOeval):
        def summarize(self):
            super().summarize()
            self.stats = self.stats / 2

    def dataset(instances):
        coco = evaluation_cost.COCO()
        coco.dataset = instances
        coco.createIndex()
        return coco

    for name in evaluation_cost._PEERS:
        # None: not installed.
        monkeypatch.setitem(sys.modules, name, None)
    peer = types.SimpleNamespace(COCO=dataset, COCOeval=Halves)
    monkeypatch.setitem(sys.modules, "hotcoco", peer)
    monkeypatch.setattr(rounds, "measure", measure)
    found = evaluation_cost.measure_evaluation(num_images=4, num_rounds=3, seed=0)
    assert found["images"] == 4
    assert found["part_voc"] == {"cpu_ms_per_image": 4.0, "cpu_ms_spread": 0.25}
    assert found["coco"]["cpu_ms_per_image"] == 5.0
    assert found["peers"]["pycocotools"] == {
        **{"cpu_ms_per_image": 45.0, "cpu_ms_spread": 0.25},
        **{"ratio_to_coco": 9.0, "difference": 0.0},
    }
    assert found["peers"]["hotcoco"]["ratio_to_coco"] == 2.0
    truths, detections = evaluation_cost.draw_set(4, 0)
    judge, _ = coco_evaluation(truths, detections, range(4), range(80))
    assert found["peers"]["hotcoco"]["difference"] == judge.stats.max() / 2


def test_the_set_is_like_cocos():
    truths, detections = evaluation_cost.draw_set(300, seed=1)
    assert np.mean([len(truth.labels) for truth in truths]) == pytest.approx(7.3, abs=0.5)
    for truth, found in zip(truths, detections):
        assert truth.source_id == found.source_id
        assert len(found.scores) == 100
        assert (np.diff(found.scores) <= 0).all()
        for boxes, labels in ((truth.boxes, truth.labels), (found.boxes, found.labels)):
            assert boxes.dtype == np.float32 and boxes.shape == (len(labels), 4)
            assert boxes.min(initial=0) >= 0 and boxes.max(initial=1) <= 1
            assert (boxes[:, 2:] >= boxes[:, :2]).all()
            assert labels.min(initial=1) >= 1 and labels.max(initial=80) <= 80
    # Neither all right nor all wrong, so that every part has something to do.
    metrics = compute_metrics(truths, detections, [str(label) for label in range(80)], range(80))
    assert 0.1 < metrics["coco_ap50"] < 0.7
    assert 0.02 < metrics["coco_ap75"] < 0.6


def test_ours_take_a_fifth_of_pycocotools_time_at_most():
    truths, detections = evaluation_cost.draw_set(50, seed=0)
    names = [str(label) for label in range(80)]
    judge = evaluation_cost._peers(truths, detections)["pycocotools"]
    times = []
    for work in (lambda: compute_metrics(truths, detections, names, range(80)), judge):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    # A hundredth on 5,000 images, and a twentieth on these.
    assert times[0] < times[1] / 5


def test_metrics_take_little_memory():
    truths, detections = evaluation_cost.draw_set(300, seed=0)
    names = [str(label) for label in range(80)]
    tracemalloc.start()
    try:
        compute_metrics(truths, detections, names, range(80))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A third of it, the blocks of overlaps, does not grow with the set.
    assert peak < 40e6, peak
