"""The step that is measured: synthetic batches as the pipeline's, figures of known steps."""

import time

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.benchmark import step_cost
from ssd_tfrecord.config import BenchmarkConfig
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.devices.strategy import create_strategy
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import DeviceOptions, ModelOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training.runner import LAST, METRICS, StepRunner
from ssd_tfrecord.training.stopping import teardown


def config(**changes):
    settings = {"only": "model", "batch_size": 2, "num_rounds": 3, "num_steps": 5}
    return BenchmarkConfig(**(settings | changes))


def burning_step(cpu=0.0, sleep=0.0, finite=1.0):
    def burn(images):
        end = time.thread_time() + cpu
        while time.thread_time() < end:
            pass
        time.sleep(sleep)
        return np.float32(0)

    def step(batch, stop):
        loss = tf.ensure_shape(tf.numpy_function(burn, [batch.images], tf.float32), [])
        return dict.fromkeys((*METRICS, *LAST), loss) | {"finite": finite + loss, "stop": stop}

    return step


def test_synthetic_batch_is_like_the_pipelines(tiny_records):
    settings = config(records=(str(tiny_records),))
    real = step_cost.real_batches(
        settings, RecordReader([Manifest.load(tiny_records)])
    ).element_spec
    made = step_cost.synthetic_batches(300, 2, 3)
    assert type(made.element_spec) is type(real)
    for name, spec, other in zip(real._fields, made.element_spec, real):
        assert (spec.dtype, spec.shape.rank) == (other.dtype, other.shape.rank), name
    first, again = made.take(2).as_numpy_iterator()
    for one, other in zip(first, again):
        np.testing.assert_array_equal(one, other)
    boxes, labels = first.boxes[:, :3], first.labels
    assert (boxes[..., :2] < boxes[..., 2:]).all()
    assert boxes.min() >= 0 and boxes.max() <= 1
    assert labels[:, :3].min() >= 1 and labels.max() <= 3
    assert not first.boxes[:, 3:].any() and not labels[:, 3:].any()


def test_known_cost_and_rate_of_a_step():
    one = tf.distribute.get_strategy()
    batches = step_cost.synthetic_batches(300, 2, 3)
    # 40 ms of CPU and 60 ms asleep for two images; a busy machine may take longer, not shorter.
    teardown.release()
    found = step_cost.measure_steps(config(), burning_step(0.04, 0.06), batches, one)
    # Its iterator could take a minute to be destroyed: that is left to the end of the process.
    assert [type(each) for each in teardown._spared] == [StepRunner]
    assert found["cpu_ms_per_image"] == pytest.approx(20, rel=0.2)
    assert 5 < found["images_per_s"] < 20
    assert found["data_wait"] < 0.1


def test_waiting_for_data_is_a_share_of_the_time():
    def late(batch):
        wait = tf.numpy_function(lambda: (time.sleep(0.03), np.int64(0))[1], [], tf.int64)
        return batch._replace(indices=batch.indices + wait)

    batches = step_cost.synthetic_batches(300, 2, 3).map(late)
    step = burning_step(sleep=0.01)
    found = step_cost.measure_steps(config(), step, batches, tf.distribute.get_strategy())
    # A batch takes 30 ms, of which the step of the one before hides up to 10.
    assert 0.5 < found["data_wait"] < 0.95


def test_loss_that_is_not_finite_is_no_measurement():
    batches = step_cost.synthetic_batches(300, 2, 3)
    with pytest.raises(InputError, match=r"^--learning_rate=0\.001: a loss or its gr"):
        step_cost.measure_steps(
            config(), burning_step(finite=0.0), batches, tf.distribute.get_strategy()
        )


def test_every_replica_takes_its_part_of_the_batch():
    settings = config(num_rounds=1, devices=DeviceOptions(num_virtual_devices=2))
    shapes = []

    def counted(batch, stop):
        shapes.append(batch.images.shape)
        return burning_step()(batch, stop)

    batches = step_cost.synthetic_batches(300, 2, 3)
    step_cost.measure_steps(settings, counted, batches, create_strategy(settings.devices))
    assert shapes == [(1, 300, 300, 3)] * 2


def test_step_is_the_one_of_training():
    small = ModelOptions(backbone="toy", backbone_weights="none")
    settings = config(num_rounds=1, num_steps=1, model=small)
    one = tf.distribute.get_strategy()
    step = step_cost.make_step(settings, 3, one)
    given = []

    def watched(batch, stop):
        given.append(step(batch, stop))
        return given[-1]

    batches = step_cost.synthetic_batches(300, 2, 3)
    found = step_cost.measure_steps(settings, watched, batches, one)
    assert set(given[0]) == {*METRICS, *LAST, "finite", "stop"}
    assert found["cpu_ms_per_image"] > 5
