"""Caches: bit-equal batches, found again, refused beyond their limit."""

import itertools
import os
import pathlib

import numpy as np
import pytest

from ssd_tfrecord.data import caching, footprint, pipeline
from ssd_tfrecord.data.free_memory import FreeMemory
from ssd_tfrecord.data.passes import Wait
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import InputOptions, ReadOptions, RecordSetOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.sources import voc
from ssd_tfrecord.records.writing import convert


@pytest.fixture(scope="module")
def manifests(tiny_records):
    return (Manifest.load(tiny_records),) * 2


@pytest.fixture(scope="module")
def plain(manifests):
    """Five batches that were not cached."""
    return batches(manifests)


def batches(manifests, count=5, **changes):
    reading = ReadOptions(**changes)
    dataset = pipeline.batches(
        caching.opened(manifests, reading),
        InputOptions(reading=reading),
        input_size=64,
        batch_size=4,
        seed=1,
    )
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def assert_equal(left, right):
    for a, b in zip(left, right, strict=True):
        for name, value in a._asdict().items():
            np.testing.assert_array_equal(value, getattr(b, name), err_msg=name)


@pytest.mark.parametrize("cache", ["records", "decoded"])
def test_cached_batches_are_bit_equal_in_memory_and_in_a_folder(manifests, plain, tmp_path, cache):
    assert_equal(batches(manifests, cache=cache), plain)
    folder = {"cache": cache, "cache_dir": str(tmp_path / "new" / "cache")}
    assert_equal(batches(manifests, **folder), plain)
    [kept] = os.listdir(folder["cache_dir"])
    stamps = {path: path.stat().st_mtime_ns for path in pathlib.Path(tmp_path).rglob("*")}
    assert_equal(batches(manifests, **folder), plain)  # found again, not made anew
    assert {path: path.stat().st_mtime_ns for path in pathlib.Path(tmp_path).rglob("*")} == stamps
    assert kept.startswith(f"{cache}-")


def test_real_pictures_are_bit_equal_from_the_cache(real_data, tmp_path):
    folder = real_data / "VOCdevkit" / "VOC2007"
    sources = voc.read_folder(str(folder / "Annotations"), str(folder / "JPEGImages"))
    options = RecordSetOptions(output_dir=str(tmp_path / "set"), num_shards=2)
    manifests = (convert.convert(sources, options, tool="test", flag_lines=()),)
    assert_equal(batches(manifests, 10, cache="decoded"), batches(manifests, 10))


def test_another_set_is_another_cache(manifests, tmp_path):
    batches(manifests, cache="records", cache_dir=str(tmp_path))
    batches(manifests[:1], cache="records", cache_dir=str(tmp_path))
    assert len(os.listdir(tmp_path)) == 2


def test_a_cache_that_was_not_finished_is_made_anew(manifests, tmp_path, monkeypatch):
    options = ReadOptions(cache="decoded", cache_dir=str(tmp_path))

    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(caching, "_decode", fail)
        caching.opened(manifests, options)
    assert os.listdir(tmp_path) == []
    assert len(caching.opened(manifests, options)) == 12


def test_what_a_cache_takes(manifests):
    [manifest] = manifests[:1]
    assert footprint.cache_bytes([manifest], "decoded") == 3 * 25_750
    assert footprint.cache_bytes([manifest], "records") == sum(s.bytes for s in manifest.shards)
    assert footprint.check_cache([manifest], ReadOptions()) == ""
    line = footprint.check_cache([manifest], ReadOptions(cache="decoded", cache_limit_mb=5))
    assert line == "Cache: decoded, 0 MB of memory (limit 5 MB)"


def test_a_cache_beyond_its_limit_is_refused(manifests, tmp_path, monkeypatch):
    many = manifests * 20  # 3.1 MB of pixels
    with pytest.raises(InputError, match=r"--cache=decoded: needs 3 MB of memory, but must n"):
        footprint.check_cache(many, ReadOptions(cache="decoded", cache_limit_mb=2))
    free = FreeMemory(1_000_000, "this machine")
    monkeypatch.setattr(footprint, "free_memory", lambda: free)
    message = r"not exceed 1 MB \(80% of what is free on this machine\); choose"
    with pytest.raises(InputError, match=message):
        footprint.check_cache(many, ReadOptions(cache="decoded"))
    line = footprint.check_cache(many, ReadOptions(cache="decoded", cache_dir=str(tmp_path / "x")))
    assert line.startswith(f"Cache: decoded, 3 MB in {tmp_path / 'x'} (limit ")


def test_a_folder_that_cannot_be_written(manifests, tmp_path):
    (tmp_path / "file").write_text("")
    options = ReadOptions(cache="records", cache_dir=str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"--cache_dir=.*file: must be a writable folder: "):
        caching.opened(manifests, options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cache_dir": "x"}, "--cache_dir requires --cache=records or --cache=dec"),
        ({"cache": "decoded", "shuffle_buffer_mb": 5}, "--cache=decoded requires --shuffle_buff"),
        ({"on_bad_record": "skip", "shuffle_buffer_mb": 5}, "--on_bad_record=skip requires"),
        ({"data_service": "localhost:1"}, "--data_service=localhost:1: must be grpc://host:port"),
        ({"data_service": "grpc://a:1", "cache": "records"}, "--data_service cannot be combined"),
    ],
)
def test_choices_that_do_not_go_together(options, message):
    with pytest.raises(InputError, match=message):
        ReadOptions(**options)


@pytest.mark.parametrize("cache", ["records", "decoded"])
def test_a_record_that_does_not_come_is_waited_for_in_sight(manifests, monkeypatch, cache):
    """The thread that watches sees for how long, and no longer than the cache is filled."""
    wait, seen = Wait(), []
    real = wait.next

    def watched(iterator):
        item = real(iterator)
        seen.append(wait.seconds())
        return item

    monkeypatch.setattr(wait, "next", watched)
    assert len(caching.opened(manifests, ReadOptions(cache=cache), wait)) == 12
    assert seen == [0.0] * 12
