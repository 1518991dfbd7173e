"""Which files of a folder a new set replaces."""

import json

import pytest

from ssd_tfrecord.records.writing import shards


def touch(folder, *names):
    for name in names:
        (folder / name).touch()


def test_the_files_of_a_set_and_those_that_its_manifest_lists(tmp_path):
    assert shards.files_of_set(str(tmp_path / "none"), "a") == []
    touch(tmp_path, "a-00000-of-00001.tfrecord", "b-00000-of-00001.tfrecord", "c.tfrecord", "a.txt")
    assert shards.files_of_set(str(tmp_path), "a") == ["a-00000-of-00001.tfrecord"]
    (tmp_path / "manifest.json").write_text(json.dumps({"shards": [{"file": "c.tfrecord"}]}))
    assert shards.files_of_set(str(tmp_path), "a") == [
        "manifest.json",
        "a-00000-of-00001.tfrecord",
        "c.tfrecord",
    ]


@pytest.mark.parametrize(
    "content", ["", "[]", '{"shards": 1}', '{"shards": [{}]}', "[" * 100_000, "\udcff"]
)
def test_a_manifest_that_is_to_be_replaced_may_be_damaged(tmp_path, content):
    (tmp_path / "manifest.json").write_bytes(content.encode(errors="surrogateescape"))
    assert shards.files_of_set(str(tmp_path), "a") == ["manifest.json"]
