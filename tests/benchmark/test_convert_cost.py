"""The figures of conversion: parts that sum to the whole, of the images that are there."""

import pathlib

import pytest
from PIL import Image

from ssd_tfrecord.benchmark import convert_cost, rounds
from ssd_tfrecord.records.manifest import Manifest


@pytest.mark.parametrize("verify", ["decode", "header"])
def test_figures_add_up(tiny_records, verify):
    manifests = [Manifest.load(tiny_records)]
    figures = convert_cost.measure_convert(manifests, num_images=10, num_rounds=3, verify=verify)
    assert figures["images"] == 10
    parts, shares = figures["part_cpu_ms_per_image"], figures["shares"]
    assert list(parts) == list(shares) == list(convert_cost.PARTS)
    assert sum(parts.values()) == pytest.approx(figures["cpu_ms_per_image"])
    assert sum(shares.values()) == pytest.approx(1)
    assert figures["bare_decode"]["images_per_s"] > 0 < figures["images_per_s"]


def test_figures_by_hand(tiny_records, monkeypatch):
    # (CPU, wall) milliseconds of six images: medians 600, 60, 660 and 900 ms of CPU.
    given = {
        "bare_decode": [(600, 600), (400, 400), (600, 1200)],
        "reading": [(60, 100), (60, 100), (60, 100)],
        "read_image": [(660, 700), (900, 700), (600, 700)],
        "whole": [(900, 1000), (1200, 3000), (720, 2000)],
    }
    asked = []

    def measure(works, num_rounds):
        asked.append((list(works), num_rounds))
        return {name: [rounds.Cost(*cost) for cost in costs] for name, costs in given.items()}

    monkeypatch.setattr(rounds, "measure", measure)
    figures = convert_cost.measure_convert(
        [Manifest.load(tiny_records)], num_images=6, num_rounds=3
    )
    assert asked == [(list(given), 3)]
    parts, shares = figures["part_cpu_ms_per_image"], figures["shares"]
    assert parts == pytest.approx({"reading": 10, "verifying": 100, "writing": 40})
    assert shares == pytest.approx({"reading": 1 / 15, "verifying": 2 / 3, "writing": 4 / 15})
    assert figures["cpu_ms_per_image"] == pytest.approx(150)
    # Quartiles 810 and 1050 ms.
    assert figures["cpu_ms_spread"] == pytest.approx(0.12 / 0.9)
    assert figures["images_per_s"] == pytest.approx(3)
    assert figures["images_per_s_spread"] == pytest.approx(0.25)
    assert figures["bare_decode"]["cpu_ms_per_image"] == pytest.approx(100)
    assert figures["bare_decode"]["images_per_s"] == pytest.approx(10)
    # Of 1.5, 3 and 1.2, with quartiles 1.35 and 2.25.
    assert figures["ratio_to_decode"] == pytest.approx(1.5)
    assert figures["ratio_spread"] == pytest.approx(0.3)


def test_records_become_the_files_and_objects_they_were(tiny_records, tiny_voc, tmp_path):
    images = convert_cost.unpack([Manifest.load(tiny_records)], str(tmp_path), 10)
    originals = {
        path.read_bytes(): path.stem for path in (tiny_voc / "VOC2007/JPEGImages").glob("*.jpg")
    }
    found = {originals[pathlib.Path(image.image_path).read_bytes()]: image for image in images}
    assert len(found) == 6
    with Image.open(found["000002"].image_path) as file:
        assert found["000002"].size == file.size == (80, 60)
    objects = {item.name: item.box for item in found["000002"].objects}
    assert objects["dog"] == pytest.approx((5, 10, 45, 50), abs=1e-4)
    assert objects["cat"] == pytest.approx((20, 40, 60, 80), abs=1e-4)
    assert len(convert_cost.unpack([Manifest.load(tiny_records)], str(tmp_path), 2)) == 2
