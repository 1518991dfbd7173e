"""JSON read item by item: the same values as json.loads, whatever the chunks, and named faults."""

import io
import json
import time

import pytest

from ssd_tfrecord.records.sources.coco_files import json_items

DECODER = json.JSONDecoder()
VALUES = {
    "info": {"a": [1, {"b": None}]},
    "images": [{"id": 12345, "name": 'größe ✓ "\\ \n'}, {}, [1, [2]], -1.5e-7, "x", True, None],
    "none": [],
    "count": 1234567,
    "text": "[1, 2]",
}


def _read(text):
    return list(json_items.read_items(io.StringIO(text), DECODER))


@pytest.fixture(params=[1, 2, 7, 2**20])
def chunk(request, monkeypatch):
    """Characters that are read at once."""
    monkeypatch.setattr(json_items, "_CHUNK", request.param)


@pytest.mark.parametrize("form", [{}, {"indent": 3}, {"separators": (",", ":")}])
def test_items_are_those_of_json(chunk, form):
    found = {}
    for key, value, is_item in _read(json.dumps(VALUES, **form) + "\n"):
        if is_item:
            found.setdefault(key, []).append(value)
        else:
            found[key] = value
    assert list(found.items()) == list(VALUES.items())


@pytest.mark.parametrize("size", range(1, 30))
def test_a_number_that_the_chunk_cuts_is_read_whole(monkeypatch, size):
    monkeypatch.setattr(json_items, "_CHUNK", size)
    text = '{"a": 1.5, "b": [1e+300, -25E-7, 0], "c": -0.125}'
    found = [value for _, value, _ in _read(text)]
    assert found == [1.5, 1e300, -25e-7, 0, -0.125]


def test_an_empty_object_has_none(chunk):
    assert _read(" { } ") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,}', r"Expecting a key \(character 8\)"),
        ('{"a": 1', r"Expecting ',' or '\}' \(character 7\)"),
        ('{"a": [1,]}', r"Expecting value \(character 9\)"),
        ('{"a": [1 2]}', r"Expecting ',' or '\]' \(character 9\)"),
        ('{"a": 1} x', r"Expecting the end \(character 9\)"),
        ('{"a": 1, "a": 2}', r"duplicate key 'a' \(character 12\)"),
        ('{"a": "x', r"Unterminated string starting at \(character 6\)"),
        ('{"a": [{"b": tru}]}', r"Expecting value \(character 13\)"),
        ('{"a": [{"b": true}', r"Expecting ',' or '\]' \(character 18\)"),
        ('{"a" 1}', r"Expecting ':' \(character 5\)"),
        ("{1: 2}", r"Expecting a key \(character 1\)"),
        (
            '{"a": ' + "1" * 5000 + "}",
            r"Exceeds the limit \(4300 digits\) .*: value has \d+ digits \(character 6\)$",
        ),
    ],
)
def test_faults_are_named_with_their_place(chunk, text, message):
    with pytest.raises(ValueError, match=message):
        _read(text)


@pytest.mark.parametrize("text", ["[1]", "", "7", "<annotation/>"])
def test_what_is_no_object_is_named(text):
    with pytest.raises(json_items.NoObjectError) as error:
        _read(text)
    assert error.value.found == text[:1]


def test_a_fault_ends_reading_at_once():
    file = io.StringIO('{"a": [{"b": 1}, nonsense' + " " * 2**24)
    with pytest.raises(ValueError, match="Expecting value"):
        list(json_items.read_items(file, DECODER))
    assert file.tell() <= 2**20


def test_an_item_that_is_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(json_items, "MAX_ITEM", 1000)
    monkeypatch.setattr(json_items, "_CHUNK", 100)
    assert _read(json.dumps({"a": ["x" * 500]})) == [("a", "x" * 500, True)]
    file = io.StringIO(json.dumps({"a": ["x" * 10_000_000]}))
    with pytest.raises(ValueError, match=r"must have at most 1000 characters \(character 7\)"):
        list(json_items.read_items(file, DECODER))
    assert file.tell() < 5000


def test_many_spaces_are_passed_over_quickly():
    text = '{"a": [1,' + " " * 2**23 + "2]}"
    start = time.process_time()
    assert len(_read(text)) == 2
    assert time.process_time() - start < 1


def test_progress_is_told_in_characters():
    told = []
    list(json_items.read_items(io.StringIO('{"ä": [1]}'), DECODER, told.append))
    assert sum(told) == 10
