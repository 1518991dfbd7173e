"""TFRecord's framing: TensorFlow's own files, published checksums, and each damage by name."""

import pytest
import tensorflow as tf

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.inspection import frames
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.sources.layouts.tfrecords import record_frames

RECORDS = [b"first", b"", b"x" * 1000]


@pytest.fixture
def path(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for record in RECORDS:
            writer.write(record)
    return tmp_path / "a.tfrecord"


def test_published_checksums():
    # RFC 3720, appendix B.4: 0x8A9136AA for 32 zeros; 0xE3069283 is the usual check of 123456789.
    for content, crc in ((bytes(32), 0x8A9136AA), (b"123456789", 0xE3069283)):
        masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32
        assert frames.masked_crc32c(content) == masked


def test_frames_are_found_by_scanning_and_by_their_lengths(path):
    expected = [
        record_frames.Frame(0, 0, 5),
        record_frames.Frame(1, 21, 0),
        record_frames.Frame(2, 37, 1000),
    ]
    assert list(record_frames.scan(str(path))) == expected
    assert frames.listed([5, 0, 1000]) == expected
    with open(path, "rb") as file:
        assert [frames.read(file, frame) for frame in expected] == RECORDS
    assert [frames.damage(str(path), frame) for frame in expected] == ["", "", ""]


@pytest.mark.parametrize(
    ("position", "what"),
    [
        (37, "length is 1001, but the manifest says 1000"),
        (46, "checksum of its length is wrong"),
        (49, "checksum of its data is wrong"),
        (1048, "checksum of its data is wrong"),
        (1050, "checksum of its data is wrong"),
    ],
)
def test_a_flipped_bit_is_named(path, position, what):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    found = [frames.damage(str(path), frame) for frame in frames.listed([5, 0, 1000])]
    assert found == ["", "", what]


@pytest.mark.parametrize("size", [1052, 40, 10])
def test_a_frame_that_is_cut_off(path, size):
    path.write_bytes(path.read_bytes()[:size])
    assert frames.damage(str(path), record_frames.Frame(2, 37, 1000)) == "is cut off"


def test_damage_costs_no_checksum_in_python(path, monkeypatch):
    """That takes 80 s for the gigabyte of a shard with one flipped bit."""
    lengths = []
    crc = frames.masked_crc32c
    monkeypatch.setattr(
        frames, "masked_crc32c", lambda text: lengths.append(len(text)) or crc(text)
    )
    assert frames.damage(str(path), record_frames.Frame(2, 37, 1000)) == ""
    assert lengths == [8]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-1], "record 2 at byte 37: is cut off"),
        (lambda content: content[:40], "record 2 at byte 37: is cut off"),
        (lambda content: b"\x1f\x8b" + content, "record 0 at byte 0: checksum of its length"),
    ],
)
def test_a_file_that_is_no_whole_tfrecord(path, change, message):
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=rf"a\.tfrecord: {message}"):
        list(record_frames.scan(str(path)))


def test_records_are_read_by_their_place_in_the_set(tiny_records):
    manifest = Manifest.load(tiny_records)
    everything = [item.numpy() for item in tf.data.TFRecordDataset(manifest.shard_paths)]
    found = list(frames.read_records(manifest, [0, 2, 3, 5]))
    assert found == [everything[index] for index in (0, 2, 3, 5)]
