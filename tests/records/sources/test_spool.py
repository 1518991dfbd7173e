"""Sequences on disk: what goes in comes out, by number, by key and in a rank's order."""

import contextlib
import gc
import json
import math
import re
import resource

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.rejects import Reject
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceObject
from ssd_tfrecord.records.sources.spool import IMAGES, REJECTS, Codec, Spool

WORDS = Codec(lambda word: word[0], json.dumps, json.loads)
OBJECT = SourceObject(
    index=3,
    name="größe ✓",
    box=(0.1, -math.inf, 1e300, 2.5),
    difficult=True,
    occluded=True,
    area=99.125,
    pose="left",
    annotation_id=2**62,
    flaw="not_finite",
)


def test_images_come_back_as_they_were():
    images = [
        SourceImage("VOC2007/1", "a/1.jpg", "1.xml", (64, 48), (OBJECT, OBJECT)),
        # A file name that is no UTF-8, and no size.
        SourceImage("2\n", "a/\udcff.jpg", "2.xml"),
    ]
    assert list(Spool(IMAGES, images)) == images


def test_a_box_that_is_not_finite_comes_back():
    box = (math.nan, 0.0, math.inf, 1.0)
    (image,) = Spool(
        IMAGES, [SourceImage("1", "1.jpg", "1.xml", None, (SourceObject(1, "a", box),))]
    )
    assert math.isnan(image.objects[0].box[0])
    assert image.objects[0].box[1:] == box[1:]


def test_rejects_come_back_as_they_were():
    rejects = [
        Reject("1.xml", "1", "clipped", "clipped", 2, "dog", (1.0, 2.0, 3.5, math.inf)),
        Reject("\udcff.xml", "2", "unannotated", "dropped", detail="\udcff"),
    ]
    assert list(Spool(REJECTS, rejects)) == rejects


def test_it_is_a_sequence():
    words = Spool(WORDS, ["ant", "bee"])
    words.append("cat")
    assert (len(words), words[0], words[-1]) == (3, "ant", "cat")
    assert words[1:] == ("bee", "cat")
    assert "bee" in words
    with pytest.raises(IndexError):
        words[3]
    assert not Spool(WORDS)


def test_items_are_found_by_their_key_in_their_order():
    words = Spool(WORDS, ["bee", "ant", "bat"])
    assert words.of_key("b") == ["bee", "bat"]
    words.append("boa")
    assert words.of_key("b") == ["bee", "bat", "boa"]
    assert words.of_key("x") == []


def test_repeated_keys_are_named_once_and_sorted():
    assert Spool(WORDS, ["ox", "ant", "owl", "ape", "oil", "cat"]).repeated_keys() == ["a", "o"]
    assert Spool(WORDS, ["ä1", "ä2", "\udcff1", "\udcff2"]).repeated_keys() == ["ä", "\udcff"]


def test_lines_are_sorted_by_the_rank_of_their_key():
    words = Spool(WORDS, ["ant", "cat", "bee", "bat"])
    lines = list(words.lines_by(lambda key: bytes([255 - key[0]])))
    assert lines == ['"cat"', '"bee"', '"bat"', '"ant"']


def test_an_iterator_outlives_its_spool():
    words = iter(Spool(WORDS, ["ant", "bee"]))
    gc.collect()
    assert list(words) == ["ant", "bee"]


@contextlib.contextmanager
def _files_of_100_kb_at_most():
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "use",
    [
        lambda words: [words.append("x" * 1000) for _ in range(4000)],
        lambda words: words.repeated_keys(),
        lambda words: list(words.lines_by(lambda key: key[::-1])),
    ],
    ids=["append", "index", "sort"],
)
def test_no_room_for_the_file_is_a_line_that_names_the_variable(use, tmp_path, monkeypatch):
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    words = Spool(
        Codec(lambda word: word, json.dumps, json.loads), (str(n) * 50 for n in range(9000))
    )
    message = (
        f"{tmp_path}: SQLite cannot store annotations here: disk I/O error; free some disk "
        "space, or set SQLITE_TMPDIR to a folder that has space"
    )
    with _files_of_100_kb_at_most(), pytest.raises(InputError, match=re.escape(message)):
        use(words)
