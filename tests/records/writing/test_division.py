"""Division into parts: fractions of every class, duplicates, and the same result everywhere."""

import collections
import dataclasses
import os
import random

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.rejects import DROPPED, ENCLOSED, Reject
from ssd_tfrecord.records.sources import spool
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceObject, SourceSet
from ssd_tfrecord.records.sources.spool import Spool
from ssd_tfrecord.records.writing import division
from ssd_tfrecord.records.writing.division import Group

FRACTIONS = {"train": 0.8, "val": 0.1, "test": 0.1}
BOX = (1.0, 2.0, 3.0, 4.0)


def _groups(seed, number=900, num_classes=12):
    """Images of classes as unequal as in the world, several in one image, some without objects."""
    rng = random.Random(seed)
    names = [f"class {number}" for number in range(num_classes)]
    groups = []
    for _ in range(number):
        counts = collections.Counter()
        for name in rng.choices(
            names, [1 / (n + 1) for n in range(num_classes)], k=rng.randint(0, 3)
        ):
            counts[name] += rng.choice((1, 1, 1, 2, 2, 5, 9))
        groups.append(Group(rng.randbytes(16), dict(counts), rng.choice((1, 1, 1, 2))))
    return groups


@pytest.mark.parametrize("seed", range(5))
def test_each_class_is_divided_near_the_fractions(seed):
    groups = _groups(seed)
    chosen = division.assign(groups, FRACTIONS, seed)
    objects, images = collections.defaultdict(collections.Counter), collections.Counter()
    in_images, total = collections.Counter(), collections.Counter()
    for group in groups:
        part = chosen[group.digest]
        images[part] += group.num_images
        for name, count in group.counts.items():
            objects[name][part] += count
            total[name] += count
            in_images[name] += 1
    checked = [name for name in total if in_images[name] >= 20]
    assert len(checked) == 12
    for name in checked:
        for part, share in FRACTIONS.items():
            assert objects[name][part] / total[name] == pytest.approx(share, abs=0.03), (name, part)
    for part, share in FRACTIONS.items():
        assert images[part] / sum(images.values()) == pytest.approx(share, abs=0.02)


def test_without_objects_images_are_divided():
    groups = [Group(bytes([number]) * 16, {}, 1) for number in range(100)]
    chosen = division.assign(groups, FRACTIONS, 0)
    assert collections.Counter(chosen.values()) == {"train": 80, "val": 10, "test": 10}


@pytest.mark.parametrize(
    ("number", "wanted"),
    [(1, (1, 0, 0)), (4, (4, 0, 0)), (6, (4, 1, 1)), (10, (8, 1, 1)), (20, (16, 2, 2))],
)
def test_rare_classes(number, wanted):
    groups = [Group(bytes([item]) * 16, {"rare": 1}, 1) for item in range(number)]
    groups += [Group(b"%016d" % item, {"common": 1}, 1) for item in range(100)]
    chosen = division.assign(groups, FRACTIONS, 0)
    found = collections.Counter(chosen[group.digest] for group in groups[:number])
    assert tuple(found[part] for part in FRACTIONS) == wanted


def test_the_order_of_images_does_not_matter_but_the_seed_does():
    groups = _groups(3)
    shuffled = random.Random(1).sample(groups, len(groups))
    assert division.assign(groups, FRACTIONS, 5) == division.assign(shuffled, FRACTIONS, 5)
    assert division.assign(groups, FRACTIONS, 5) != division.assign(groups, FRACTIONS, 6)


def test_the_result_is_the_same_on_any_machine():
    groups = [Group(b"%016d" % item, {"ab"[item % 2]: item % 3 + 1}, 1) for item in range(20)]
    chosen = division.assign(groups, {"train": 0.7, "val": 0.3}, 0)
    found = "".join(chosen[group.digest][0] for group in groups)
    assert found == KEPT


KEPT = "ttvttttttvttttttvvvv"


@pytest.fixture
def make_set(tmp_path):
    """A function: a set of image files of these contents, each with an object of its class."""

    def make(contents, folder="a"):
        images = []
        for number, (content, name) in enumerate(contents):
            path = tmp_path / folder / f"{number}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            objects = (SourceObject(1, name, BOX),) if name else ()
            images.append(SourceImage(f"id {number}", str(path), "f.xml", None, objects))
        return SourceSet(Spool(spool.IMAGES, images), {"input": "x"})

    return make


def _contents(parts):
    found = {}
    for name, part in parts.items():
        for image in part.images:
            with open(image.image_path, "rb") as file:
                file.seek(image.offset)
                found[image.source_id] = (name, file.read(image.num_bytes or -1))
    return found


def test_images_of_equal_content_are_never_torn_apart(make_set):
    contents = [(b"%d" % (number // 4), "ab"[number % 2]) for number in range(80)]
    parts = division.divide(make_set(contents), {"train": 0.5, "val": 0.5}, 0)
    found = _contents(parts)
    assert len(found) == 80
    part_of = collections.defaultdict(set)
    for part, content in found.values():
        part_of[content].add(part)
    assert len(part_of) == 20 and all(len(parts) == 1 for parts in part_of.values())
    assert {len(part.images) for part in parts.values()} == {40}


def test_names_and_places_do_not_matter(make_set):
    contents = [(b"%d" % number, "ab"[number % 2]) for number in range(40)]
    one = division.divide(make_set(contents), FRACTIONS, 0)
    other = division.divide(make_set(contents[::-1], "b"), FRACTIONS, 0)
    assert set(_contents(one).values()) == set(_contents(other).values())


def test_images_inside_of_a_file_are_told_apart(tmp_path):
    path = tmp_path / "a.record"
    path.write_bytes(b"".join(b"%03d" % (number % 10) for number in range(20)))
    images = [
        SourceImage(str(number), str(path), "f", offset=3 * number, num_bytes=3)
        for number in range(20)
    ]
    sources = SourceSet(Spool(spool.IMAGES, images), {})
    parts = division.divide(sources, {"train": 0.5, "val": 0.5}, 0)
    found = _contents(parts)
    assert all(found[str(number)] == found[str(number + 10)] for number in range(10))
    assert [len(part.images) for part in parts.values()] == [10, 10]


def test_what_belongs_to_an_image_goes_with_it(make_set):
    sources = make_set([(b"%d" % number, "a") for number in range(10)])
    rejects = [Reject("f", f"id {number}", "polygon", ENCLOSED, 1) for number in range(10)]
    rejects.append(Reject("f", "gone", "missing_image", DROPPED))
    sources = dataclasses.replace(
        sources, rejects=Spool(spool.REJECTS, rejects), notes=("note",), lost={"a": 3}
    )
    parts = division.divide(sources, {"train": 0.5, "val": 0.5}, 0)
    for part in parts.values():
        ids = {image.source_id for image in part.images}
        assert {reject.source_id for reject in part.rejects} - {"gone"} == ids
    train, val = parts.values()
    assert (train.notes, train.lost, val.notes, val.lost) == (("note",), {"a": 3}, (), {})
    assert "gone" in {reject.source_id for reject in train.rejects}
    assert val.origin == {"input": "x", "split": "val"}


def test_several_workers_divide_alike(make_set):
    sources = make_set([(b"%d" % number, "ab"[number % 2]) for number in range(70)])
    alone = _contents(division.divide(sources, FRACTIONS, 0, num_workers=1))
    assert _contents(division.divide(sources, FRACTIONS, 0, num_workers=2)) == alone


def test_a_missing_image_is_left_to_the_conversion(make_set):
    sources = make_set([(b"%d" % number, "a") for number in range(10)])
    os.remove(sources.images[3].image_path)
    parts = division.divide(sources, {"train": 0.5, "val": 0.5}, 0)
    assert sum(len(part.images) for part in parts.values()) == 10


def test_too_few_images(make_set):
    sources = make_set([(b"same", "a"), (b"same", "a"), (b"other", "a")])
    match = "^--split: 2 different images are too few: (val|test) would have none$"
    with pytest.raises(InputError, match=match):
        division.divide(sources, FRACTIONS, 0)
