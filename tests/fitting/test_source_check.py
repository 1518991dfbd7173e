"""What a folder holds, and the one line that refuses it before anything is written."""

import dataclasses
import json
import shutil

import pytest

from ssd_tfrecord import flags
from ssd_tfrecord.config import FitConfig
from ssd_tfrecord.errors import DiskError, InputError
from ssd_tfrecord.fitting import source_check
from ssd_tfrecord.fitting.source_check import Found, training_parts


def config_of(folder, *words):
    return flags.parse(FitConfig, ["fit", str(folder), f"--output_dir={folder}/../out", *words])


def test_images_without_splits_are_divided(draw_folder, tmp_path):
    found = source_check.check(config_of(draw_folder(tmp_path / "in", 20)))
    assert found.parts == {"train": 16, "val": 4}
    assert found.split == (0.8, 0.2)
    assert found.classes == "auto"
    assert "no splits: the images are divided, --split=0.8,0.2" in found.lines
    assert not (tmp_path / "out").exists()


def test_a_training_set_alone_is_divided(draw_folder, tmp_path):
    found = source_check.check(config_of(draw_folder(tmp_path / "in", 20, ("train",))))
    assert found.parts == {"train": 16, "val": 4}
    assert found.lines[1].startswith("no images to evaluate on: ")


def test_splits_that_are_there_are_taken(draw_folder, tmp_path):
    folder = draw_folder(tmp_path / "in", 20, ("train", "train", "train", "test"))
    found = source_check.check(config_of(folder))
    assert found.parts == {"train": 15, "test": 5}
    assert found.split == ()
    # As fit.json keeps it.
    assert Found.of(json.loads(json.dumps(dataclasses.asdict(found)))) == found


@pytest.mark.parametrize("content", [{}, {"parts": 3}, {"parts": {"a": "b"}, "split": []}])
def test_what_fit_json_may_hold_instead(content):
    assert Found.of(content) is None


@pytest.mark.parametrize(
    ("names", "hold_out", "wanted"),
    [
        (("train", "val"), False, (["train"], "val", "val")),
        (("train", "test"), False, (["train"], "", "test")),
        (("train", "val", "test"), False, (["train", "val"], "", "test")),
        (("train", "val", "test"), True, (["train"], "val", "test")),
    ],
)
def test_which_split_is_for_what(names, hold_out, wanted):
    assert training_parts(names, hold_out=hold_out) == wanted


def refusal(config):
    with pytest.raises(InputError) as caught:
        source_check.check(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_empty_folder(tmp_path):
    (tmp_path / "in").mkdir()
    assert "nothing found in 0 files" in refusal(config_of(tmp_path / "in"))


def test_two_layouts_at_once(draw_folder, tmp_path):
    folder = draw_folder(tmp_path / "in", 12)
    (folder / "instances.json").write_text(
        json.dumps({"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]})
    )
    assert "pass --layout=voc or --layout=coco" in refusal(config_of(folder))


def test_fewer_than_ten_images(draw_folder, tmp_path):
    text = refusal(config_of(draw_folder(tmp_path / "in", 9)))
    assert text.endswith("has 9 annotated images; must be at least 10")


def test_nothing_to_train_on(draw_folder, tmp_path):
    text = refusal(config_of(draw_folder(tmp_path / "in", 20, ("val", "test"))))
    assert text.endswith(
        "has val and test, but nothing to train on; must have train, or pass --split=0.8,0.2 to "
        "divide all images"
    )


def test_no_split_to_make(draw_folder, tmp_path):
    # All images are the same to the byte, so they must stay together.
    folder = draw_folder(tmp_path / "in", 12)
    for path in folder.glob("*.jpg"):
        if path.name != "000.jpg":
            shutil.copy(folder / "000.jpg", path)
    assert "--split" in refusal(config_of(folder))


def test_a_class_that_cannot_be_learnt(draw_folder, tmp_path):
    folder = draw_folder(tmp_path / "in", 10, ("train",), ("cat",))
    draw_folder(folder, 10, ("test",), ("cat", "dog"))
    assert "'dog': no object in train, so it cannot be learnt" in refusal(config_of(folder))


def yolo(folder, names):
    (folder / "labels").mkdir(parents=True)
    draw = folder / "images"
    draw.mkdir()
    for index in range(12):
        (folder / "labels" / f"{index:03}.txt").write_text("0 0.5 0.5 0.4 0.4\n")
    (folder / "classes.txt").write_text("\n".join(names))
    return draw


def test_a_class_without_objects(draw_folder, tmp_path):
    images = yolo(tmp_path / "in", ["cat", "ghost"])
    draw_folder(images, 12)
    for path in images.glob("*.xml"):
        path.unlink()
    text = refusal(config_of(tmp_path / "in"))
    assert "'ghost': a class without objects; pass --classes=auto" in text
    assert source_check.check(config_of(tmp_path / "in", "--classes=auto")).classes == "auto"


def test_no_object_at_all(draw_folder, tmp_path):
    assert "no image has an object" in refusal(
        config_of(draw_folder(tmp_path / "in", 12, names=()))
    )


def test_no_room_on_the_disk(draw_folder, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**9))
    with pytest.raises(DiskError, match=r"has room for 1\.0 GB; about 1\.5 GB are needed"):
        source_check.check(config_of(draw_folder(tmp_path / "in", 12)))


def test_a_folder_is_required():
    with pytest.raises(InputError, match="a folder is required: ssd-tfrecord fit FOLDER"):
        flags.parse(FitConfig, ["fit", "--output_dir=x"])
