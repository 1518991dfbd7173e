import contextlib
import dataclasses
import socket
import struct
import time

import pytest
from linked_workers import Background, Heard, follower_of, free_port, group_of, leader_of

from ssd_tfrecord.devices.cluster.messages import Message
from ssd_tfrecord.errors import InputError, WorkerLostError


def answering(server, reply):
    """Answers each connection in turn, for ever."""

    def serve():
        while True:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(reply)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(10_000)

    return Background(serve)


def test_without_a_leader_the_address_is_named():
    group = group_of(2, free_port())[1]
    began = time.monotonic()
    with pytest.raises(WorkerLostError) as error:
        follower_of(group, Heard(), timeout=1)
    assert time.monotonic() - began >= 0.5
    assert str(error.value) == (
        f"worker 0 (127.0.0.1:2222) does not answer at 127.0.0.1:{group.link_port} after 1 s "
        "(Connection refused); see whether it runs, or raise --cluster_timeout"
    )


def test_a_name_that_nobody_has_is_named():
    group = dataclasses.replace(
        group_of(2, free_port())[1], addresses=("nobody.invalid:2222", "127.0.0.1:2222")
    )
    with pytest.raises(WorkerLostError, match=r"worker 0 \(nobody.invalid\).*at nobody.invalid:\d"):
        follower_of(group, Heard(), timeout=0.5)


@pytest.mark.parametrize(
    ("reply", "kind", "match"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", WorkerLostError, "no ssd_tfrecord: .* b'HTTP'"),
        (b"", WorkerLostError, r"after 1 s \(closed\)"),
        (struct.pack("<4sBBIQ", b"SSDL", 9, 3, 0, 0), InputError, "version 9 of the link, but"),
        (struct.pack("<4sBBIQ", b"SSDL", 1, 2, 2**31, 0), WorkerLostError, "too large"),
    ],
    ids=["http", "closed", "version", "large"],
)
def test_something_else_answers(reply, kind, match):
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering(server, reply)
        group = group_of(2, server.getsockname()[1])[1]
        with pytest.raises(InputError, match=match) as error:
            follower_of(group, Heard(), timeout=1)
        assert type(error.value) is kind


def test_a_leader_that_comes_late_and_by_ipv6():
    port = free_port()
    groups = [
        dataclasses.replace(group, addresses=("[::1]:2222", "[::1]:2223"))
        for group in group_of(2, port)
    ]
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6")
    follower = Background(follower_of, groups[1], Heard())
    time.sleep(0.5)
    leader = leader_of(groups[0], Heard())
    follower = follower.result()
    follower.answer(Message("here"))
    assert leader.collect() == [Message("here")]
    closing = Background(leader.close)
    follower.close()
    closing.result()
