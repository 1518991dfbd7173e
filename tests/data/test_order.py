"""The order of records: every epoch whole, any start, any number of hosts, both ways of reading."""

import itertools

import numpy as np
import pytest

from ssd_tfrecord.data import order
from ssd_tfrecord.options import ReadOptions
from ssd_tfrecord.records.manifest import Manifest


def indices(num_records, count, *, seed=3, start=0, host=order.Host()):
    dataset = order.shuffled_indices(num_records, seed=seed, start=start, host=host)
    return [(int(e), int(i)) for e, i in itertools.islice(dataset, count)]


@pytest.mark.parametrize("num_records", [1, 2, 63, 64, 65, 200])
def test_each_epoch_holds_every_record_once_in_an_order_of_its_own(num_records):
    rows = indices(num_records, 3 * num_records)
    assert [epoch for epoch, _ in rows] == sorted([0, 1, 2] * num_records)
    epochs = np.reshape([index for _, index in rows], [3, num_records])
    assert (np.sort(epochs) == np.arange(num_records)).all()
    if num_records > 10:
        assert len({tuple(epoch) for epoch in epochs}) == 3
        assert indices(num_records, num_records, seed=4) != rows[:num_records]


@pytest.mark.parametrize("start", [1, 3, 64, 65, 66, 129, 131, 400])
def test_from_any_position_the_order_is_that_of_an_unbroken_run(start):
    assert indices(65, 150, start=start) == indices(65, start + 150)[start:]


@pytest.mark.parametrize("num_hosts", [2, 3])
@pytest.mark.parametrize("num_records", [1, 7, 65, 130])
@pytest.mark.parametrize("start", [0, 12, 66])
def test_hosts_share_out_the_positions_of_one(num_hosts, num_records, start):
    count = 2 * num_records + 5
    shares = [
        indices(num_records, count, start=start, host=order.Host(host, num_hosts))
        for host in range(num_hosts)
    ]
    # Position start + k is host (start + k) mod H's; hosts' turns begin at the start's own.
    turns = [shares[(start + turn) % num_hosts] for turn in range(num_hosts)]
    together = [row for rows in zip(*turns) for row in rows]
    assert together == indices(num_records, count * num_hosts, start=start)


def test_positions_of_records_are_even():
    # Of 400 epochs of 20, a record stands 20 times at each place; 5 standard errors of 4.4.
    places = np.reshape([index for _, index in indices(20, 8000)], [400, 20])
    counts = np.stack([(places == record).sum(0) for record in range(20)])
    assert counts.min() > 0
    assert np.abs(counts - 20).max() < 22
    # And records that are neighbours in the set are no more often neighbours in the order.
    following = (np.diff(places, axis=1) == 1).mean()
    assert abs(following - 19 / 20 / 19) < 5 * np.sqrt(0.05 * 0.95 / (400 * 19))


def streamed(manifest, count, **changes):
    settings = {"seed": 3, "start": 0, "options": ReadOptions(shuffle_buffer_mb=1)} | changes
    dataset = order.streamed_records([manifest, manifest], **settings)
    rows = itertools.islice(dataset.as_numpy_iterator(), count)
    return [(int(epoch), int(index), record) for epoch, index, record in rows]


def test_streamed_records_are_the_same_from_any_position_and_for_hosts(tiny_records, monkeypatch):
    monkeypatch.setattr(order, "buffered_records", lambda manifests, options: 4)
    manifest = Manifest.load(tiny_records)
    rows = streamed(manifest, 36)
    for epoch in range(3):
        held = rows[12 * epoch : 12 * epoch + 12]
        assert sorted(index for _, index, _ in held) == list(range(12))
        assert {number for number, _, _ in held} == {epoch}
    by_index = dict(enumerate([record for _, record in order.records_in_order([manifest] * 2)]))
    assert all(record == by_index[index].numpy() for _, index, record in rows)
    for start in (5, 12, 17):
        assert streamed(manifest, 15, start=start) == rows[start : start + 15]
        for host in range(3):
            mine = streamed(manifest, 4, start=start, host=order.Host(host, 3))
            assert mine == [row for p, row in enumerate(rows) if p >= start and p % 3 == host][:4]
