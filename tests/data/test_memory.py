"""The input's memory does not grow with the steps."""

import numpy as np
import pytest

from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.options import FramingOptions, InputOptions, ReadOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training.progress import host_rss_mb


def growth_mb(batches, steps):
    """MB by which the process grows in 20,000 steps, by the line through its size over ``steps``.

    The first third is left out: there buffers fill.
    """
    sizes = []
    for _ in range(30):
        for _ in range(steps // 30):
            next(batches)
        sizes.append(host_rss_mb())
    slope, _ = np.polyfit(np.arange(20), sizes[10:], 1)
    return slope * 30 / steps * 20_000


@pytest.mark.parametrize(
    "reading", [ReadOptions(), ReadOptions(shuffle_buffer_mb=1)], ids=["at random", "streamed"]
)
def test_twenty_thousand_steps_take_no_more_memory_than_a_thousand(tiny_records, reading):
    options = InputOptions(framing=FramingOptions(crop_trials=5), reading=reading)
    dataset = pipeline.training_dataset(
        RecordReader([Manifest.load(tiny_records)]), options, input_size=32, batch_size=2, seed=1
    )
    # A batch is 6 KB: all of them would be 120 MB.
    assert growth_mb(iter(dataset), 3000) < 25


def test_growth_is_seen():
    kept = []

    def leaking():
        while True:
            kept.append(np.ones(5000))
            yield

    assert growth_mb(leaking(), 3000) > 400  # 40 KB a step are 800 MB, less what was free
