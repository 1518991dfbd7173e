"""The loop in the graph: one trace, exact sums, waiting time, the first bad step."""

import math
import time

import pytest
import tensorflow as tf

from ssd_tfrecord.training.runner import METRICS, StepRunner


@pytest.fixture(params=["one replica", "two replicas"])
def strategy(request):
    if request.param == "one replica":
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )


def batches(wait=0.0):
    """Endless batches of two: [0, 1], [2, 3], …; each takes ``wait`` seconds to make."""

    def delayed(value):
        time.sleep(wait)
        return value

    dataset = tf.data.Dataset.range(1000)
    if wait:
        dataset = dataset.map(lambda i: tf.ensure_shape(tf.py_function(delayed, [i], tf.int64), []))
    return dataset.batch(2, drop_remainder=True).map(lambda i: {"indices": i}).repeat()


def counting_step(traces, *, bad=-1, seconds=0.0):
    """A step whose loss is the sum of its global batch's indices; not finite at index ``bad``."""

    def step(batch):
        traces.append(1)
        context = tf.distribute.get_replica_context()
        total = tf.reduce_sum(tf.cast(batch["indices"], tf.float32))
        worst = tf.reduce_sum(tf.cast(batch["indices"] == bad, tf.float32))
        total, worst = context.all_reduce("SUM", [total, worst])
        if seconds:
            total = tf.numpy_function(lambda x: (time.sleep(seconds), x)[1], [total], tf.float32)
            total = tf.ensure_shape(total, [])
        return dict.fromkeys(METRICS, total) | {"finite": 1.0 - worst}

    return step


def test_steps_run_on_from_call_to_call_with_one_trace(strategy):
    traces = []
    runner = StepRunner(counting_step(traces), batches(), strategy)
    first = runner.run(3)
    # 0 + 1, 2 + 3, 4 + 5; then 6 + 7.
    assert (first.num_steps, first.finite, first.sums["loss"]) == (3, True, 15.0)
    assert runner.run(1).sums["box_loss"] == 13.0
    for num_steps in (2, 5, 1):
        runner.run(num_steps)
    assert len(traces) == strategy.num_replicas_in_sync


def test_first_bad_step_ends_the_call(strategy):
    runner = StepRunner(counting_step([], bad=5), batches(), strategy)
    result = runner.run(10)
    assert (result.num_steps, result.finite) == (3, False)


def test_skipped_step_leaves_the_gradient_norms_of_the_others(strategy):
    step = counting_step([])

    def skipping_step(batch):
        metrics = step(batch)
        overflow = tf.equal(metrics["loss"], 5.0)  # 2 + 3, the second of three
        return metrics | {"gradient_norm": tf.where(overflow, math.inf, 7.0)}

    result = StepRunner(skipping_step, batches(), strategy).run(3)
    assert (result.num_steps, result.finite) == (3, True)
    assert (result.sums["gradient_norm"], result.sums["loss"]) == (14.0, 15.0)


def test_waiting_is_measured_and_working_is_not():
    one = tf.distribute.get_strategy()
    waiting = StepRunner(counting_step([]), batches(wait=0.01), one)
    assert waiting.run(10).waited > 0.15  # 20 elements of 10 ms
    prefetched = batches().prefetch(4)
    working = StepRunner(counting_step([], seconds=0.02), prefetched, one)
    assert working.run(10).waited < 0.1  # of 0.2 s
