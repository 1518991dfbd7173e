"""The parts of a step: they add up to it, and stand beside a peer of known cost."""

import contextlib

import pytest
import tensorflow as tf

from ssd_tfrecord.benchmark import rounds, step_cost, step_parts, table
from ssd_tfrecord.benchmark.peers import peer_process
from ssd_tfrecord.benchmark.peers.peer_process import Peer
from ssd_tfrecord.config import BenchmarkConfig
from ssd_tfrecord.options import ModelOptions

SMALL = ModelOptions(backbone="toy", backbone_weights="none", input_size=64)
FACTS = {"torch": "2", "torchvision": "0", "threads": 2, "multiply_adds": 0.5}


class Known(Peer):
    """Each turn costs 20 ms an image more than the one before it."""

    def run(self, work, count):
        turns = self.costs.setdefault(work, [])
        turns.append({"cpu_ms": 40.0 * count * len(turns), "wall_ms": 1.0})


def measure(monkeypatch, peer, *, found):
    settings = BenchmarkConfig(
        only="model", batch_size=2, num_rounds=3, num_steps=2, model=SMALL, peer=peer
    )
    made = step_cost.make_learner(settings, 3, tf.distribute.get_strategy())
    batch = next(iter(step_cost.synthetic_batches(64, 2, 3)))
    monkeypatch.setattr(peer_process, "started", lambda *_, **__: contextlib.nullcontext(found))
    return step_parts.measure_parts(settings, made, batch, 3)


def test_parts_are_those_of_the_step_and_a_peer_has_its_figures(monkeypatch):
    given = {}
    measured = rounds.measure

    def kept(works, num_rounds):
        given.update(measured(works, num_rounds))
        return given

    monkeypatch.setattr(rounds, "measure", kept)
    found = measure(monkeypatch, "torchvision", found=Known(None, FACTS))
    parts = found["part_cpu_ms_per_image"]
    assert tuple(parts) == step_parts.PARTS
    whole = rounds.median([cost.cpu_ms / 4 for cost in given["the rest"]])
    assert sum(parts.values()) == pytest.approx(whole)
    assert sum(found["shares"].values()) == pytest.approx(1)
    # Two steps a turn; the first of the turns is not counted.
    peer = found["peers"]["torchvision"]
    assert peer["step"]["cpu_ms_per_image"] == pytest.approx(40)
    ratios = [20 * turn / (cost.cpu_ms / 4) for turn, cost in enumerate(given["the rest"], 1)]
    assert peer["step"]["speed_of_ours"] == pytest.approx(rounds.median(ratios))
    ratios = [20 * turn / (cost.cpu_ms / 4) for turn, cost in enumerate(given["inference"], 1)]
    assert peer["inference"]["speed_of_ours"] == pytest.approx(rounds.median(ratios))


def test_a_peer_that_is_not_there_is_a_line(monkeypatch):
    found = measure(monkeypatch, "torchvision", found="--peer=torchvision: not usable")
    assert found["peer_left_out"] == "--peer=torchvision: not usable"
    assert "peers" not in found


def test_each_part_does_more_than_the_one_before(monkeypatch):
    graphs = []
    real = tf.function

    def watched(function, **options):
        graphs.append(function)
        return real(function, **options)

    settings = BenchmarkConfig(only="model", batch_size=2, num_rounds=1, num_steps=1, model=SMALL)
    made = step_cost.make_learner(settings, 3, tf.distribute.get_strategy())
    batch = next(iter(step_cost.synthetic_batches(64, 2, 3)))
    monkeypatch.setattr(step_parts.tf, "function", watched)
    works = step_parts._works(settings, made, batch)
    assert tuple(works) == (*step_parts.PARTS, "inference")
    images = tf.zeros([2, 64, 64, 3])
    targets = {
        "boxes": tf.zeros([2, len(made.anchors), 4]),
        "labels": tf.ones([2, len(made.anchors)], tf.int64),
    }
    counts = []
    for function in graphs[1:4]:
        graph = real(function, autograph=False).get_concrete_function(images, targets).graph
        counts.append(len(graph.outputs))
    # The loss; a gradient that needs those of all maps; those of all weights. What no result needs
    # is not computed.
    assert counts == [1, 1, len(made.model.trainable_variables)]
    assert counts[2] > 4


def test_the_text_has_a_row_for_each_part_and_for_the_peer():
    row = {"cpu_ms_per_image": 20.0, "speed_of_ours": 1.25, "speed_spread": 0.02}
    found = {
        "part_cpu_ms_per_image": {"forward": 4.0, "the rest": 1.0},
        "shares": {"forward": 0.8, "the rest": 0.2},
        "inference": {"cpu_ms_per_image": 3.0},
        "peers": {
            "torchvision": {
                "facts": FACTS,
                "step": row | {"speed_per_multiply_add": 2.5},
                "inference": row,
            }
        },
    }
    lines = table._step_lines(found)
    assert [line.split()[-1] for line in lines[:2]] == ["80.0%", "20.0%"]
    assert lines[2].split()[:2] == ["inference", "3.000"]
    assert lines[3] == "  torchvision 0 (torch 2, 2 threads, 0.50 GMAC an image)"
    assert lines[4].endswith(
        "20.000 CPU ms/image   ours is 1.25 ±2.0% times as fast, 2.50 times for the same GMAC"
    )
    assert lines[5].endswith("ours is 1.25 ±2.0% times as fast")
    assert table._step_lines({"peer_left_out": "none"}) == ["  none"]
