"""Tables and plots of what a manifest counts."""

import numpy as np
from PIL import Image

from ssd_tfrecord.inspection import plots, tables
from ssd_tfrecord.records.manifest import Manifest


def test_the_text_holds_totals_classes_and_histograms(tiny_records):
    text = tables.to_text(Manifest.load(tiny_records))
    rows = [line.split() for line in text.splitlines()]
    assert ["images", "6"] in rows
    assert ["objects", "per", "image", "1.17,", "at", "most", "2"] in rows
    assert ["class", "objects", "difficult", "crowd", "images"] in rows
    assert ["cat", "2", "1", "0", "2"] in rows
    assert ["dog", "3", "0", "0", "3"] in rows
    # One image has no object, three have one, two have two.
    first = text.index("number of objects in an image")
    lines = [line.split() for line in text[first:].splitlines()[1:4]]
    assert lines == [
        ["0", "1", "16.7", "%", "#" * 13],
        ["1", "3", "50.0", "%", "#" * 40],
        ["2", "2", "33.3", "%", "#" * 27],
    ]


def test_bin_names():
    assert tables.bin_names([0.0, 0.25, 2]) == ["0 - 0.25", "0.25 - 2", "2 or more"]


def test_bins_of_whole_numbers_name_the_numbers_that_they_hold():
    assert tables.bin_names([0, 1, 2, 4, 128]) == ["0", "1", "2 - 3", "4 - 127", "128 or more"]


def test_a_png_for_the_classes_and_each_histogram(tiny_records, tmp_path):
    paths = plots.write_plots(Manifest.load(tiny_records), str(tmp_path / "plots"))
    names = ["classes", "box_side", "box_aspect", "objects_per_image", "image_side"]
    assert paths == [str(tmp_path / "plots" / f"{name}.png") for name in names]
    for path in paths:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        blue = (pixels == (0x42, 0x69, 0xD0)).all(-1)
        assert 0.005 < blue.mean() < 0.9
