import threading
import time

import numpy as np
import pytest
from linked_workers import Background, Heard, free_port, group_of, leader_of, linked

from ssd_tfrecord.devices.cluster.messages import Message
from ssd_tfrecord.errors import WorkerLostError


def eventually(true_fn):
    end = time.monotonic() + 30
    while not true_fn():
        assert time.monotonic() < end, "never came true"
        time.sleep(0.01)


def test_all_are_told_and_answers_come_in_rank_order():
    with linked(4) as (leader, followers, heard):
        for step in range(3):
            leader.tell(Message("step", {"step": step}, {"x": np.arange(step)}))
            # The last rank answers first.
            for rank, follower in reversed(list(enumerate(followers, 1))):
                told = follower.next()
                assert (told.kind, told.values) == ("step", {"step": step})
                np.testing.assert_array_equal(told.arrays["x"], np.arange(step))
                follower.answer(Message("did", {"rank": rank, "step": step}))
            answers = [message.values for message in leader.collect()]
            assert answers == [{"rank": rank, "step": step} for rank in (1, 2, 3)]
        assert [follower.num_waiting for follower in followers] == [0, 0, 0]
        assert [worker.losses for worker in heard] == [[]] * 4
        assert heard[0].lines == []


def test_a_leader_without_followers_waits_for_nobody():
    leader = leader_of(group_of(1, free_port())[0], Heard())
    leader.tell(Message("step"))
    assert leader.collect() == []
    leader.close(Message("end"))


def test_messages_come_in_order_whatever_their_size():
    """Reports and answers of one follower, small ones behind large ones."""
    with linked(2) as (leader, (follower,), heard):
        sizes = [3_000_000, 0, 1, 1_000_000, 2]
        for size in sizes:
            leader.tell(Message("", {}, {"x": np.full(size, 7, np.uint8)}))
        for size in sizes:
            x = follower.next().arrays["x"]
            assert x.shape == (size,) and (x == 7).all()
            follower.answer(Message("", {}, {"x": x[::2]}))
            follower.report(Message("size", {"size": size}))
        for size in sizes:
            assert leader.collect()[0].arrays["x"].shape == ((size + 1) // 2,)
        eventually(lambda: len(heard[0].reports) == len(sizes))
        assert [message.values["size"] for _, message in heard[0].reports] == sizes
        assert {index for index, _ in heard[0].reports} == {1}


def test_flush_waits_until_all_is_sent():
    with linked(2) as (leader, (follower,), _):
        leader.tell(Message("", {}, {"x": np.zeros(30_000_000, np.uint8)}))
        leader.tell(Message("small"))
        leader.flush(60)
        assert leader._members[0].connection._outgoing.empty()
        assert follower.next().arrays["x"].nbytes == 30_000_000


def test_a_message_is_that_of_the_moment_it_was_told():
    with linked(2) as (leader, (follower,), _):
        array = np.zeros(100_000)
        leader.tell(Message("", {}, {"x": array}))
        array += 1
        assert not follower.next().arrays["x"].any()


def test_answers_no_longer_waited_for_are_thrown_away():
    with linked(3) as (leader, followers, _):
        leader.tell(Message("evaluate"))
        second = leader.tell(Message("save"))
        for follower in followers:
            for _ in range(2):
                follower.answer(Message(f"answer to {follower.next().kind}"))
        assert [message.kind for message in leader.collect(second)] == ["answer to save"] * 2


def test_the_last_message_is_seen_at_once_and_returned_last():
    with linked(3) as (leader, followers, heard):
        leader.tell(Message("step"))
        assert followers[0].final is None
        closing = Background(leader.close, Message("end", {"code": 4}))
        eventually(lambda: all(follower.final for follower in followers))
        for follower in followers:
            assert follower.final.values == {"code": 4}
            assert [follower.next().kind for _ in range(2)] == ["step", "end"]
            with pytest.raises(WorkerLostError, match=r"worker 0 \(.*\) has ended the run"):
                follower.next()
            follower.close()
        assert closing.error() is None
        assert [worker.losses for worker in heard] == [[]] * 3


def test_the_leader_leaves_after_its_followers():
    with linked(2) as (leader, (follower,), _):
        closing = Background(leader.close, Message("end"))
        follower.next()
        time.sleep(0.5)
        assert not closing._outcome
        follower.close()
        assert closing.error() is None


def test_a_follower_that_leaves_is_lost_to_all_with_its_reason():
    with linked(3) as (leader, followers, heard):
        waiting = Background(followers[1].next)
        followers[0].report(Message("error", {"text": "disk full", "code": 7}))
        followers[0].close("disk full")
        with pytest.raises(
            WorkerLostError, match=r"^worker 1 \(\S+, process \d+\) has ended: disk"
        ):
            leader.collect()
        assert str(waiting.error()) == leader.lost == followers[1].lost
        # What it reported came before.
        assert heard[0].reports == [(1, Message("error", {"text": "disk full", "code": 7}))]
        told = [[(1, leader.lost)], [], [(1, leader.lost)]]
        eventually(lambda: [worker.losses for worker in heard] == told)
        # Whoever asks later is told at once.
        for wait in (leader.collect, followers[1].next):
            with pytest.raises(WorkerLostError, match="disk full"):
                wait()
        assert leader.wait_lost(60) == leader.lost


def test_a_leader_that_ends_without_a_last_word_is_lost():
    with linked(2) as (leader, (follower,), heard):
        Background(leader.close)
        with pytest.raises(WorkerLostError, match=r"worker 0 \(\S+, process \d+\) has ended$"):
            follower.next()
        eventually(lambda: heard[1].losses == [(0, follower.lost)])


def test_nobody_lost_is_not_waited_for_longer():
    with linked(2) as (leader, (follower,), _):
        assert leader.wait_lost(0.05) == follower.wait_lost(0.05) == leader.lost == ""


def test_a_report_fn_that_fails_ends_the_link_and_not_in_silence(monkeypatch):
    with linked(2) as (leader, (follower,), _):
        monkeypatch.setattr(leader, "_report_fn", lambda *_: 1 / 0)
        follower.report(Message("signal"))
        with pytest.raises(WorkerLostError, match="is cut off: ZeroDivisionError"):
            leader.collect()


def test_threads_end_with_the_link():
    before = threading.active_count()
    with linked(3):
        assert threading.active_count() > before
    eventually(lambda: threading.active_count() <= before)


@pytest.mark.soak
def test_sixteen_followers_and_many_large_messages():
    with linked(17) as (leader, followers, heard):

        def follow(follower, rank):
            rng = np.random.default_rng(rank)
            while (told := follower.next()).kind != "end":
                x = told.arrays["x"]
                noise = rng.integers(0, 9, rng.integers(500_000))
                follower.answer(Message("", {"rank": rank}, {"x": x + rank, "noise": noise}))

        followings = [Background(follow, *pair) for pair in zip(followers, range(1, 17))]
        for step in range(100):
            leader.tell(Message("", {}, {"x": np.full((step, 1000), step)}))
            for rank, answer in enumerate(leader.collect(), 1):
                assert answer.values == {"rank": rank}
                np.testing.assert_array_equal(
                    answer.arrays["x"], np.full((step, 1000), step + rank)
                )
        leader.tell(Message("end"))
        assert [following.error() for following in followings] == [None] * 16
        assert [worker.losses for worker in heard] == [[]] * 17
