"""Manifests from strangers: each bad field is refused in one line that names it."""

import json
import os
import random
import shutil

import pytest

from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import FRAME_BYTES, Manifest, file_digests, load_classes

DEEP = "[" * 100_000


@pytest.fixture
def copied(tiny_records, tmp_path):
    return shutil.copytree(tiny_records, tmp_path / "copy")


def write(folder, content):
    (folder / "manifest.json").write_text(json.dumps(content))


def content_of(folder):
    return json.loads((folder / "manifest.json").read_text())


def put(content, path, value):
    *others, last = path
    for key in others:
        content = content[key]
    content[last] = value


def refusal(folder):
    with pytest.raises(InputError) as caught:
        Manifest.load(folder)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 1000
    return text


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../tiny-00000-of-00002.tfrecord",
        "a/../tiny-00000-of-00002.tfrecord",
        "./tiny-00000-of-00002.tfrecord",
        "..\\tiny-00000-of-00002.tfrecord",
        "C:\\a",
        "..",
        "",
        "a\0b",
        "a\nb",
        "a\ud800",
        7,
        None,
    ],
)
def test_shards_lie_beside_the_manifest(copied, name):
    # The file exists, so that nothing but its name is wrong.
    shutil.copy(copied / "tiny-00000-of-00002.tfrecord", copied.parent)
    content = content_of(copied)
    put(content, ("shards", 0, "file"), name)
    write(copied, content)
    assert "manifest.json: shards[0].file: " in refusal(copied)


def test_a_shard_may_be_a_link(copied, tiny_records):
    shard = copied / "tiny-00000-of-00002.tfrecord"
    shard.unlink()
    shard.symlink_to(tiny_records / shard.name)
    assert Manifest.load(copied).num_records == 6


@pytest.mark.parametrize(
    ("path", "values", "named"),
    [
        (
            ("shards", 1, "record_bytes", 2),
            (-1, 0, 2**31, 2**80, 1.5, True, "9", None, [], float("nan")),
            "shards[1].record_bytes[2]: ",
        ),
        (("shards", 0, "bytes"), (-1, 2**60, 0.5, "1", float("inf")), "shards[0].bytes: "),
        (("shards", 0, "num_records"), (-1, 1.0, None, {}), "shards[0].num_records: "),
        (("shards", 0, "sha256"), (5, None), "shards[0].sha256: "),
        (("num_objects",), (-1, 7.0, float("nan"), True, "7", None), "num_objects: "),
        (("num_pixels",), (-1, 2**70, float("-inf")), "num_pixels: "),
        (("max_objects",), (-1, []), "max_objects: "),
        (("pixel_origin",), (2, -1, "1"), "pixel_origin: "),
        (("per_class", "dog", "images"), (-1, 0.5, None), "per_class['dog'].images: "),
        (("per_class", "dog"), ({}, [], 5), "per_class['dog']: "),
        (("histograms", "box_side", "edges", 0), ("x", float("nan")), "histograms['box_side']"),
        (("histograms", "box_side", "counts"), ([], [-1], 3), "histograms['box_side']"),
        (("rejects",), ([], {"a": -1}, {"a": "b"}), "rejects"),
        (("flags",), ("--a", [5], None), "flags"),
        (("source",), ([], "x"), "source: "),
        (("name",), ("../a", "", 5), "name: "),
        (("tool",), (5, None), "tool: "),
        (("classes", 0, "name"), ("", 5, "\udc00"), "classes[0].name: "),
        (("classes", 0, "id"), (0, "1", 2**40), "classes[0].id: "),
        (("classes",), ({}, "ab", 5), "classes: "),
        (("shards",), ({}, "ab", None), "shards: "),
        (("sha256",), ([], "ab", {"manifest.json": 5}), "sha256"),
    ],
    ids=lambda item: ".".join(map(str, item)) if isinstance(item, tuple) else None,
)
def test_a_field_that_is_not_what_it_must_be_is_named(copied, path, values, named):
    original = content_of(copied)
    for value in values:
        content = json.loads(json.dumps(original))
        put(content, path, value)
        write(copied, content)
        text = refusal(copied)
        # NaN and infinity are no JSON, and are refused before any field is known.
        assert named in text or (isinstance(value, float) and "is no number" in text), value


def test_numbers_too_large_for_a_float_are_not_finite(copied):
    text = (copied / "manifest.json").read_text()
    (copied / "manifest.json").write_text(text.replace('"edges": [ 0.0,', '"edges": [ 1e999,'))
    assert "edges[0]: inf: must be a finite number" in refusal(copied)


def test_a_shard_is_listed_once(copied):
    content = content_of(copied)
    content["shards"].append(content["shards"][0])
    content["num_records"] += content["shards"][0]["num_records"]
    write(copied, content)
    assert "tiny-00000-of-00002.tfrecord is listed 2 times: must be once" in refusal(copied)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (DEEP.encode(), "nested too deeply"),
        (b'{"schema_version": ' + DEEP.encode() + b"}", "nested too deeply"),
        (b'{"num_records": NaN}', "NaN is no number"),
        (b'{"num_records": -Infinity}', "-Infinity is no number"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "cannot be read: Exceeds the limit"),
        (b"\xff\xfe\x00", "cannot be read: 'utf-8' codec"),
        (b"\0" * 100, "cannot be read: "),
        (b"", "cannot be read: "),
    ],
    ids=["deep", "deep in a field", "NaN", "infinity", "digits", "no text", "zeros", "empty"],
)
def test_what_is_no_manifest_at_all(copied, text, reason):
    (copied / "manifest.json").write_bytes(text)
    assert reason in refusal(copied)
    for read_fn in (lambda: load_classes(copied / "manifest.json"), lambda: file_digests(copied)):
        with pytest.raises(InputError, match=r"manifest\.json: "):
            read_fn()


def test_a_huge_file_is_not_read(copied):
    # Sparse: it takes no room on the disk, and would take all memory.
    os.truncate(copied / "manifest.json", 2**42)
    assert "has 4,398,046,511,104 bytes: must have at most 268,435,456" in refusal(copied)


def test_a_pipe_is_not_waited_for(copied):
    (copied / "manifest.json").unlink()
    os.mkfifo(copied / "manifest.json")
    assert "manifest.json: must be a file" in refusal(copied)


HOSTILE = (
    *(None, True, -1, 0, 1, 2**31, 2**63, 10**300, 1.5, -0.0, "", "..", "/", "a", "a\0", "\ud800"),
    *([], {}, [[]], [1], {"a": 1}, [{}], float("nan"), float("inf"), "x" * 10_000, "\n"),
)


def places(value, path=()):
    """The path of every value within ``value``."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items if isinstance(value, (dict, list)) else ():
        yield from places(item, (*path, key)) if isinstance(item, (dict, list)) else [(*path, key)]


def mutated(content, draw):
    content = json.loads(json.dumps(content))
    for _ in range(draw.choice((1, 1, 2, 3))):
        *others, last = draw.choice(list(places(content)))
        holder = content
        for key in others:
            holder = holder[key]
        action = draw.choice(("replace", "replace", "remove", "double", "add"))
        if action == "remove":
            del holder[last]
        elif action == "double" and isinstance(holder, list):
            holder.append(holder[last])
        elif action == "add" and isinstance(holder, dict):
            holder[draw.choice(("x", "", "\n", "file"))] = draw.choice(HOSTILE)
        else:
            holder[last] = draw.choice(HOSTILE)
    return json.dumps(content).encode()


def garbled(text, draw):
    text = bytearray(text)
    for _ in range(draw.choice((1, 2, 8))):
        begin = draw.randrange(len(text))
        end = begin + draw.choice((0, 1, 1, 5, 100))
        text[begin:end] = draw.choice(
            (b"", b"-", b"9", b"e9", b'"', b"[", b"}", b"\0", bytes([draw.randrange(256)]))
        )
    return bytes(text)


@pytest.mark.parametrize("count", [400, pytest.param(20_000, marks=pytest.mark.soak)])
def test_a_mutated_manifest_is_refused_in_a_line_or_safe(copied, count):
    content = content_of(copied)
    whole = (copied / "manifest.json").read_bytes()
    draw = random.Random(11)
    accepted = 0
    for _ in range(count):
        text = mutated(content, draw) if draw.random() < 0.7 else garbled(whole, draw)
        (copied / "manifest.json").write_bytes(text)
        try:
            manifest = Manifest.load(copied)
        except InputError as error:
            assert "\n" not in str(error), text
            continue
        accepted += 1
        for path, shard in zip(manifest.shard_paths, manifest.shards):
            assert os.path.dirname(os.path.realpath(path)) == str(copied)
            assert sum(shard.record_bytes) + FRAME_BYTES * shard.num_records == shard.bytes
        assert len(RecordReader([manifest])) == manifest.num_records == 6
    assert count / 100 < accepted < count / 2
