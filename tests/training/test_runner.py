"""The loop in the graph: one trace, exact sums, waiting time, the first bad step."""

import math
import threading
import time

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2
from tensorflow.python.eager import context

from ssd_tfrecord.training import runner as runners
from ssd_tfrecord.training.runner import LAST, METRICS, StepRunner


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

    def step(batch, stop):
        traces.append(1)
        context = tf.distribute.get_replica_context()
        total = tf.reduce_sum(tf.cast(batch["indices"], tf.float32))
        worst = tf.reduce_sum(tf.cast(batch["indices"] == bad, tf.float32))
        total, worst = context.all_reduce("SUM", [total, worst])
        if seconds:
            total = tf.numpy_function(lambda x: (time.sleep(seconds), x)[1], [total], tf.float32)
            total = tf.ensure_shape(total, [])
        metrics = dict.fromkeys((*METRICS, *LAST), total)
        return metrics | {"skipped_steps": 0.0 * total, "finite": 1.0 - worst, "stop": 0.0 * total}

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


@pytest.mark.parametrize("num_steps, told", [(10, 4), (3, 3)])
def test_a_bad_step_ends_the_call_a_step_later(strategy, num_steps, told):
    """The host does not wait for what a step has found before it starts the next."""
    runner = StepRunner(counting_step([], bad=5), batches(), strategy)
    result = runner.run(num_steps)
    assert (result.num_steps, result.finite, result.not_finite) == (told, False, (3,))
    # 0 + 1, 2 + 3 and 6 + 7: of the bad one, nothing is counted.
    assert result.sums["positives_per_image"] == (19.0 if told == 4 else 6.0)
    later = runner.run(2)
    assert (later.num_steps, later.not_finite) == (2, ())


def test_two_bad_steps_in_a_row_are_both_told(strategy):
    step = counting_step([])

    def bad_step(batch, stop):
        metrics = step(batch, stop)
        bad = tf.logical_or(tf.equal(metrics["loss"], 5.0), tf.equal(metrics["loss"], 9.0))
        return metrics | {"finite": tf.where(bad, 0.0, 1.0)}

    result = StepRunner(bad_step, batches(), strategy).run(10)
    assert (result.num_steps, result.not_finite) == (3, (2, 3))


def test_skipped_step_leaves_the_gradient_norms_of_the_others(strategy):
    step = counting_step([])

    def skipping_step(batch, stop):
        metrics = step(batch, stop)
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
    # Of 0.2 s, in a call in which no other process had the core.
    assert min(working.run(10).waited for _ in range(5)) < 0.1


def in_thread(work):
    """Runs ``work`` in another thread; returns the thread and the list that gets its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    return thread, results


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_stop_ends_a_call_after_the_step_in_hand_and_begins_no_other(strategy):
    runner = StepRunner(counting_step([], seconds=0.02), batches(), strategy)
    runner.run(1)
    thread, results = in_thread(lambda: runner.run(10**6))
    wait_for(lambda: runner.progress().num_steps > 3)
    runner.stop()
    thread.join(timeout=60)
    (result,) = results
    assert runner.progress() == runners.Progress(1 + result.num_steps, in_step=False, waiting=0.0)
    # The sum over exactly the steps that count: 2 i + 2 i + 1 of step i, from 1 on.
    count = result.num_steps
    assert result.sums["loss"] == sum(4 * i + 1 for i in range(1, count + 1))
    again = runner.run(5)
    assert (again.num_steps, again.finite) == (0, True)
    assert runner.progress().num_steps == 1 + count


def test_batch_that_comes_after_the_stop_begins_no_step(strategy):
    gate = threading.Event()

    def delayed(index):
        if index >= 4:
            gate.wait(timeout=60)
        return index

    dataset = tf.data.Dataset.range(1000).map(
        lambda i: tf.ensure_shape(tf.py_function(delayed, [i], tf.int64), [])
    )
    dataset = dataset.batch(2, drop_remainder=True).map(lambda i: {"indices": i})
    runner = StepRunner(counting_step([]), dataset, strategy)
    thread, results = in_thread(lambda: runner.run(10))
    wait_for(lambda: runner.progress().num_steps == 2 and runner.progress().waiting > 0.3)
    assert not runner.progress().in_step
    runner.stop()
    gate.set()
    thread.join(timeout=60)
    assert (results[0].num_steps, results[0].finite, results[0].sums["loss"]) == (2, True, 6.0)


def test_wait_is_counted_from_the_beginning_of_the_call_and_not_asked_for_before(monkeypatch):
    gate = threading.Event()
    dataset = tf.data.Dataset.range(2).map(
        lambda i: tf.ensure_shape(
            tf.py_function(lambda i: (gate.wait(timeout=60), i)[1], [i], tf.int64), []
        )
    )
    dataset = dataset.batch(2).map(lambda i: {"indices": i})
    runner = StepRunner(counting_step([]), dataset, tf.distribute.get_strategy())
    runner.trace()
    assert runner.waiting() == 0.0
    thread, _ = in_thread(lambda: runner.run(1))
    time.sleep(0.5)
    assert runner.waiting() == 0.0  # a short call: it is not looked at
    monkeypatch.setattr(runners, "_SHORT_SECONDS", 0.0)
    wait_for(lambda: runner.waiting() > 0.3)
    gate.set()
    thread.join(timeout=60)
    assert runner.waiting() == 0.0


def test_step_in_hand_is_seen(strategy):
    runner = StepRunner(counting_step([], seconds=0.5), batches(), strategy)
    thread, results = in_thread(lambda: runner.run(1))
    wait_for(lambda: runner.progress().in_step)
    runner.stop()
    thread.join(timeout=60)
    # A stop in the middle of a step does not take it back.
    assert results[0].num_steps == runner.progress().num_steps == 1


def test_steps_that_change_nothing_are_counted_from_call_to_call(monkeypatch):
    monkeypatch.setattr(runners, "MAX_SKIPS", 5)
    step = counting_step([])

    def skipping_step(batch, stop):
        metrics = step(batch, stop)
        # All but the second step, of loss 5.
        skipped = tf.cast(tf.not_equal(metrics["loss"], 5.0), tf.float32)
        return metrics | {"skipped_steps": skipped, "loss_scale": metrics["loss"] * 2}

    runner = StepRunner(skipping_step, batches(), tf.distribute.get_strategy())
    first = runner.run(3)
    assert (first.skips_in_a_row, first.sums["skipped_steps"]) == (1, 2.0)
    assert first.last["loss_scale"] == 18.0  # 4 + 5, the third step's loss
    second = runner.run(10)
    # The host learns a step later that there were 5.
    assert (second.num_steps, second.skips_in_a_row) == (5, 6)


def test_every_call_is_optimized_in_one_round():
    runner = StepRunner(counting_step([]), batches(), tf.distribute.get_strategy())
    runner.trace()
    call, rounds = runner._concrete, []

    def seen(*arguments):
        options = context.context().function_call_options.config_proto_serialized
        rewriting = config_pb2.ConfigProto.FromString(options).graph_options.rewrite_options
        rounds.append(rewriting.meta_optimizer_iterations)
        return call(*arguments)

    runner._concrete = seen
    runner.run(2)
    runner.run(1)  # of another kind, it would be optimized anew
    assert rounds == [rewriter_config_pb2.RewriterConfig.ONE] * 2
