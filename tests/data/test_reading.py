"""Single records by their index, and damaged ones: named, or passed over and counted."""

import itertools
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.data import order, pipeline
from ssd_tfrecord.data.reading import RecordReader, first_damaged
from ssd_tfrecord.options import FramingOptions, InputOptions, ReadOptions
from ssd_tfrecord.records.manifest import Manifest


@pytest.fixture
def copied(tiny_records, tmp_path):
    return Manifest.load(shutil.copytree(tiny_records, tmp_path / "copy"))


def flip_bit(manifest, record, byte):
    """Flips a bit of ``byte``, counted from where the frame of ``record`` (of 3 a shard) begins."""
    shard = manifest.shards[record // 3]
    begin = sum(length + 16 for length in shard.record_bytes[: record % 3])
    path = pathlib.Path(manifest.shard_paths[record // 3])
    content = bytearray(path.read_bytes())
    content[begin + byte] ^= 4
    path.write_bytes(content)
    return path, begin


def read(reader, index):
    return [value.numpy() for value in reader.read(tf.constant(index, tf.int64))]


def test_records_by_index_are_those_in_order(copied):
    reader = RecordReader([copied, copied])
    assert len(reader) == 12
    for index, record in order.records_in_order([copied, copied]):
        assert read(reader, int(index)) == [int(index), record.numpy()]


# The frame: 8 bytes of length, 4 of its checksum, the data, 4 of its checksum.
PLACES = {"length": 2, "checksum of the length": 9, "data": 200, "first byte of the data": 12}


@pytest.mark.parametrize("byte", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("record", [0, 4, 5])
def test_a_flipped_bit_is_named_by_shard_and_record(copied, record, byte):
    assert first_damaged([copied]) is None
    path, begin = flip_bit(copied, record, byte)
    with pytest.raises(tf.errors.DataLossError):
        read(RecordReader([copied]), record)
    message = f"{path}: record {record % 3} (from byte {begin}) is damaged: its checksum does not"
    assert str(first_damaged([copied])).startswith(message)
    others = [other for other in range(6) if other != record]
    for other in others:  # even those behind it, in the same shard
        assert read(RecordReader([copied]), other)[0] == other


@pytest.mark.parametrize("byte", PLACES.values(), ids=PLACES)
def test_the_next_whole_record_stands_in_for_a_damaged_one(copied, byte):
    flip_bit(copied, 4, byte)
    flip_bit(copied, 5, byte)
    reader = RecordReader([copied], "skip")
    assert [read(reader, index)[0] for index in range(6)] == [0, 1, 2, 3, 0, 0]
    assert read(reader, 5)[1] == read(reader, 0)[1]


def test_a_batch_counts_what_was_passed_over(copied):
    flip_bit(copied, 3, 100)
    options = InputOptions(
        framing=FramingOptions(augmentation="none"), reading=ReadOptions(on_bad_record="skip")
    )
    reader = RecordReader([copied], "skip")
    dataset = pipeline.batches(reader, options, input_size=32, batch_size=4, seed=1)
    batches = list(itertools.islice(dataset.as_numpy_iterator(), 3))  # two epochs
    substituted = np.concatenate([batch.substituted for batch in batches])
    indices = np.concatenate([batch.indices for batch in batches])
    assert substituted.sum() == 2
    assert (indices[substituted] == 4).all()
    assert 3 not in indices
