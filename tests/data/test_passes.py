"""A dataset that is gone through again and again: whole passes, whatever happened to the last."""

import itertools
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.data.passes import Passes, Wait
from ssd_tfrecord.detection import recorded
from ssd_tfrecord.records.manifest import Manifest


def strategies():
    yield pytest.param(tf.distribute.get_strategy, id="one replica")
    yield pytest.param(
        lambda: tf.distribute.MirroredStrategy(
            ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
        ),
        id="two replicas",
    )


def numbers(batches, strategy):
    parts = (part for batch in batches for part in strategy.experimental_local_results(batch))
    return np.concatenate([part.numpy() for part in parts]).tolist()


@pytest.mark.parametrize("strategy_fn", [*strategies()])
def test_each_round_is_the_whole_dataset(strategy_fn):
    strategy = strategy_fn()
    passes = Passes(lambda: tf.data.Dataset.range(6).batch(2), 3, strategy)
    assert len(passes) == 3
    for _ in range(3):
        assert numbers(passes, strategy) == [0, 1, 2, 3, 4, 5]


def test_the_wait_for_each_of_some_items_is_seen():
    wait, seen = Wait(), []

    def slow():
        for number in range(3):
            seen.append(wait.seconds() > 0)
            yield number

    for number in wait.items(slow()):
        assert wait.seconds() == 0.0
        seen.append(number)
    assert seen == [True, 0, True, 1, True, 2]
    assert wait.seconds() == 0.0


@pytest.mark.parametrize("given_up_after", [0, 1, 2])
def test_a_round_that_is_given_up_is_not_continued(given_up_after):
    strategy = tf.distribute.get_strategy()
    passes = Passes(lambda: tf.data.Dataset.range(6).batch(2), 3, strategy)
    assert numbers(passes, strategy) == [0, 1, 2, 3, 4, 5]
    given_up = iter(passes)
    assert len(list(itertools.islice(given_up, given_up_after))) == given_up_after
    del given_up
    assert numbers(passes, strategy) == [0, 1, 2, 3, 4, 5]


def test_a_round_after_an_error_begins_anew():
    broken = tf.Variable(False)
    dataset = tf.data.Dataset.range(6).map(
        lambda n: tf.debugging.check_numerics(tf.where(broken & (n == 3), np.nan, 1.0), "x")
    )
    passes = Passes(lambda: dataset.batch(2), 3, tf.distribute.get_strategy())
    assert len(list(passes)) == 3
    broken.assign(True)
    for _ in range(2):
        with pytest.raises(tf.errors.InvalidArgumentError):
            # Batches that were ready before are still good.
            for _ in range(3):
                list(passes)
    broken.assign(False)
    assert len(list(passes)) == 3


def test_a_wait_is_seen_from_another_thread():
    wait, gate = Wait(), threading.Event()

    def late():
        gate.wait(timeout=60)
        yield 7

    results = []
    thread = threading.Thread(target=lambda: results.append(wait.next(late())))
    thread.start()
    deadline = time.monotonic() + 60
    while wait.seconds() < 0.05:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    gate.set()
    thread.join(timeout=60)
    assert results == [7] and wait.seconds() == 0


def test_no_end_of_a_pass_waits_for_what_tunes_it(tiny_records, monkeypatch):
    """The thread cannot be seen, and lets an iterator wait only now and then: see ``untuned``."""
    begun = []
    real = tf.data.Dataset.__iter__

    def begin(dataset):
        begun.append(dataset.options().autotune.enabled)
        return real(dataset)

    monkeypatch.setattr(tf.data.Dataset, "__iter__", begin)
    strategy = tf.distribute.get_strategy()
    passes = Passes(lambda: tf.data.Dataset.range(6).batch(2), 3, strategy)
    assert numbers(passes, strategy) == [0, 1, 2, 3, 4, 5]
    manifest = Manifest.load(tiny_records)
    assert len(recorded.read_ground_truths(manifest)) == 6
    assert len(recorded.read_file_names(manifest)) == 6
    assert begun == [False, False, False]
