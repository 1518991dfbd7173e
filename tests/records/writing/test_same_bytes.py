"""Bytes depend on input and flags alone: not on workers, runs, folders or listings."""

import hashlib
import json
import os
import pathlib
import random
import shutil

import numpy as np
import pytest
from PIL import Image

from ssd_tfrecord import programs
from ssd_tfrecord.records.sources import coco
from ssd_tfrecord.records.writing import shards

ROOT = pathlib.Path(__file__).parents[3]
NUM_IMAGES, NUM_SHARDS = 60, 12
OBJECT = (
    "<object><name>dog</name><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>{}</xmax><ymax>20</ymax>"
    "</bndbox></object>"
)


@pytest.fixture(scope="module")
def devkit(tmp_path_factory):
    """60 images of 32x24: a third are PNGs, every fifth has a box to clip, 2 are no images, 2 are
    missing, and for 2 there is no XML."""
    folder = tmp_path_factory.mktemp("devkit") / "VOC2007"
    for name in ("Annotations", "JPEGImages"):
        (folder / name).mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (NUM_IMAGES, 24, 32, 3), dtype=np.uint8)
    for index in range(NUM_IMAGES):
        path = folder / f"JPEGImages/{index:02d}.jpg"
        Image.fromarray(pixels[index]).save(path, "PNG" if index % 3 == 0 else "JPEG")
        xmax = 40 if index % 5 == 0 else 30
        (folder / f"Annotations/{index:02d}.xml").write_text(
            f"<annotation><filename>{index:02d}.jpg</filename>{OBJECT.format(xmax)}</annotation>"
        )
    for index in (4, 6):
        (folder / f"JPEGImages/{index:02d}.jpg").write_bytes(b"\xff\xd8\xff")
    for name in (
        "JPEGImages/07.jpg",
        "JPEGImages/09.jpg",
        "Annotations/08.xml",
        "Annotations/10.xml",
    ):
        (folder / name).unlink()
    return folder.parent


@pytest.fixture(scope="module")
def main():
    """The converter in this process; takes words, gives the exit code."""
    return lambda *words: programs.run("convert-voc", ["convert-voc", *words])


@pytest.fixture(scope="module")
def convert(main):
    """Converts a devkit to a folder; gives {file: sha256}."""

    def convert(devkit, folder, *words):
        code = main(
            *(f"--voc_root={devkit}", "--sets=2007", f"--output_dir={folder}", "--set_name=x"),
            *(f"--num_shards={NUM_SHARDS}", "--bad_images=drop", *words),
        )
        assert code == 0
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()
        }

    return convert


@pytest.fixture(scope="module")
def whole(convert, devkit, tmp_path_factory):
    """The record set of one worker, and its digests."""
    folder = tmp_path_factory.mktemp("records") / "whole"
    digests = convert(devkit, folder, "--workers=1")
    assert len(digests) == NUM_SHARDS + 2
    return folder, digests


def _manifest(folder):
    """Without its digest of itself."""
    content = json.loads((folder / "manifest.json").read_text())
    del content["sha256"]["manifest.json"]
    return content


def _without_manifest(digests):
    return {name: digest for name, digest in digests.items() if name != "manifest.json"}


def test_every_kind_of_reject_is_among_them(whole):
    content = _manifest(whole[0])
    assert content["rejects"] == {
        "beyond_tolerance": 11,
        "damaged": 2,
        "missing_image": 2,
        "unannotated": 2,
    }
    assert content["notes"] == {"reencoded": 18}
    assert content["num_records"] == 54


def test_the_same_command_gives_the_same_files_to_the_byte(whole, convert, devkit, tmp_path):
    folder, digests = whole
    shutil.move(folder, tmp_path / "first")
    assert convert(devkit, folder, "--workers=1") == digests


@pytest.mark.parametrize("number", [2, 8])
def test_any_number_of_workers_gives_the_same_files(whole, convert, devkit, tmp_path, number):
    first, digests = whole
    found = convert(devkit, tmp_path / "a", f"--workers={number}")
    assert _without_manifest(found) == _without_manifest(digests)
    assert {**_manifest(tmp_path / "a"), "flags": 0} == {**_manifest(first), "flags": 0}
    flags_differ = set(_manifest(tmp_path / "a")["flags"]) ^ set(_manifest(first)["flags"])
    assert {flag.partition("=")[0] for flag in flags_differ} == {"--workers", "--output_dir"}


def test_a_copy_of_the_devkit_gives_the_same_files(whole, convert, devkit, tmp_path):
    first, digests = whole
    copy = shutil.copytree(devkit, tmp_path / "elsewhere")  # other times and names of folders
    found = convert(copy, tmp_path / "a", "--workers=1")
    assert _shards(found) == _shards(digests)
    # Rejects name their files.
    text = (tmp_path / "a/rejects.jsonl").read_text()
    assert text.replace(str(copy), str(devkit)) == (first / "rejects.jsonl").read_text()
    mine, others = _manifest(tmp_path / "a"), _manifest(first)
    assert mine["source"].pop("voc_root") == str(copy)
    assert others["source"].pop("voc_root") == str(devkit)
    different = {key for key in others if mine[key] != others[key]}
    assert different == {"flags", "sha256"}  # sha256 is that of the rejects


class _Shuffled:
    """os.scandir in another order than the disk's."""

    scandir = staticmethod(os.scandir)

    def __init__(self, path):
        with self.scandir(path) as entries:
            self._entries = sorted(entries, key=lambda entry: entry.name)
        random.Random(1).shuffle(self._entries)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def __iter__(self):
        return self

    def __next__(self):
        if not self._entries:
            raise StopIteration
        return self._entries.pop()


def test_another_order_of_listing_gives_the_same_files(
    whole, convert, devkit, tmp_path, monkeypatch
):
    listed = list(os.walk(devkit))
    monkeypatch.setattr(os, "scandir", _Shuffled)
    assert list(os.walk(devkit)) != listed
    found = convert(devkit, tmp_path / "a", "--workers=1")
    assert _without_manifest(found) == _without_manifest(whole[1])


def test_another_order_of_the_image_set_gives_the_same_shards(convert, devkit, tmp_path):
    copy = shutil.copytree(devkit, tmp_path / "devkit")
    lists = copy / "VOC2007/ImageSets/Main"
    lists.mkdir(parents=True)
    stems = [f"{index:02d}" for index in range(NUM_IMAGES)]
    found = []
    for name, order in (("a", stems), ("b", stems[::-1])):
        (lists / "all.txt").write_text("\n".join(order))
        digests = convert(copy, tmp_path / name, "--workers=1", "--sets=2007_all")
        # What was dropped before the order was drawn stands in the list's own.
        lines = sorted((tmp_path / name / "rejects.jsonl").read_text().splitlines())
        fingerprint = _manifest(tmp_path / name)["source"]["fingerprint"]
        found.append((lines, fingerprint, _shards(digests)))
    assert len(found[0][2]) == NUM_SHARDS
    assert found[0] == found[1]


def _shards(digests):
    return {name: digest for name, digest in digests.items() if name.endswith(".tfrecord")}


def test_another_order_of_the_images_in_a_json_gives_the_same_plans(devkit, tmp_path):
    entries = [{"id": index, "file_name": f"{index:02d}.jpg"} for index in range(10, 60)]
    annotations = [
        {"id": index, "image_id": 10 + index % 50, "category_id": 1, "bbox": [1, 2, 3, 4 + index]}
        for index in range(100)
    ]
    categories = [{"id": 1, "name": "dog"}]
    plans = []
    for name, order in (("a", entries), ("b", entries[::-1])):
        path = tmp_path / "instances.json"
        content = {"images": order, "annotations": annotations, "categories": categories}
        path.write_text(json.dumps(content))
        images = coco.read_instances(str(path), str(devkit / "VOC2007/JPEGImages")).images
        (tmp_path / name).mkdir()
        shards.plan(images, "x", NUM_SHARDS, 0, str(tmp_path / name))
        plans.append({file.name: file.read_text() for file in (tmp_path / name).iterdir()})
    assert len(plans[0]) == NUM_SHARDS
    assert plans[0] == plans[1]
