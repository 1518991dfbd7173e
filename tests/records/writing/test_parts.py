"""Several record sets of one conversion: one class list, folders, what is complete already."""

import dataclasses
import json
import os
import shlex

import pytest

from ssd_tfrecord import flags
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import BoxOptions, ImageOptions, RecordSetOptions
from ssd_tfrecord.records.known_classes import VOC_CLASSES
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.sources import spool
from ssd_tfrecord.records.sources.source_set import SourceSet
from ssd_tfrecord.records.sources.spool import Spool
from ssd_tfrecord.records.writing import convert, parts
from ssd_tfrecord.records.writing.parts import Conversion


@pytest.fixture
def make_parts(make_images):
    """A function: {part: set} of images, each with an object of these classes."""
    images = make_images([20.0, 25.0, 30.0, 31.0])

    def make(category_ids=None, **names):
        found, rest = {}, iter(images)
        for part, classes in names.items():
            made = []
            for name in classes:
                image = next(rest)
                item = dataclasses.replace(image.objects[0], name=name)
                made.append(dataclasses.replace(image, objects=(item,)))
            ids = (category_ids or {}).get(part, {})
            found[part] = SourceSet(Spool(spool.IMAGES, made), {}, category_ids=ids)
        return found

    return make


@pytest.fixture
def conversion(tmp_path):
    """A function: a Conversion to tmp_path/out with these options of the record set."""

    def make(flag_lines=("--a=1", "--workers=1"), default_classes="auto", boxes=None, **options):
        out = os.fspath(tmp_path / "out")
        return Conversion(
            RecordSetOptions(output_dir=out, num_shards=1, workers=1, **options),
            ImageOptions(),
            BoxOptions(**(boxes or {})),
            "tool",
            flag_lines,
            frozenset({"workers"}),
            default_classes,
        )

    return make


def _classes(folder):
    return [(item.name, item.original_id) for item in Manifest.load(folder).classes]


def test_all_parts_have_the_classes_of_all(make_parts, conversion, tmp_path, capsys):
    parts.convert_parts(make_parts(train=["cat", "dog"], val=["bird"]), conversion())
    for name in ("train", "val"):
        manifest = Manifest.load(tmp_path / "out" / name)
        assert [item.name for item in manifest.classes] == ["bird", "cat", "dog"]
        assert (manifest.name, manifest.tool) == (name, "tool")
        assert manifest.flags == ("--a=1", "--workers=1")
    assert Manifest.load(tmp_path / "out/val").per_class["cat"]["objects"] == 0
    said = capsys.readouterr().out
    assert said.startswith("train:\n") and "\nval:\n" in said


def test_the_own_list_of_the_layout_has_its_order_and_ids(make_parts, conversion, tmp_path):
    ids = {"train": {"dog": 3, "cat": 7}, "val": {"bird": 5, "cat": 7}}
    parts.convert_parts(make_parts(ids, train=["cat"], val=["bird"]), conversion())
    for name in ("train", "val"):
        assert _classes(tmp_path / "out" / name) == [("dog", 3), ("bird", 5), ("cat", 7)]
    content = json.loads((tmp_path / "out/classes.json").read_text())
    assert [item["original_id"] for item in content["classes"]] == [3, 5, 7]


def test_ids_that_contradict_each_other_do_not_matter_to_names(make_parts, conversion, tmp_path):
    ids = {"train": {"cat": 1}, "val": {"cat": 2}}
    with pytest.raises(InputError, match=r"class 'cat' has id 2 in val.*or pass --classes=auto"):
        parts.convert_parts(make_parts(ids, train=["cat"], val=["cat"]), conversion())
    sources = make_parts(ids, train=["cat"], val=["cat"])
    parts.convert_parts(sources, conversion(classes="auto"))
    # Each has the ids of its own annotations.
    assert _classes(tmp_path / "out/train") == [("cat", 1)]
    assert _classes(tmp_path / "out/val") == [("cat", 2)]


def test_a_file_of_classes(make_parts, conversion, tmp_path):
    (tmp_path / "names.txt").write_text("dog\ncat\nbird\n")
    sources = make_parts(train=["cat"], val=["bird"])
    parts.convert_parts(sources, conversion(classes=str(tmp_path / "names.txt")))
    assert [name for name, _ in _classes(tmp_path / "out/val")] == ["dog", "cat", "bird"]


@pytest.mark.parametrize(
    ("default", "names", "wanted"),
    [("voc", ["cat", "dog"], VOC_CLASSES), ("voc", ["cat", "cell"], ("cat", "cell"))],
)
def test_the_classes_of_a_devkit(make_parts, conversion, tmp_path, default, names, wanted):
    parts.convert_parts(make_parts(train=names), conversion(default_classes=default))
    assert tuple(name for name, _ in _classes(tmp_path / "out")) == wanted


def test_an_unknown_class_is_named_with_its_part(make_parts, conversion, tmp_path):
    (tmp_path / "names.txt").write_text("cat\n")
    flags = {"classes": str(tmp_path / "names.txt")}
    sources = make_parts(train=["cat"], val=["cat", "horse"])
    with pytest.raises(InputError, match=r"^val: .*: class 'horse' is not one of cat; add it to"):
        parts.convert_parts(sources, conversion(**flags))
    assert not (tmp_path / "out").exists()
    parts.convert_parts(
        sources, conversion(boxes={"unknown_classes": "drop"}, max_dropped=100.0, **flags)
    )
    assert Manifest.load(tmp_path / "out/val").num_objects == 1


def test_a_fault_in_an_image_is_named_with_its_part(make_parts, conversion):
    sources = make_parts(train=["cat"], val=["cat"])
    with open(sources["val"].images[0].image_path, "wb") as file:
        file.write(b"no image")
    with pytest.raises(InputError, match=r"^val: .*"):
        parts.convert_parts(sources, conversion())


def test_one_part_is_the_folder_itself(make_parts, conversion, tmp_path):
    parts.convert_parts(make_parts(train=["cat"]), conversion())
    assert Manifest.load(tmp_path / "out").name == "out"
    assert not (tmp_path / "out/classes.json").exists()
    command = parts.train_command(conversion(), ["train"])
    assert command == f"ssd-tfrecord train --train_records={tmp_path}/out --run_dir=runs/out"


@pytest.mark.parametrize(
    ("names", "train", "held_out"),
    [
        (["train", "val", "test"], "train", "val"),
        (["train", "test"], "train", "test"),
        (["val", "test"], "val", "val"),
    ],
)
def test_the_command_that_trains(conversion, tmp_path, names, train, held_out):
    words = parts.train_command(conversion(), names).split()
    assert words[2] == f"--train_records={tmp_path}/out/{train}"
    found = [word for word in words if word.startswith("--eval_records")]
    assert found == ([f"--eval_records={tmp_path}/out/{held_out}"] if held_out != train else [])


def test_the_command_that_trains_names_one_folder_though_it_has_a_comma(conversion):
    made = conversion()
    odd = dataclasses.replace(made.record_set, output_dir='in "2026", new')
    command = parts.train_command(dataclasses.replace(made, record_set=odd), ["train", "val"])
    read = flags.parse(TrainConfig, shlex.split(command)[1:])
    assert read.train_records == ('in "2026", new/train',)
    assert read.eval_records == 'in "2026", new/val'


def test_a_set_name_begins_the_names_of_all(make_parts, conversion, tmp_path):
    parts.convert_parts(make_parts(train=["cat"], val=["cat"]), conversion(set_name="own"))
    assert Manifest.load(tmp_path / "out/val").name == "own_val"


def test_what_is_complete_is_not_written_again(make_parts, conversion, tmp_path, capsys):
    sources, names = make_parts(train=["cat"], val=["dog"]), ["train", "val"]
    assert parts.has_work(conversion(), names)
    parts.convert_parts(sources, conversion())
    os.remove(tmp_path / "out/val/manifest.json")
    for path in (tmp_path / "out/val").iterdir():
        path.unlink()
    before = os.stat(tmp_path / "out/train/manifest.json").st_mtime_ns
    capsys.readouterr()
    # Flags that do not matter to the result may differ.
    again = conversion(flag_lines=("--a=1", "--workers=7"))
    assert parts.has_work(again, names)
    said = (
        f"{tmp_path}/out/train is complete: the same command has written it; if the input has "
        "changed since, pass --overwrite\n"
    )
    assert capsys.readouterr().out == said
    parts.convert_parts(sources, again)
    assert os.stat(tmp_path / "out/train/manifest.json").st_mtime_ns == before
    assert not parts.has_work(again, names)


@pytest.mark.parametrize("what", ["image", "box", "file"])
def test_a_complete_part_of_other_images_is_an_error(make_parts, conversion, tmp_path, what):
    sources = make_parts(train=["cat", "dog"], val=["dog"])
    parts.convert_parts(sources, conversion())
    os.remove(tmp_path / "out/val/manifest.json")
    for path in (tmp_path / "out/val").iterdir():
        path.unlink()
    first, second = sources["train"].images
    if what == "image":
        # As if they were divided anew.
        images = [first, *sources["val"].images]
    elif what == "box":
        (item,) = second.objects
        moved = dataclasses.replace(item, box=(*item.box[:3], item.box[3] - 1))
        images = [first, dataclasses.replace(second, objects=(moved,))]
    else:
        images = [first, second]
        with open(second.image_path, "ab") as file:
            file.write(b"more")
    changed = dataclasses.replace(sources["train"], images=Spool(spool.IMAGES, images))
    with pytest.raises(InputError) as raised:
        parts.convert_parts({**sources, "train": changed}, conversion())
    assert str(raised.value) == (
        f"{tmp_path}/out/train/manifest.json: was made from other images or annotations than are "
        "there now; pass --overwrite, which makes all parts again"
    )
    assert not (tmp_path / "out/val/manifest.json").exists()


def test_overwriting_writes_all_again(make_parts, conversion):
    parts.convert_parts(make_parts(train=["cat"], val=["dog"]), conversion())
    assert parts.has_work(conversion(overwrite=True), ["train", "val"])


def test_a_part_of_another_command_is_not_overwritten(make_parts, conversion, tmp_path):
    sources, names = make_parts(train=["cat"], val=["dog"]), ["train", "val"]
    parts.convert_parts(sources, conversion())
    other = conversion(flag_lines=("--a=2",))
    with pytest.raises(InputError, match=r"out/train: already holds a record set"):
        parts.has_work(other, names)
    forced = dataclasses.replace(
        other, record_set=dataclasses.replace(other.record_set, overwrite=True)
    )
    assert parts.has_work(forced, names)
    parts.convert_parts(sources, forced)
    assert Manifest.load(tmp_path / "out/val").flags == ("--a=2",)


def test_a_complete_part_with_other_classes_is_an_error(make_parts, conversion, tmp_path):
    parts.convert_parts(make_parts(train=["cat"], val=["dog"]), conversion())
    os.remove(tmp_path / "out/val/manifest.json")
    match = (
        r"out/train/manifest\.json: has the classes cat, dog, but the annotations now have bird,"
    )
    with pytest.raises(InputError, match=match):
        parts.convert_parts(make_parts(train=["cat"], val=["bird"]), conversion())


def test_an_interrupted_part_is_resumed(make_parts, conversion, tmp_path, monkeypatch, capsys):
    sources = make_parts(train=["cat"], val=["dog", "cat"])
    publish = convert.journal.Journal.publish

    def interrupted(self, *files):
        if "val" in self.folder:
            raise KeyboardInterrupt
        publish(self, *files)

    monkeypatch.setattr(convert.journal.Journal, "publish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        parts.convert_parts(sources, conversion())
    monkeypatch.undo()
    capsys.readouterr()
    parts.convert_parts(sources, conversion())
    assert "resuming: 1 of 1 shards are already finished" in capsys.readouterr().err
    assert Manifest.load(tmp_path / "out/val").num_records == 2


def test_a_dry_run_writes_nothing(make_parts, conversion, tmp_path, capsys):
    sources = make_parts(train=["cat"], val=["dog"])
    parts.convert_parts(sources, conversion(dry_run=True))
    assert capsys.readouterr().out.count("dry run: nothing was written") == 2
    assert not (tmp_path / "out").exists()
