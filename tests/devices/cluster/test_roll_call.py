import contextlib
import socket
import struct
import time

import numpy as np
import pytest
from linked_workers import (
    HELLO,
    Background,
    Heard,
    follower_of,
    free_port,
    group_of,
    leader_of,
)

from ssd_tfrecord.devices.cluster import greeting, messages, roll_call
from ssd_tfrecord.devices.cluster.messages import Frame, Message, Sort
from ssd_tfrecord.errors import InputError, WorkerLostError


@contextlib.contextmanager
def starting(count, **kwargs):
    """Groups, what the leader hears, and the leader that waits for its followers."""
    groups = group_of(count, free_port())
    heard = Heard()
    yield groups, heard, Background(leader_of, groups[0], heard, **kwargs)


def connected(group):
    end = time.monotonic() + 30
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", group.link_port), 30)
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.01)
            continue
        if connection.getsockname() != connection.getpeername():
            return connection
        connection.close()


def hello_of(group):
    return messages.pack(
        Frame(Sort.HELLO, greeting.to_message(greeting.own_greeting(group, HELLO)))
    )


def finish(leader, groups):
    """The followers that are missing come, and all is well."""
    followers = [Background(follower_of, group, Heard()) for group in groups]
    leader = leader.result()
    followers = [follower.result() for follower in followers]
    leader.tell(Message("step"))
    assert [follower.next().kind for follower in followers] == ["step"] * len(followers)
    closing = Background(leader.close)
    for follower in followers:
        follower.close()
    closing.result()


def test_missing_workers_are_named_and_those_there_end_with_the_same_line(monkeypatch):
    monkeypatch.setattr(roll_call, "FIRST_WORD_SECONDS", 0.3)
    monkeypatch.setattr(roll_call, "NEXT_WORD_SECONDS", 0.5)
    with starting(4, timeout=2) as (groups, heard, leader):
        follower = Background(follower_of, groups[2], Heard())
        error = leader.error()
    assert type(error) is type(follower.error()) is WorkerLostError
    assert str(error) == str(follower.error())
    assert str(error) == (
        "worker 1 (127.0.0.1:2223), worker 3 (127.0.0.1:2225): not there after 2 s; see what is "
        "wrong there, or raise --cluster_timeout"
    )
    waiting = "waiting for workers: 127.0.0.1:2223, 127.0.0.1:2225"
    assert heard.lines[-1] == waiting and 2 <= len(heard.lines) <= 4


def test_a_worker_started_with_something_else_ends_all_with_one_line():
    with starting(4) as (groups, _, leader):
        before = Background(follower_of, groups[1], Heard())
        time.sleep(0.5)
        other = Background(follower_of, groups[2], Heard(), hello={"--seed": "8"})
        time.sleep(0.5)
        later = Background(follower_of, groups[3], Heard())
        errors = [leader.error(), other.error(), before.error(), later.error()]
    assert [type(error) for error in errors] == [InputError] * 4
    assert len({str(error) for error in errors}) == 1
    assert str(errors[0]).startswith("worker 2 (") and "--seed" in str(errors[0])
    assert "'8' instead of '7'" in str(errors[0])


def test_another_list_of_workers_is_named(monkeypatch):
    monkeypatch.setattr(roll_call, "_LINGER_SECONDS", 0.3)
    with starting(3) as (groups, _, leader):
        other = group_of(2, groups[0].link_port)[1]
        assert "the list of workers" in str(Background(follower_of, other, Heard()).error())
        assert "the list of workers" in str(leader.error())


def test_a_second_worker_of_one_rank_is_refused_and_the_first_stays():
    with starting(3) as (groups, heard, leader):
        with connected(groups[1]) as first:
            first.sendall(hello_of(groups[1]))
            assert first.recv(4) == b"SSDL"
            second = Background(follower_of, groups[1], Heard()).error()
            as_leader = Background(follower_of, groups[0], Heard()).error()
            # A heartbeat, at least, still comes.
            assert first.recv(1000)
        finish(leader, groups[1:])
    assert type(second) is type(as_leader) is InputError
    assert "worker 1 (" in str(second) and "has this rank already" in str(second)
    assert "worker 0 (" in str(as_leader) and "has this rank already" in str(as_leader)
    refused = [line.split(" (")[0] for line in heard.lines[:2]]
    assert refused == ["refused worker 1", "refused worker 0"]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"GET / HTTP/1.1\r\nHost: node0:3222\r\n\r\n", "begins with b'GET '"),
        (np.random.default_rng(0).bytes(1000), "begins with b"),
        (struct.pack("<4sBBIQ", b"SSDL", 1, 1, 2**32 - 1, 0), "is too large"),
        (struct.pack("<4sBBIQ", b"SSDL", 1, 1, 10, 2**40), "is too large"),
        (
            messages.pack(Frame(Sort.HELLO, Message("hello", {}, {"a": np.zeros(1)}))),
            "is too large",
        ),
        (messages.pack(Frame(Sort.HELLO, Message("hello", {"index": 1}))), "is no greeting"),
        (messages.pack(Frame(Sort.ANSWER, Message("done"))), "does not say hello"),
        (messages.pack(Frame(Sort.HELLO, Message("hello")))[:-1], ""),
        (b"", ""),
    ],
    ids=["http", "noise", "header", "arrays", "array", "empty", "other", "truncated", "nothing"],
)
def test_strangers_do_no_harm(data, line):
    with starting(2) as (groups, heard, leader):
        with connected(groups[0]) as connection:
            connection.sendall(data)
            # The leader closes it, and says nothing; it may have done so.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
                assert connection.recv(1) == b""
        finish(leader, groups[1:])
    assert len(heard.lines) == bool(line)
    if line:
        assert line in heard.lines[0] and "from 127.0.0.1, which is no worker" in heard.lines[0]


def test_silent_strangers_keep_nobody_waiting(monkeypatch):
    monkeypatch.setattr(roll_call, "_MAX_STRANGERS", 5)
    with starting(2) as (groups, heard, leader), contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connected(groups[0])) for _ in range(6)]
        silent[0].sendall(hello_of(groups[1])[:20])
        finish(leader, groups[1:])
    assert heard.lines == []


def test_more_strangers_than_are_listened_to_are_closed_at_once(monkeypatch):
    monkeypatch.setattr(roll_call, "_MAX_STRANGERS", 2)
    monkeypatch.setattr(roll_call, "_HELLO_SECONDS", 60)
    with starting(2) as (groups, _, leader), contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connected(groups[0])) for _ in range(5)]
        silent[4].settimeout(10)
        assert silent[4].recv(1) == b""
        for connection in silent:
            connection.close()
        finish(leader, groups[1:])


def test_many_strangers_are_mentioned_three_times():
    with starting(2) as (groups, heard, leader):
        for _ in range(5):
            with connected(groups[0]) as connection:
                connection.sendall(b"x" * 18)
                connection.recv(1)
        finish(leader, groups[1:])
    assert len(heard.lines) == 3


def test_a_worker_of_another_version_of_the_link_ends_both(monkeypatch):
    monkeypatch.setattr(roll_call, "_LINGER_SECONDS", 0.3)
    with starting(2) as (groups, _, leader), connected(groups[0]) as connection:
        connection.sendall(struct.pack("<4sBBIQ", b"SSDL", 9, 1, 0, 0))
        reply = b"".join(iter(lambda: connection.recv(1000), b""))
        assert b"version 9 of the link, but this is 1" in reply
        assert "version 9 of the link" in str(leader.error())
        assert type(leader.error()) is InputError


def test_a_follower_that_dies_before_all_are_there_may_come_again():
    with starting(3) as (groups, heard, leader):
        with connected(groups[1]) as connection:
            connection.sendall(hello_of(groups[1]))
            assert connection.recv(4) == b"SSDL"
        finish(leader, groups[1:])
    assert len(heard.lines) == 1
    assert "is gone: its connection closed (killed?); waiting for it again" in heard.lines[0]


def test_port_that_is_taken():
    groups = group_of(2, free_port())
    with (
        socket.create_server(("", groups[0].link_port)),
        pytest.raises(
            InputError, match=r"^port \d+, .*already in use; choose another --cluster_port"
        ),
    ):
        leader_of(groups[0], Heard())


def test_a_leader_that_is_stopped_dismisses_those_who_are_there(monkeypatch):
    monkeypatch.setattr(roll_call, "FIRST_WORD_SECONDS", 0.5)

    class Stopped(BaseException):
        pass

    def stop(line):
        raise Stopped

    groups = group_of(3, free_port())
    follower = Background(follower_of, groups[1], Heard())
    heard = Heard()
    heard.lines = type("", (), {"append": staticmethod(stop)})
    with pytest.raises(Stopped):
        leader_of(groups[0], heard)
    assert isinstance(follower.error(), WorkerLostError)
    assert "has ended: stopped before all were there" in str(follower.error())
