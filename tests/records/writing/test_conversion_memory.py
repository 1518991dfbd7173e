"""A conversion's memory does not grow with the number of images. Measured in a process of its own.

A record's length is kept, 0.04 kB, and a few times that while the manifest is written.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from ssd_tfrecord.records import manifest

ROOT = pathlib.Path(__file__).parents[3]
FEW, MANY = 500, 6500
LIMIT_KB = 0.5 * (MANY - FEW)

# Prints the kB by which the peak of many images is above that of few, which come twice: first that
# libraries have all they need. SQLite's caches, 2 MB each, would fill with the first images: they
# are made small. With a word more, 1 kB is kept of each image.
PROGRAM = """
import pathlib, sqlite3, sys
from ssd_tfrecord import programs
from ssd_tfrecord.records.writing import shard_writer

def connect(*arguments, connect=sqlite3.connect, **settings):
    database = connect(*arguments, **settings)
    database.execute("PRAGMA cache_size = 20")
    return database

def peak_kb():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(status["VmHWM"].split()[0])

def keeping(function):
    def call(*arguments):
        kept.append(bytes(1000))
        return function(*arguments)
    return call

sqlite3.connect = connect
kept = []
if sys.argv[3:] == ["keeping"]:
    shard_writer.make_record = keeping(shard_writer.make_record)
folder, kind = sys.argv[1:3]
common = ["--workers=1", "--overwrite", "--classes=auto", "--bad_boxes=clip", "--verify=header"]
peaks = []
for size in ("few", "few", "many"):
    if kind == "voc":
        words = [f"--voc_root={folder}", f"--sets=2007_{size}"]
    else:
        words = [f"--annotations={folder}/{size}.json", f"--images_dir={folder}/VOC2007/JPEGImages"]
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak is of what comes from now on
    words += [*common, f"--output_dir={folder}/records"]
    code = programs.run(f"convert-{kind}", ["", *words])
    if code:
        sys.exit(code)
    peaks.append(peak_kb())
print(peaks[2] - peaks[1])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """VOC2007's sets few and many, and the same as JSON: one image of 16x16 by many names, whose
    box leaves it, so that each image is in rejects.jsonl too."""
    root = tmp_path_factory.mktemp("devkit")
    names = {
        name: root / "VOC2007" / name for name in ("Annotations", "JPEGImages", "ImageSets/Main")
    }
    for name in names.values():
        name.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    first = names["JPEGImages"] / "000000.jpg"
    Image.fromarray(pixels).save(first)
    xml = (
        "<annotation><filename>{:06d}.jpg</filename><object><name>dog</name><bndbox><xmin>2</xmin>"
        "<ymin>3</ymin><xmax>30</xmax><ymax>9</ymax></bndbox></object></annotation>"
    )
    for index in range(MANY):
        (names["Annotations"] / f"{index:06d}.xml").write_text(xml.format(index))
        if index:
            os.link(first, names["JPEGImages"] / f"{index:06d}.jpg")
    for size, number in (("few", FEW), ("many", MANY)):
        lines = "".join(f"{index:06d}\n" for index in range(number))
        (names["ImageSets/Main"] / f"{size}.txt").write_text(lines)
        content = {
            "images": [{"id": index, "file_name": f"{index:06d}.jpg"} for index in range(number)],
            "annotations": [
                {"id": index, "image_id": index, "category_id": 1, "bbox": [1, 2, 30, 6]}
                for index in range(number)
            ],
            "categories": [{"id": 1, "name": "dog"}],
        }
        (root / f"{size}.json").write_text(json.dumps(content))
    return root


def growth_kb(*words):
    """kB by which 6,000 images more make the process larger at its peak."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


@pytest.mark.parametrize("kind", ["voc", pytest.param("coco", marks=pytest.mark.soak)])
def test_memory_does_not_grow_with_the_images(folder, kind):
    assert growth_kb(folder, kind) < LIMIT_KB


@pytest.mark.soak
def test_a_kilobyte_of_each_image_is_seen(folder):
    assert growth_kb(folder, "coco", "keeping") > LIMIT_KB


def test_rejects_are_not_read_as_a_whole(tiny_records, tmp_path):
    shutil.copy(tiny_records / "manifest.json", tmp_path)
    (tmp_path / "rejects.jsonl").touch()
    os.truncate(tmp_path / "rejects.jsonl", 30_000_000)
    tracemalloc.start()
    try:
        manifest.file_digests(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
