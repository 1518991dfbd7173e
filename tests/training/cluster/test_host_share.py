"""Detections of a host arrive as they were sent, and those of all hosts are of all records."""

import re

import numpy as np
import pytest

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.training.cluster import host_share
from ssd_tfrecord.training.cluster.host_share import HostShare


def found(name, count, seed=0):
    random = np.random.default_rng(seed)
    return Detections(
        source_id=name,
        height=48,
        width=64,
        boxes=random.random((count, 4), np.float32),
        scores=random.random(count, np.float32),
        labels=random.integers(1, 4, count).astype(np.int32),
    )


def truth(detections):
    nothing = np.zeros(0, bool)
    return GroundTruth(
        source_id=detections.source_id,
        height=detections.height,
        width=detections.width,
        boxes=np.zeros((0, 4), np.float32),
        labels=np.zeros(0, np.int32),
        difficult=nothing,
        crowd=nothing,
        area=np.zeros(0, np.float32),
    )


def assert_same(left, right):
    for a, b in zip(left, right, strict=True):
        assert (a.source_id, a.height, a.width) == (b.source_id, b.height, b.width)
        for name in ("boxes", "scores", "labels"):
            assert getattr(a, name).dtype == getattr(b, name).dtype
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize(
    ("counts", "raw_counts"),
    [((2, 0, 3), ()), ((2, 0, 3), (0, 1, 0)), ((0,), (0,)), ((), ())],
    ids=["no averages", "averages", "nothing is found", "no records"],
)
def test_a_share_arrives_as_it_was_sent(counts, raw_counts):
    detections = [found(str(place), count) for place, count in enumerate(counts)]
    raw = [found(str(place), count, seed=1) for place, count in enumerate(raw_counts)]
    arrays = HostShare(detections, raw).arrays()
    assert {array.dtype for array in arrays.values()} == {np.dtype("f4"), np.dtype("i4")}
    # What else the host sends along does not matter.
    arrays["loss_sums"] = np.zeros(2)
    received = host_share.of_arrays(arrays, [truth(item) for item in detections])
    assert_same(received.detections, detections)
    assert_same(received.raw, raw)


def test_a_share_of_other_records_is_refused():
    arrays = HostShare([found("a", 2), found("b", 1)]).arrays()
    truths = [truth(found("a", 0))]
    with pytest.raises(RuntimeError, match="detections of 2 images came for 1 records"):
        host_share.of_arrays(arrays, truths)
    arrays["counts"] = np.int32([4])
    with pytest.raises(RuntimeError, match="detections of 1 images came for 1 records"):
        host_share.of_arrays(arrays, truths)


def test_shares_of_all_hosts_are_of_all_records():
    shares = [HostShare([found("a", 2)], [found("a", 1)]), HostShare([found("b", 0)])]
    without = [HostShare(share.detections) for share in shares]
    assert_same(host_share.joined(without, 2).detections, [found("a", 2), found("b", 0)])
    for wrong, text in (
        (shares, "2 and, with raw weights, 1 of 2 images"),
        (without[:1], "1 and, with raw weights, 0 of 2 images"),
        (without * 2, "4 and, with raw weights, 0 of 2 images"),
    ):
        with pytest.raises(RuntimeError, match=re.escape(text)):
            host_share.joined(wrong, 2)
