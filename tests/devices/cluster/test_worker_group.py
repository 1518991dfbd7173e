"""Addresses, names and the link's port of a group of workers."""

import pytest

from ssd_tfrecord.devices.cluster.worker_group import (
    WorkerGroup,
    free_link_port,
    join_address,
    split_address,
)


def group(*addresses, index=0):
    return WorkerGroup(addresses, index, "TF_CONFIG", free_link_port(addresses))


def test_the_first_is_the_chief_and_the_link_is_on_its_host():
    three = group("node1:2222", "node2:2222", "node3:2222", index=2)
    assert (three.count, three.is_chief, three.name) == (3, False, "node3")
    assert three.names == ("node1", "node2", "node3")
    assert three.link_address == "node1:3222"
    assert group("node1:2222", "node2:2222").is_chief


def test_workers_of_one_host_are_told_apart_by_their_ports():
    mixed = group("node1:2222", "node1:2223", "node2:2222", index=1)
    assert mixed.names == ("node1:2222", "node1:2223", "node2")
    assert mixed.name == "node1:2223"


def test_tf_config_has_workers_alone():
    assert group("a:1", "b:2", index=1).tf_config() == {
        "cluster": {"worker": ["a:1", "b:2"]},
        "task": {"type": "worker", "index": 1},
    }


@pytest.mark.parametrize(
    ("addresses", "port"),
    [
        (("a:2222", "b:2222"), 3222),
        (("a:64535", "b:1"), 65535),
        (("a:64536", "b:1"), 63536),
        (("a:2222", "a:3222", "a:3223"), 3224),
        (("a:2222", "b:3222"), 3222),
        (("a:65535", "a:64535"), 64536),
        (("a:64535", "a:65535"), 1024),
    ],
)
def test_the_link_has_a_port_that_no_worker_has(addresses, port):
    assert free_link_port(addresses) == port


def test_ipv6_stands_in_brackets():
    assert split_address("[fd00::1]:2222") == ("fd00::1", 2222)
    assert join_address("fd00::1", 2222) == "[fd00::1]:2222"
    two = group("[fd00::1]:2222", "[fd00::2]:2222")
    assert (two.name, two.link_address) == ("fd00::1", "[fd00::1]:3222")


@pytest.mark.parametrize(
    "address",
    [
        *("node1", "node1:", ":2222", "node1:0", "node1:65536", "node1:+80", "node1:2_2"),
        *("::1:2222", "[::1]", "[]:2222", "http://node1:80", "node1:٣", "", "a:b:1"),
    ],
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValueError, match=r"must be host:port, port 1\.\.65535, an IPv6 host in"):
        split_address(address)
