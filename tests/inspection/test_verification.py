"""Every damage to a record set is found, and named with its place."""

import dataclasses
import json
import multiprocessing
import re
import shutil
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.inspection import frames
from ssd_tfrecord.inspection.verification import verify
from ssd_tfrecord.options import RecordSetOptions
from ssd_tfrecord.records.manifest import Manifest, Shard
from ssd_tfrecord.records.sources import voc
from ssd_tfrecord.records.writing import convert
from ssd_tfrecord.records.writing.shards import sha256_of


@pytest.fixture(scope="module")
def whole_set(tiny_voc, tmp_path_factory):
    """Folder of a set with a line in rejects.jsonl."""
    devkit = shutil.copytree(tiny_voc, tmp_path_factory.mktemp("verify") / "devkit")
    xml = devkit / "VOC2007/Annotations/000001.xml"
    xml.write_text(xml.read_text().replace("<xmax>64", "<xmax>70"))
    folder = devkit.parent / "set"
    options = RecordSetOptions(output_dir=str(folder), num_shards=2, classes="auto")
    sources = voc.read_devkit(str(devkit), ["2007_trainval"])
    convert.convert(sources, options, tool="test", flag_lines=["--a=b"])
    return folder


@pytest.fixture
def folder(whole_set, tmp_path):
    return shutil.copytree(whole_set, tmp_path / "set")


def _verify(folder):
    return [str(damage) for damage in verify(Manifest.load(folder))]


def test_a_whole_set(whole_set):
    looked_at = []
    assert list(verify(Manifest.load(whole_set), advance=looked_at.append)) == []
    assert looked_at == [1] * 6


def test_two_workers_say_what_one_does(whole_set, folder):
    looked_at = []
    assert list(verify(Manifest.load(whole_set), 2, looked_at.append)) == []
    assert sum(looked_at) == 6
    for shard in Manifest.load(folder).shards:
        content = bytearray((folder / shard.file).read_bytes())
        for frame in frames.listed(shard.record_bytes)[1:]:
            content[frame.offset + 200] ^= 4
        (folder / shard.file).write_bytes(content)
    (folder / "rejects.jsonl").unlink()
    alone = list(verify(Manifest.load(folder)))
    assert [damage.record for damage in alone] == [None, None, 1, 2, None, 1, 2]
    assert list(verify(Manifest.load(folder), 2)) == alone


def test_a_worker_that_dies(whole_set):
    def kill():
        while not multiprocessing.active_children():
            time.sleep(0.01)
        multiprocessing.active_children()[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(InputError, match=r"a worker process died.* with fewer --workers$"):
        list(verify(Manifest.load(whole_set), 2))
    killer.join()


@pytest.mark.parametrize("num_flips", [200, pytest.param(5000, marks=pytest.mark.soak)])
def test_every_flipped_bit_is_found(whole_set, folder, num_flips):
    files = sorted(path for path in folder.iterdir() if path.is_file())
    assert len(files) == 4
    contents = [path.read_bytes() for path in files]
    ends = np.cumsum([len(content) for content in contents])
    for place in np.random.default_rng(0).integers(0, 8 * ends[-1], num_flips):
        number = int(np.searchsorted(ends, place // 8, side="right"))
        position = int(place // 8 - ends[number] + len(contents[number]))
        changed = bytearray(contents[number])
        changed[position] ^= 1 << int(place % 8)
        files[number].write_bytes(changed)
        assert _is_damaged(folder), (files[number].name, position, place % 8)
        files[number].write_bytes(contents[number])
    assert not _is_damaged(folder)


def _is_damaged(folder):
    try:
        return next(verify(Manifest.load(folder)), None) is not None
    except InputError as error:
        assert "\n" not in str(error)
        return True


def test_each_file_is_searched_for_flipped_bits(folder):
    """One place in the middle of each file: random places are mostly pixels."""
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] + b"\x00" + content[len(content) // 2 + 1 :])
        assert _is_damaged(folder), path.name
        path.write_bytes(content)


@pytest.mark.parametrize("record", [0, 1, 2])
def test_the_damaged_record_is_named_and_no_other(folder, record):
    shard = Manifest.load(folder).shards[1]
    frame = frames.listed(shard.record_bytes)[record]
    content = bytearray((folder / shard.file).read_bytes())
    content[frame.offset + 200] ^= 4
    (folder / shard.file).write_bytes(content)
    assert _verify(folder) == [
        f"{shard.file}: sha256 does not match the manifest",
        f"{shard.file}: record {record}: at byte {frame.offset}: checksum of its data is wrong",
    ]


def test_files_that_are_missing_or_longer(folder):
    (folder / "rejects.jsonl").unlink()
    assert _verify(folder) == ["rejects.jsonl: is missing"]
    with open(folder / "set-00000-of-00002.tfrecord", "ab") as file:
        file.write(b"x")
    with pytest.raises(InputError, match=r"set-00000-of-00002\.tfrecord: has \d+ bytes, must have"):
        _verify(folder)


def _edit_manifest(folder, edit):
    content = json.loads((folder / "manifest.json").read_text())
    edit(content)
    (folder / "manifest.json").write_text(json.dumps(content))


@pytest.mark.parametrize("key", ["num_objects", "num_difficult", "max_objects", "num_pixels"])
def test_a_manifest_that_counts_otherwise(folder, key):
    _edit_manifest(folder, lambda content: content.update({key: content[key] + 1}))
    assert _verify(folder) == [
        "manifest.json: sha256 does not match the manifest",
        f"manifest.json: {key} does not match the records",
    ]


def test_a_manifest_of_other_flags_or_without_a_checksum(folder):
    _edit_manifest(folder, lambda content: content.update(flags=["--a=c"]))
    assert _verify(folder) == ["manifest.json: sha256 does not match the manifest"]
    _edit_manifest(folder, lambda content: content.pop("sha256"))
    assert _verify(folder) == ["manifest.json: sha256 does not match the manifest"]


def test_a_count_of_rejects_that_is_another(folder):
    lines = (folder / "rejects.jsonl").read_bytes()
    (folder / "rejects.jsonl").write_bytes(lines * 2)
    assert _verify(folder) == [
        "rejects.jsonl: sha256 does not match the manifest",
        "rejects.jsonl: contains {'beyond_tolerance': 2}, but the manifest says "
        "{'beyond_tolerance': 1}",
    ]


def _rewrite_first_record(folder, change):
    """Changes a record's Example and makes all checksums right again."""
    manifest = Manifest.load(folder)
    path = manifest.shard_paths[0]
    records = [item.numpy() for item in tf.data.TFRecordDataset(path)]
    example = tf.train.Example.FromString(records[0])
    change(example.features.feature)
    records[0] = example.SerializeToString()
    with tf.io.TFRecordWriter(path) as writer:
        for record in records:
            writer.write(record)
    lengths = tuple(map(len, records))
    size = sum(lengths) + 16 * len(lengths)
    file = manifest.shards[0].file
    shard = Shard(file, len(records), size, sha256_of(path), lengths)
    dataclasses.replace(manifest, shards=(shard, manifest.shards[1])).save()


def _half_jpeg(feature):
    feature["image/encoded"].bytes_list.value[0] = feature["image/encoded"].bytes_list.value[0][
        :-99
    ]


BOX = "image/object/bbox/"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_half_jpeg, "image does not match the checksum in the record"),
        (_half_jpeg, "image cannot be decoded"),
        (lambda f: f["image/encoded"].bytes_list.value.__setitem__(0, b"\x89PNG"), "is not a JPEG"),
        (
            lambda f: f["image/height"].int64_list.value.__setitem__(0, 7),
            r"but the record says \d+x7",
        ),
        (lambda f: f["image/object/class/label"].int64_list.value.append(1), "cannot be parsed: "),
        (lambda f: f.pop("image/width"), "cannot be parsed: .*image/width"),
        (
            lambda f: f["image/object/class/label"].int64_list.value.__setitem__(0, 4),
            "object 1: label 4: must be 1 to 3",
        ),
        (
            lambda f: f[BOX + "xmax"].float_list.value.__setitem__(0, 1.5),
            r"object 1: box \[.*1\.5\]: must be inside \[0, 1\]",
        ),
        (
            lambda f: f[BOX + "xmin"].float_list.value.__setitem__(0, float("nan")),
            r"object 1: box \[.*nan.*\]: not_finite",
        ),
        (
            lambda f: f[BOX + "ymin"].float_list.value.__setitem__(0, 1.0),
            r"object 1: box \[1\.0.*\]: (inverted|zero_area)",
        ),
        (
            lambda f: f["image/object/area"].float_list.value.__setitem__(0, -1.0),
            "object 1: area -1.0: must be a finite number of pixels, at least 0",
        ),
        (
            lambda f: f["image/object/class/text"].bytes_list.value.__setitem__(0, b"ox"),
            r"class names are ox.*, but its labels mean (cat|dog|person)",
        ),
    ],
)
def test_a_record_that_training_could_not_take(folder, change, what):
    first = next(iter(tf.data.TFRecordDataset(Manifest.load(folder).shard_paths[0]))).numpy()
    assert tf.train.Example.FromString(first).features.feature[BOX + "xmin"].float_list.value
    _rewrite_first_record(folder, change)
    damages = _verify(folder)
    assert all(line.startswith("set-00000-of-00002.tfrecord: record 0: ") for line in damages)
    assert any(re.search(what, line) for line in damages), damages
