"""Frames of TFRecord files, found without TensorFlow, which judges them."""

import pytest
import tensorflow as tf

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.layouts.tfrecords import record_frames


@pytest.fixture
def path(tmp_path):
    """A file of three records."""
    with tf.io.TFRecordWriter(str(tmp_path / "a.record")) as writer:
        for record in (b"one", b"", b"x" * 1000):
            writer.write(record)
    return tmp_path / "a.record"


def test_frames_are_those_that_tensorflow_wrote(path):
    frames = list(record_frames.scan(str(path)))
    content = path.read_bytes()
    assert [(frame.index, frame.offset) for frame in frames] == [(0, 0), (1, 19), (2, 35)]
    data = [content[item.data_offset : item.data_offset + item.length] for item in frames]
    assert data == [b"one", b"", b"x" * 1000]


def test_the_checksum_is_that_of_the_format(path):
    content = path.read_bytes()
    assert record_frames.masked_crc32c(content[:8]) == int.from_bytes(content[8:12], "little")


def test_an_empty_file_has_no_frames(tmp_path):
    (tmp_path / "a.record").touch()
    assert list(record_frames.scan(str(tmp_path / "a.record"))) == []


@pytest.mark.parametrize("size", [1, 11, 12, 18, 20, 34, 1050])
def test_files_that_are_cut_off(path, size):
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(
        InputError, match=r"a\.record: record \d at byte \d+: is cut off; must be a"
    ):
        list(record_frames.scan(str(path)))


def test_a_damaged_length(path):
    content = bytearray(path.read_bytes())
    content[19] ^= 1
    path.write_bytes(content)
    match = (
        r"record 1 at byte 19: checksum of its length is wrong; must be an uncompressed TFRecord"
    )
    with pytest.raises(InputError, match=match):
        list(record_frames.scan(str(path)))


def test_no_such_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file or directory"):
        list(record_frames.scan(str(tmp_path / "a.record")))
