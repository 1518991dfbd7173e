"""Steps on two replicas: which are measured, what is left out of them, known times."""

import time

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.benchmark import replica_cost, step_cost
from ssd_tfrecord.config import BenchmarkConfig
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.devices.strategy import create_strategy
from ssd_tfrecord.options import DeviceOptions, ModelOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training.runner import LAST, METRICS


def config(**changes):
    settings = {"only": "model", "batch_size": 6, "num_rounds": 3, "num_steps": 2}
    settings |= {"devices": DeviceOptions(num_virtual_devices=2)}
    return BenchmarkConfig(**(settings | changes))


def slow_step(image=0.0, exchange=0.0, seen=None):
    """Sleeps for each image of a replica, and once more where a sum over the replicas is one."""

    def rest(images, total):
        time.sleep(image * len(images) + exchange * (total > 1.0))
        if seen is not None:
            seen.append((len(images), float(total)))
        return np.float32(0)

    def step(batch, stop):
        context = tf.distribute.get_replica_context()
        total = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.constant(1.0))
        loss = tf.numpy_function(rest, [batch.images, total], tf.float32)
        loss = tf.ensure_shape(loss, [])
        return dict.fromkeys((*METRICS, *LAST), loss) | {"finite": 1.0 + loss, "stop": stop}

    return step


def measure(settings, step, monkeypatch, source=None):
    monkeypatch.setattr(step_cost, "make_step", lambda *_: step)
    strategy = create_strategy(settings.devices)
    return replica_cost.measure_replicas(settings, 3, strategy, source)


def test_known_times_of_a_step_and_of_what_is_left_out(monkeypatch):
    # 10 ms an image, 100 ms to exchange; a busy machine may take longer, not shorter.
    found = measure(config(), slow_step(0.01, 0.1), monkeypatch)
    assert found.whole > 130
    assert found.single > 130
    assert 30 < found.apart < found.whole - 50
    assert 10 < found.small < found.whole - 70
    assert found.fed == found.whole
    assert found.rates["images_per_s"] == pytest.approx(6000 / found.whole)


def test_each_work_sees_its_images_with_and_without_sums(monkeypatch):
    seen = []
    measure(config(num_rounds=1), slow_step(seen=seen), monkeypatch)
    # Two rounds of two steps on two replicas: whole and single, then apart and small.
    one_round = [(3, 2.0)] * 8 + [(3, 1.0)] * 4 + [(1, 1.0)] * 4
    assert seen == one_round * 2


def test_sums_are_back_after_an_error():
    before = tf.distribute.ReplicaContext.all_reduce
    with pytest.raises(KeyError), replica_cost._no_sums():
        assert tf.distribute.ReplicaContext.all_reduce is not before
        raise KeyError
    assert tf.distribute.ReplicaContext.all_reduce is before


def test_real_input_gives_the_rates(tiny_records, monkeypatch):
    settings = config(num_rounds=1, records=(str(tiny_records),))
    source = RecordReader([Manifest.load(tiny_records)])
    found = measure(settings, slow_step(0.002), monkeypatch, source)
    assert found.fed == pytest.approx(6000 / found.rates["images_per_s"])
    assert found.fed != found.whole
    assert 0 <= found.rates["data_wait"] <= 1


@pytest.mark.soak
@pytest.mark.parametrize("backbone", ["toy", "mobilenet_v2"])
def test_network_trains_without_sums_too(backbone):
    small = ModelOptions(backbone=backbone, backbone_weights="none")
    settings = config(num_rounds=1, batch_size=4, model=small)
    strategy = create_strategy(settings.devices)
    found = replica_cost.measure_replicas(settings, 3, strategy)
    assert 0 < found.small < found.whole
