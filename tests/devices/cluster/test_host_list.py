"""Slurm's lists of hosts and of tasks per node, written out."""

import tracemalloc

import pytest

from ssd_tfrecord.devices.cluster.host_list import expand_counts, expand_hosts


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("node1", ["node1"]),
        ("a,b", ["a", "b"]),
        (
            "node[01-04,7],gpu-a[1-2]-x",
            ["node01", "node02", "node03", "node04", "node7", "gpu-a1-x", "gpu-a2-x"],
        ),
        ("n[8-11]", ["n8", "n9", "n10", "n11"]),
        ("n[08-11]", ["n08", "n09", "n10", "n11"]),
        ("n[098-101]", ["n098", "n099", "n100", "n101"]),
        ("r[1-2]n[1,3]", ["r1n1", "r1n3", "r2n1", "r2n3"]),
        ("[1-2]n", ["1n", "2n"]),
        ("7[1-2]5", ["715", "725"]),
        (
            "gpu-a1,node[01-02].cluster.local",
            ["gpu-a1", *[f"node0{i}.cluster.local" for i in "12"]],
        ),
    ],
)
def test_hosts(text, hosts):
    assert expand_hosts(text) == hosts


@pytest.mark.parametrize(
    "text",
    [
        *("n[1-2", "n1-2]", "n[1-[2]]", "n[]", "n[1,]", "n[2-1]", "n[a-b]", "n[-2]", "n[1-2-3]"),
        *(",", "a,,b", "a,", ",a", "", "a b", "n[1 -2]", "ä", "-n", "a/b", "n[٣]", "a" * 300),
    ],
)
def test_malformed_hosts_are_refused(text):
    with pytest.raises(ValueError, match=r"must be|is not a host name"):
        expand_hosts(text)


@pytest.mark.parametrize(
    "text",
    [
        *("n[1-999999999]", "n[0-9][0-9][0-9][0-9][0-9]", "a[1-4096],b", "n[1-4097]"),
        *("[1-999999999]" * 1000, ",".join(["a"] * 5000), "[0-9]" * 10000),
    ],
)
def test_long_lists_are_refused_before_they_are_written_out(text):
    with pytest.raises(ValueError, match=r"4096"):
        expand_hosts(text)


@pytest.mark.parametrize("text", ["n" * 100_000 + "[1-4096]", "[1]" * 40_000 + "[1-4096]"])
def test_names_are_not_written_out_4096_times_if_they_are_too_long(text):
    tracemalloc.start()
    with pytest.raises(ValueError, match="is not a host name"):
        expand_hosts(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


def test_4096_hosts_are_allowed():
    assert len(expand_hosts("n[1-4096]")) == 4096


@pytest.mark.parametrize(
    ("text", "counts"),
    [("1", [1]), ("2(x3),1", [2, 2, 2, 1]), ("1,2(x2),4096", [1, 2, 2, 4096])],
)
def test_counts(text, counts):
    assert expand_counts(text) == counts


@pytest.mark.parametrize(
    "text", ["", "x", "2(3)", "2(x)", "2(x0)", "0", "4097", "1,", "-1", "1(x999999999)", "2 (x3)"]
)
def test_malformed_counts_are_refused(text):
    with pytest.raises(ValueError, match="must be"):
        expand_counts(text)
