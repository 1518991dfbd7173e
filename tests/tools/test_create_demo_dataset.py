"""The demo data set on disk: counted, VOC's layout and pixels, seeded, never half-written."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
from lxml import etree
from PIL import Image

from ssd_tfrecord import flags
from ssd_tfrecord.config import DemoConfig
from ssd_tfrecord.datasets.demo import dataset, session
from ssd_tfrecord.datasets.demo.scenes import Scene, SceneObject, compose_scene
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources import voc

TOOL = pathlib.Path(__file__).parents[2] / "tools/create_demo_dataset.py"
NUM_TRAIN, NUM_TEST = 120, 30


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    tallies = dataset.write_demo_dataset(root, num_train=NUM_TRAIN, num_test=NUM_TEST, seed=0)
    return root / "VOCdemo", tallies


def write_small(root, *, num_train=2, num_test=1, seed=3, overwrite=False):
    return dataset.write_demo_dataset(
        root, num_train=num_train, num_test=num_test, seed=seed, overwrite=overwrite
    )


def read_objects(folder):
    """(image number, (width, height), name, VOC box, truncated, difficult) of every object."""
    for path in sorted((folder / "Annotations").iterdir()):
        root = etree.parse(str(path)).getroot()
        size = tuple(int(root.findtext(f"size/{key}")) for key in ("width", "height"))
        for item in root.iter("object"):
            box = [int(item.findtext(f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax")]
            marks = (item.findtext("truncated") == "1", item.findtext("difficult") == "1")
            yield int(path.stem), size, item.findtext("name"), box, *marks


def test_set_looks_like_detection(demo):
    objects = list(read_objects(demo[0]))
    count = len(objects)
    assert 2.5 <= count / (NUM_TRAIN + NUM_TEST) <= 3.2
    names = [name for _, _, name, *_ in objects]
    assert len(set(names)) == 6
    assert min(names.count(name) for name in set(names)) >= count / 10

    small = [
        box[2] - box[0] + 1 < size[0] / 10 and box[3] - box[1] + 1 < size[1] / 10
        for _, size, _, box, *_ in objects
    ]
    assert 0.06 <= sum(small) / count <= 0.14
    met = [any(share_pixels(one, other) for other in objects) for one in objects]
    assert 0.18 <= sum(met) / count <= 0.35
    truncated, difficult = (sum(item[k] for item in objects) / count for k in (4, 5))
    assert 0.05 <= truncated <= 0.15
    assert 0.02 <= difficult <= 0.08


def share_pixels(one, other):
    """Whether two objects of an image share a tenth of the smaller box (VOC pixels, inclusive)."""
    if one is other or one[0] != other[0]:
        return False
    (left, top, right, bottom), (left2, top2, right2, bottom2) = one[3], other[3]
    wide = min(right, right2) - max(left, left2) + 1
    high = min(bottom, bottom2) - max(top, top2) + 1
    smaller = min(
        (right - left + 1) * (bottom - top + 1), (right2 - left2 + 1) * (bottom2 - top2 + 1)
    )
    return wide > 0 and high > 0 and wide * high >= 0.1 * smaller


def test_tally_is_what_the_files_hold(demo):
    folder, tallies = demo
    objects = list(read_objects(folder))
    train = [item for item in objects if item[0] <= NUM_TRAIN]
    assert (tallies["train"].images, tallies["test"].images) == (NUM_TRAIN, NUM_TEST)
    assert tallies["train"].objects == len(train)
    assert tallies["train"].kinds["overlapping"] == sum(
        any(share_pixels(one, other) for other in train) for one in train
    )
    assert tallies["train"].kinds["truncated"] == sum(item[4] for item in train)
    assert tallies["test"].per_class["fish"] == sum(
        item[2] == "fish" for item in objects[len(train) :]
    )


def test_table_counts_and_gives_shares():
    tally = dataset.Tally()
    objects = (
        SceneObject("ball", (0, 0, 9, 9), truncated=True, difficult=False, visible=0.5),
        SceneObject("ball", (8, 8, 28, 10), truncated=False, difficult=True, visible=1.0),
        SceneObject("leaf", (50, 50, 60, 59), truncated=False, difficult=False, visible=1.0),
        SceneObject("leaf", (6, 0, 9, 9), truncated=False, difficult=False, visible=1.0),
    )
    tally.add(Scene(np.zeros((100, 100, 3), np.uint8), None, objects))
    lines = [line.split() for line in dataset.format_tallies({"train": tally}).splitlines()]
    assert lines == [
        ["train"],
        ["images", "1"],
        ["objects", "4"],
        *([name, count] for name, count in zip(dataset.CLASSES, "200200")),
        ["small", "50.0%"],
        ["overlapping", "50.0%"],
        ["truncated", "25.0%"],
        ["difficult", "25.0%"],
    ]


def test_layout_and_sizes_are_vocs(demo):
    folder, _ = demo
    main = folder / "ImageSets/Main"
    train, test = ((main / f"{name}.txt").read_text().split() for name in ("train", "test"))
    assert train == [f"{number:06d}" for number in range(1, NUM_TRAIN + 1)]
    assert test == [f"{number:06d}" for number in range(NUM_TRAIN + 1, NUM_TRAIN + NUM_TEST + 1)]
    assert [p.stem for p in sorted((folder / "JPEGImages").iterdir())] == train + test
    for number, size, _, (left, top, right, bottom), *_ in read_objects(folder):
        assert 1 <= left <= right <= size[0]
        assert 1 <= top <= bottom <= size[1]
        with Image.open(folder / f"JPEGImages/{number:06d}.jpg") as image:
            assert image.size == size


def test_annotation_counts_pixels_from_one():
    item = SceneObject("crate", (0, 0, 40, 30), truncated=True, difficult=False, visible=0.5)
    scene = Scene(np.zeros((30, 40, 3), np.uint8), np.zeros((30, 40), int), (item,))
    root = etree.fromstring(dataset.annotation_xml(scene, "000007.jpg"))
    texts = {element.tag: element.text for element in root.iter() if not len(element)}
    assert texts == {
        **{"folder": "VOCdemo", "filename": "000007.jpg", "database": "ssd_tfrecord demo"},
        **{"width": "40", "height": "30", "depth": "3", "segmented": "0"},
        **{"name": "crate", "pose": "Unspecified", "truncated": "1", "difficult": "0"},
        **{"xmin": "1", "ymin": "1", "xmax": "40", "ymax": "30"},
    }


def test_converter_reads_the_very_boxes_drawn(tmp_path):
    write_small(tmp_path)
    source = voc.read_devkit(str(tmp_path), ("demo_train",)).images[0]
    scene = compose_scene(np.random.default_rng([3, 0, 0]))
    assert source.source_id == "VOCdemo/000001"
    assert len(source.objects) == len(scene.objects) > 0
    for read, drawn in zip(source.objects, scene.objects):
        left, top, right, bottom = drawn.box
        assert read.box == (top, left, bottom, right)
        assert read.name == drawn.name
        assert (read.truncated, read.difficult) == (drawn.truncated, drawn.difficult)


def read_files(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*.*")}


def test_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_small(tmp_path / name, seed=seed)
    first, same, other = (read_files(tmp_path / name) for name in "abc")
    assert len(first) == 8
    assert first == same
    image = pathlib.Path("VOCdemo/JPEGImages/000001.jpg")
    assert first[image] != other[image]


def test_two_processes_draw_the_same_bytes_and_count_the_same(demo, tmp_path):
    folder, tallies = demo
    # More images than two chunks of workers.map_in_order, so that both have some.
    again = dataset.write_demo_dataset(
        tmp_path, num_train=NUM_TRAIN, num_test=NUM_TEST, seed=0, num_workers=2
    )
    assert read_files(tmp_path) == read_files(folder.parent)
    assert again == tallies


@pytest.mark.parametrize(
    ("words", "num_workers"),
    [
        (("--num_train=1000", "--num_test=200"), 2),
        (("--num_train=100", "--num_test=99"), 1),
        (("--num_train=1", "--workers=3"), 3),
    ],
)
def test_number_of_processes(words, num_workers, monkeypatch, tmp_path):
    asked = []

    def write(folder, **settings):
        asked.append(settings["num_workers"])
        return {"train": dataset.Tally(), "test": dataset.Tally()}

    monkeypatch.setattr(session, "write_demo_dataset", write)
    monkeypatch.setattr(session.os, "sched_getaffinity", lambda _: {0, 1})
    session.run(flags.parse(DemoConfig, ["prog", f"--output_dir={tmp_path}", *words]))
    assert asked == [num_workers]


def test_image_depends_on_its_number_not_on_how_many_there_are(tmp_path):
    write_small(tmp_path / "a", num_train=1)
    write_small(tmp_path / "b", num_train=2)
    few, more = (tmp_path / name / "VOCdemo/JPEGImages" for name in "ab")
    assert (few / "000001.jpg").read_bytes() == (more / "000001.jpg").read_bytes()
    assert (few / "000002.jpg").read_bytes() == (more / "000003.jpg").read_bytes()
    assert (few / "000001.jpg").read_bytes() != (few / "000002.jpg").read_bytes()


def test_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("dear")
    with pytest.raises(InputError, match=r"already holds 'thesis.txt'; .*or pass --overwrite"):
        write_small(tmp_path)
    with pytest.raises(InputError, match=r"thesis.txt: is a file; must be a folder"):
        write_small(tmp_path / "thesis.txt", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_overwrite_replaces_the_set_and_nothing_else(tmp_path):
    write_small(tmp_path)
    (tmp_path / "thesis.txt").write_text("dear")
    write_small(tmp_path, num_train=1, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["VOCdemo", "thesis.txt"]
    assert len(list((tmp_path / "VOCdemo/JPEGImages").iterdir())) == 2


def test_interrupted_set_has_no_final_name_and_the_next_run_goes_through(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(dataset, "annotation_xml", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_small(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["VOCdemo.partial"]
    write_small(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["VOCdemo"]


def run_tool(*words):
    return subprocess.run(
        [sys.executable, "-W", "error", str(TOOL), *words],
        check=False,
        capture_output=True,
        text=True,
    )


def test_tool_draws_the_set_and_prints_its_table(tmp_path):
    ran = run_tool(f"--output_dir={tmp_path}", "--num_train=2", "--num_test=1", "--seed=3")
    assert ran.returncode == 0
    assert "scenes: 100%" in ran.stderr
    assert ran.stdout.splitlines()[1].split() == ["images", "2", "1"]
    assert f"--voc_root={tmp_path} --sets=demo_train" in ran.stdout
    again = run_tool(f"--output_dir={tmp_path}")
    assert again.returncode == 2
    assert again.stderr.startswith(f"error: --output_dir={tmp_path}: already holds 'VOCdemo'")
    assert again.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--output_dir=", "--output_dir is required"),
        ("--num_train=0", "--num_train=0: must be at least 1"),
        ("--seed=-1", "--seed=-1: must be at least 0"),
    ],
)
def test_wrong_flag_is_named(word, message):
    with pytest.raises(InputError, match=message):
        flags.parse(DemoConfig, ["prog", "--output_dir=x", word])
