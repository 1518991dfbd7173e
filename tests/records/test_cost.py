"""The figures of conversion: parts that sum to the whole, of the images that are there."""

import pytest

from ssd_tfrecord.records import cost
from ssd_tfrecord.records.manifest import Manifest


@pytest.mark.parametrize("verify", ["decode", "header"])
def test_figures_add_up(tiny_records, verify):
    figures = cost.measure_convert([Manifest.load(tiny_records)], num_images=10, verify=verify)
    assert figures["images"] == 6
    parts, shares = figures["part_cpu_ms_per_image"], figures["shares"]
    assert list(parts) == list(shares) == list(cost.PARTS)
    assert sum(parts.values()) == pytest.approx(figures["cpu_ms_per_image"])
    assert sum(shares.values()) == pytest.approx(1)
    ratio = figures["cpu_ms_per_image"] / figures["decode_cpu_ms_per_image"]
    assert figures["ratio_to_decode"] == pytest.approx(ratio)
    assert figures["images_per_s"] > 0


def test_parts_are_what_each_adds(tiny_records, monkeypatch):
    seconds = {"decode": 0.6, "reading": 0.06, "read_image": 0.66, "whole": 0.9}
    monkeypatch.setattr(
        cost, "_medians", lambda functions: {name: (seconds[name], 0.9) for name in functions}
    )
    figures = cost.measure_convert([Manifest.load(tiny_records)], num_images=6)
    # Six images: seconds / 6 * 1000.
    parts = figures["part_cpu_ms_per_image"]
    assert parts == pytest.approx({"reading": 10, "verifying": 100, "writing": 40})
    assert figures["ratio_to_decode"] == pytest.approx(1.5)
    assert figures["images_per_s"] == pytest.approx(6 / 0.9)
