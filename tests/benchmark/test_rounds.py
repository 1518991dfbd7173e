"""Costs from idle to idle: what is burnt is what is measured, alone and beside others."""

import pathlib
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.benchmark import rounds


def burning(milliseconds, batch_size=4, buffer=2):
    """Iterator over batches whose elements burn ``milliseconds`` of CPU time each, made ahead."""

    def burn(number):
        end = time.thread_time() + milliseconds / 1000
        while time.thread_time() < end:
            pass
        return number

    elements = tf.data.Dataset.range(10**6).map(
        lambda number: tf.numpy_function(burn, [number], tf.int64), tf.data.AUTOTUNE
    )
    return iter(elements.batch(batch_size).prefetch(buffer))


def taking(iterator, count):
    return lambda: [next(iterator) for _ in range(count)]


def test_known_cpu_time_is_measured_alone_and_beside_others():
    # 3 batches of 4 elements: 48 ms, and beside them 6 of 4: 240 ms, made ahead in their buffers.
    alone = rounds.measure({"light": taking(burning(4), 3)}, 3)
    works = {"light": taking(burning(4), 3), "heavy": taking(burning(10, buffer=4), 6)}
    beside = rounds.measure(works, 3)
    for costs, burnt in ((alone["light"], 48), (beside["light"], 48), (beside["heavy"], 240)):
        # Nothing is lost; what is around it costs up to 12 ms beside four busy processes.
        assert 0.8 * burnt < rounds.median([cost.cpu_ms for cost in costs]) < 1.2 * burnt + 10
        assert len(costs) == 3


def test_works_take_turns_and_the_first_round_is_not_counted():
    calls = []
    works = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    costs = rounds.measure(works, 2)
    assert "".join(calls) == "ababab"
    assert {name: len(items) for name, items in costs.items()} == {"a": 2, "b": 2}


@pytest.mark.skipif(not pathlib.Path("/proc/self/task").is_dir(), reason="Linux tells of threads")
def test_thread_that_waits_for_a_core_is_not_idle():
    burnt = threading.Event()
    thread = threading.Thread(target=lambda: [None for _ in iter(burnt.is_set, True)])
    thread.start()
    try:
        # Of two threads that want it, this one holds Python's lock: look until the other has it.
        assert any(rounds._is_kept_waiting() for _ in range(1000))
    finally:
        burnt.set()
        thread.join()
    rounds.wait_until_idle()
    assert not rounds._is_kept_waiting()


def test_wall_time_ends_with_the_work_and_not_with_the_looks_for_idleness():
    def burn():
        end = time.thread_time() + 0.1
        while time.thread_time() < end:
            pass

    (cost,) = rounds.measure({"burn": burn}, 1)["burn"]
    assert cost.cpu_ms == pytest.approx(100, rel=0.1)
    # Sleeping until idle takes 80 ms more; a busy machine may stretch the work, and a look, itself.
    assert cost.wall_ms >= 95
    found = []
    for _ in range(5):
        start = time.perf_counter()
        _, wall = rounds.wait_until_idle()
        assert time.perf_counter() - start > 0.07
        found.append(wall - start)
    assert min(found) < 0.07


def test_median_and_spread_by_hand():
    # Quartiles 2 and 4 of 1 2 3 4 10, the median 3: half of 2, over 3.
    assert rounds.median([10, 1, 3, 2, 4]) == 3
    assert rounds.spread([10, 1, 3, 2, 4]) == pytest.approx(1 / 3)
    assert rounds.spread(np.array([5.0])) == 0
    assert rounds.Cost(12, 6).over(3) == rounds.Cost(4, 2)
