"""Any mutation of a layout's files gives a right set, or an error, or a word about what is gone."""

import os
import random
import shutil

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records import rejects
from ssd_tfrecord.records.sources.layouts import recognition
from ssd_tfrecord.records.sources.layouts.layout import Policies

CASES = int(os.environ.get("SSD_TFRECORD_FUZZ_CASES", "200"))

# What stands in the places of numbers and names in the world, and what would do harm.
ODD = [
    *(
        b"",
        b"\0",
        b"\xff",
        b"\n",
        b'"',
        b",",
        b" ",
        b"[",
        b"{",
        b"}",
        b"&a",
        b"*a",
        b"-1",
        b"1e400",
    ),
    *(b"nan", b"../..", b"/etc/passwd", b"9" * 50, b"null", b"\xef\xbb\xbf", b"dog", b";", b"1_0"),
]
READERS = ("yolo", "yolo_roboflow", "darknet", "csv_tables", "retinanet", "labelme", "open_images")


def _changed(rng, content):
    for _ in range(rng.randint(1, 3)):
        start = rng.randint(0, len(content))
        stop = min(len(content), start + rng.choice((0, 0, 1, 3, 30)))
        other = rng.randint(0, len(content))
        new = rng.choice((*ODD, content[other : other + 30]))
        content = content[:start] + new + content[stop:]
    return content


def _policies(rng):
    return Policies(
        unannotated=rng.choice(("auto", "skip", "negative", "fail")),
        bad_images=rng.choice(("fail", "drop", "repair")),
        bad_boxes=rng.choice(("fail", "drop", "clip")),
        unknown_classes=rng.choice(("fail", "drop")),
    )


def _read(folder, policies):
    """What a folder says: {(split, image): [(class, box)]}, the number of rejects, the notes."""
    finding = recognition.recognise(folder)
    images, dropped, said = {}, 0, [*finding.notes]
    for part in finding.parts:
        sources = part.read(policies)
        for image in sources.images:
            path = os.path.realpath(image.image_path)
            assert path.startswith(os.path.join(os.path.realpath(folder), ""))
            assert os.path.getsize(path) >= image.offset + image.num_bytes
            assert all(item.name.strip() == item.name != "" for item in image.objects)
            assert all(len(item.box) == 4 for item in image.objects)
            name = image.filename or os.path.basename(path)
            images[part.name, name] = [(item.name, item.box) for item in image.objects]
        rejects.to_lines(sources.rejects)
        dropped += len(sources.rejects)
        # The conversion refuses a set without images.
        said += [*sources.notes, *([] if sources.images else ["empty"])]
    return images, dropped, said


@pytest.mark.parametrize("name", [*READERS, "tfrecord"])
def test_mutations(name, writers, samples, tmp_path):
    writers[name](tmp_path / "right", samples[:4])
    right, _, _ = _read(str(tmp_path / "right"), Policies())
    files = sorted(
        path.relative_to(tmp_path / "right")
        for path in (tmp_path / "right").rglob("*")
        if path.is_file() and path.suffix != ".jpg"
    )
    rng, read = random.Random(name), 0
    shutil.copytree(tmp_path / "right", tmp_path / "set")
    for _ in range(CASES):
        file = rng.choice(files)
        content = (tmp_path / "right" / file).read_bytes()
        changed = _changed(rng, content)
        (tmp_path / "set" / file).write_bytes(changed)
        try:
            images, dropped, said = _read(str(tmp_path / "set"), _policies(rng))
        except InputError as error:
            assert "\n" not in str(error) and len(str(error)) < 2000
        else:
            read += 1
            assert any(images.values()) or dropped or said, changed
            assert len(images) == len(right) or dropped or said, changed
            # An image whose annotations are in a file of its own is as ever if another has changed.
            for (split, image), objects in right.items():
                if file.stem.startswith("img") and not image.startswith(file.stem):
                    assert images[split, image] == objects, changed
        (tmp_path / "set" / file).write_bytes(content)
    assert 0 < read < CASES


@pytest.mark.parametrize("name", [*READERS, "tfrecord"])
def test_files_that_are_missing(name, writers, samples, tmp_path):
    """Without any one of its files, a set is refused, or what is gone is told."""
    writers[name](tmp_path, samples)
    right, _, _ = _read(str(tmp_path), Policies())
    count = sum(map(len, right.values()))
    for path in sorted(path for path in tmp_path.rglob("*") if path.is_file()):
        content = path.read_bytes()
        path.unlink()
        try:
            images, dropped, said = _read(str(tmp_path), Policies(bad_images="drop"))
        except InputError as error:
            assert "\n" not in str(error)
        else:
            objects = sum(map(len, images.values()))
            # A table or a file of records is a whole split: without it, there is no such split.
            whole = path.suffix in (".csv", ".record-00000-of-00001", ".yaml", ".data")
            assert objects == count or dropped or said or whole, path
        path.write_bytes(content)
