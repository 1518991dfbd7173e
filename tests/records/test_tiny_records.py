"""The record set that other tests build on is what its fixture says."""

from ssd_tfrecord.records.manifest import Manifest


def test_tiny_records_hold_what_the_fixture_says(tiny_records):
    manifest = Manifest.load(tiny_records)
    assert manifest.class_names == ("cat", "dog", "person")
    assert (manifest.num_records, manifest.num_objects, manifest.num_difficult) == (6, 7, 1)
    assert manifest.shard_records == (3, 3)
    assert manifest.max_objects == 2
    assert manifest.num_pixels == 25_750
    assert manifest.rejects == {}
