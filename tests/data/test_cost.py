"""What a part costs: its chain less the chain before, on counters whose values are known."""

import types

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.data import cost
from ssd_tfrecord.options import FramingOptions, ReadOptions
from ssd_tfrecord.records.manifest import Manifest


def measure(tiny_records, **changes):
    settings = {"input_size": 300, "batch_size": 4, "num_batches": 2, "seed": 0}
    settings |= {"framing_options": FramingOptions(), "read_options": ReadOptions()} | changes
    return cost.measure_input([Manifest.load(tiny_records)], **settings)


def test_figures_by_hand(tiny_records, monkeypatch):
    # Milliseconds a batch of 4: a start that does not count, five chains, bare decoding, the
    # whole, bare decoding.
    batches = iter([900, 4, 6, 16, 32, 40, 19, 48, 21])
    monkeypatch.setattr(cost, "_measure", lambda dataset, count: cost.Cost(next(batches), 24))
    assert measure(tiny_records) == {
        "images": 8,
        "images_per_s": 1000 / 6,
        "cpu_ms_per_image": 12,
        "decode_cpu_ms_per_image": 5,
        "decode_cpu_ms_before": 4.75,
        "decode_cpu_ms_after": 5.25,
        "ratio_to_decode": 2.4,
        "cores_for_1000_images_per_s": 12,
        "part_cpu_ms_per_image": {
            "reading": 1,
            "parsing": 0.5,
            "geometry": 2.5,
            "decoding": 4,
            "resizing": 2,
            "rest": 2,
        },
        "shares": {
            "reading": 1 / 12,
            "parsing": 0.5 / 12,
            "geometry": 2.5 / 12,
            "decoding": 4 / 12,
            "resizing": 2 / 12,
            "rest": 2 / 12,
        },
    }


def test_figures_of_a_real_run_agree_with_each_other(tiny_records):
    figures = measure(tiny_records, framing_options=FramingOptions(augmentation="flip"))
    parts, shares = figures["part_cpu_ms_per_image"], figures["shares"]
    assert tuple(parts) == tuple(shares) == cost.PARTS
    assert min(value for value in figures.values() if isinstance(value, float)) > 0
    assert sum(parts.values()) == pytest.approx(figures["cpu_ms_per_image"])
    assert sum(shares.values()) == pytest.approx(1)
    decode = (figures["decode_cpu_ms_before"] + figures["decode_cpu_ms_after"]) / 2
    assert figures["ratio_to_decode"] == pytest.approx(figures["cpu_ms_per_image"] / decode)


def test_warm_up_is_not_counted(monkeypatch):
    clock = types.SimpleNamespace(wall=0.0, cpu=0.0)

    def take():
        for number in range(100):
            # Five batches of 10 s, then 0.5 s each of wall and 0.75 s of CPU time.
            clock.wall += 10.0 if number < 5 else 0.5
            clock.cpu += 10.0 if number < 5 else 0.75
            yield number

    usage = lambda who: types.SimpleNamespace(ru_utime=clock.cpu / 3, ru_stime=clock.cpu * 2 / 3)  # noqa: E731
    monkeypatch.setattr(cost.time, "perf_counter", lambda: clock.wall)
    monkeypatch.setattr(cost.resource, "getrusage", usage)
    measured = cost._measure(take(), 4)
    assert (measured.cpu_ms, measured.wall_ms) == pytest.approx((750, 500))


def test_bare_decoding_gets_the_jpegs_of_the_records_that_are_measured(tiny_records, tiny_voc):
    manifest = Manifest.load(tiny_records)
    images = cost._encoded([manifest], 0, 5, 12, ReadOptions()).numpy()
    files = [path.read_bytes() for path in sorted(tiny_voc.glob("VOC2007/JPEGImages/*.jpg"))]
    # 12 positions from 5 on: the last of an epoch, a whole epoch, five of the next.
    assert sorted(images[1:7]) == sorted(files)
    assert len(set(images[7:])) == 5


def test_chains_end_with_the_pixels_of_the_sample(tiny_records):
    manifest = Manifest.load(tiny_records)
    options = FramingOptions(augmentation="none")
    chains = cost._chains(seed=0, input_size=300, options=options)
    records = cost.order.shuffled_records([manifest], seed=0, start=0, options=ReadOptions())
    key_and_serialized = next(iter(records))
    _, index, _ = chains[0](*key_and_serialized)
    record, plan, decoded = chains[3](*key_and_serialized)
    _, _, resized = chains[4](*key_and_serialized)
    samples = cost.pipeline.training_dataset(
        [manifest],
        input_size=300,
        batch_size=1,
        seed=0,
        framing_options=options,
        read_options=ReadOptions(),
    )
    sample = next(iter(samples))
    assert int(index) == int(sample["indices"][0])
    np.testing.assert_array_equal(decoded, tf.io.decode_jpeg(record["encoded"]))
    np.testing.assert_array_equal(resized, sample["images"][0])
    assert not plan["mirrored"]
