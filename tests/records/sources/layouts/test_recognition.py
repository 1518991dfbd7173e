"""Every layout is recognised and read alike; what is none, or several, is an error of one line."""

import os
import pathlib

import numpy as np
import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import SourceOptions
from ssd_tfrecord.records.sources.layouts import recognition
from ssd_tfrecord.records.sources.layouts.layout import Policies, split_of
from ssd_tfrecord.records.sources.layouts.tree import Tree, common_folder

# {writer: (layout, what it is called, whether it can have images without objects)}.
LAYOUTS = {
    "voc_devkit": ("voc", "VOCdevkit (VOC2031)", True),
    "voc_beside": ("voc", "VOC XML (9 files)", True),
    "coco": ("coco", "COCO instances JSON (3 files)", True),
    "coco_roboflow": ("coco", "COCO instances JSON of Roboflow (3 files)", True),
    "yolo": ("yolo", "YOLO labels (3 names in own.yaml)", True),
    "yolo_roboflow": ("yolo", "YOLO labels (3 names in data.yaml)", True),
    "darknet": ("yolo", "YOLO labels (3 names in obj.data)", True),
    "csv_tables": ("csv", "CSV of boxes (3 files)", False),
    "retinanet": ("csv", "RetinaNet's CSV (3 files)", True),
    "labelme": ("labelme", "labelme JSON (9 files)", True),
    "open_images": ("openimages", "Open Images CSV (3 files of boxes)", False),
    "tfrecord": (
        "tfrecord",
        "TFRecords of the TF Object Detection API (3 names in label_map.pbtxt)",
        True,
    ),
}


def _name(image):
    return image.filename or os.path.basename(image.image_path)


def check_layout(finding, samples, has_empty):
    """Compares what the parts of ``finding`` read with ``samples``."""
    assert [part.name for part in finding.parts] == ["train", "val", "test"]
    for part in finding.parts:
        sources = part.read(Policies())
        wanted = {
            f"{sample.stem}.jpg": sample
            for sample in samples
            if sample.split == part.name and (sample.objects or has_empty)
        }
        assert sorted(map(_name, sources.images)) == sorted(wanted)
        for image in sources.images:
            sample = wanted[_name(image)]
            assert image.size in (None, sample.size)
            assert not any(item.flaw for item in image.objects)
            numbers = [item.index for item in image.objects]
            assert numbers == list(range(1, len(numbers) + 1))
            assert [item.name for item in image.objects] == [name for name, _ in sample.objects]
            found = np.array([item.box for item in image.objects]).reshape(-1, 4)
            if not finding.box_unit:
                found /= np.array(sample.size[::-1] * 2)
            boxes = np.array([box for _, box in sample.fractions]).reshape(-1, 4)
            np.testing.assert_allclose(found, boxes, rtol=0, atol=1e-6)
            with open(image.image_path, "rb") as file:
                file.seek(image.offset)
                assert file.read(image.num_bytes or -1) == sample.encoded
        assert len({image.source_id for image in sources.images}) == len(sources.images)


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_is_recognised_and_read(name, writers, samples, tmp_path):
    layout, what, has_empty = LAYOUTS[name]
    writers[name](tmp_path, samples)
    finding = recognition.recognise(str(tmp_path))
    assert finding.layout == layout
    said = recognition.describe(str(tmp_path), finding)
    assert said.startswith(f"{tmp_path}: {what}, splits train (")
    assert recognition.names_of_parts(str(tmp_path), finding) == ["train", "val", "test"]
    check_layout(finding, samples, has_empty)


def test_every_layout_is_written_and_every_writer_read(writers):
    assert set(writers) == set(LAYOUTS)
    layouts = {layout for layout, _, _ in LAYOUTS.values()}
    assert layouts == set(recognition.NAMES)
    field = SourceOptions.__dataclass_fields__["layout"]
    assert set(field.metadata["choices"]) == {"auto", *recognition.NAMES}


@pytest.mark.parametrize("name", LAYOUTS)
def test_bccd_is_the_same_in_every_layout(name, writers, bccd_samples, tmp_path):
    assert sum(len(sample.objects) for sample in bccd_samples) > 300
    writers[name](tmp_path, bccd_samples)
    layout, _, has_empty = LAYOUTS[name]
    finding = recognition.recognise(str(tmp_path))
    assert finding.layout == layout
    check_layout(finding, bccd_samples, has_empty)


def test_nothing_found_says_what_was_looked_for(tmp_path, write_file):
    write_file(tmp_path / "a.jpg", b"x")
    write_file(tmp_path / "b.txt", "a caption of a picture\n")
    with pytest.raises(InputError) as caught:
        recognition.recognise(str(tmp_path))
    text = str(caught.value)
    assert text.startswith(
        f"--input={tmp_path}: nothing found in 2 files, 1 of them images; looked"
    )
    for word in ("VOC XML", "COCO", "YOLO", "CSV", "Open Images", "labelme", "TFRecords"):
        assert word in text
    with pytest.raises(InputError, match=r"^--layout=coco: --input=.*; looked for: COCO instances"):
        recognition.recognise(str(tmp_path), "coco")


def test_two_layouts_are_an_error_until_one_is_chosen(tmp_path, writers, samples):
    writers["yolo_roboflow"](tmp_path, samples)
    writers["voc_beside"](tmp_path, samples)
    with pytest.raises(InputError, match=r"\(voc\) and YOLO labels \(.*\(yolo\); pass --layout="):
        recognition.recognise(str(tmp_path))
    assert recognition.recognise(str(tmp_path), "yolo").layout == "yolo"
    assert recognition.recognise(str(tmp_path), "voc").layout == "voc"


@pytest.mark.parametrize(
    ("name", "what"), [("a.zip", "is a file; unpack it"), ("b", "does not exist")]
)
def test_the_input_must_be_a_folder(tmp_path, name, what):
    (tmp_path / "a.zip").touch()
    with pytest.raises(InputError, match=rf"^--input=.*{name}: {what}; must be a folder$"):
        recognition.recognise(str(tmp_path / name))


def test_the_output_is_not_part_of_the_input(tmp_path, writers, samples):
    writers["csv_tables"](tmp_path, samples)
    writers["tfrecord"](tmp_path / "out", samples)
    with pytest.raises(InputError, match="pass --layout="):
        recognition.recognise(str(tmp_path))
    found = recognition.recognise(str(tmp_path), without=str(tmp_path / "out"))
    assert found.layout == "csv"
    with pytest.raises(InputError, match=r"^--output_dir=.*: must be another folder than --input$"):
        recognition.recognise(str(tmp_path), without=f"{tmp_path}/.")


def test_annotations_of_no_split_beside_others(tmp_path, writers, samples, write_file):
    writers["voc_beside"](tmp_path, samples)
    os.rename(tmp_path / "train", tmp_path / "more")
    finding = recognition.recognise(str(tmp_path))
    with pytest.raises(InputError, match=r"6 files of no split, beside val, test: move them"):
        recognition.names_of_parts(str(tmp_path), finding)


def test_links_that_lead_out_are_named_and_followed_if_asked(tmp_path, writers, samples):
    writers["voc_beside"](tmp_path / "elsewhere", samples)
    (tmp_path / "here").mkdir()
    for name in ("train", "valid"):
        (tmp_path / "here" / name).symlink_to(tmp_path / "elsewhere" / name)
    os.rename(tmp_path / "elsewhere/test", tmp_path / "here/test")
    finding = recognition.recognise(str(tmp_path / "here"))
    assert [part.name for part in finding.parts] == ["test"]
    assert finding.notes[0].startswith("links not followed: 2 (")
    finding = recognition.recognise(str(tmp_path / "here"), links="follow")
    assert [part.name for part in finding.parts] == ["train", "val", "test"]
    assert len(finding.parts[0].read(Policies(links="follow")).images) == 6


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train", "train"),
        ("instances_train2017.json", "train"),
        ("annotations/instances_minival.json", "val"),
        ("valid/_annotations.csv", "val"),
        ("validation-annotations-bbox.csv", "val"),
        ("ImageSets/Main/trainval.txt", "train"),
        ("train/images/test_set/a.xml", "test"),
        ("Test/labels.csv", "test"),
        ("labels.csv", ""),
        ("trains/restrain.csv", ""),
        ("train_and_test.csv", ""),
        ("train/train_test.csv", "train"),
        ("val\\a.xml", "val"),
        ("evaluation/latest.json", ""),
    ],
)
def test_split_of_a_path(path, split):
    assert split_of(path) == split


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("train/images", "train/images"),
        ("./train/images/", "train/images"),
        ("../train/images", "train/images"),
        ("/content/data-1/train/images", "train/images"),
        ("C:\\data\\train\\images", "train/images"),
        ("../valid/images", None),
        ("data/train/images/a.jpg", "train/images/a.jpg"),
        ("other/b.jpg", "images/b.jpg"),
        (".", ""),
        ("nothing", None),
        ("/etc/passwd", None),
    ],
)
def test_paths_from_elsewhere_lead_to_what_is_here(tmp_path, write_file, text, found):
    write_file(tmp_path / "train/images/a.jpg", b"")
    write_file(tmp_path / "images/b.jpg", b"")
    assert Tree(str(tmp_path)).lead(text, ("images", "")) == (
        "images" if (text, found) == (".", "") else found
    )


def test_common_folder():
    assert common_folder(["a/b", "a/c"]) == "a"
    assert common_folder(["a/b", "a/b"]) == "a/b"
    assert common_folder(["ab", "ac"]) == ""
    assert common_folder(["", "a"]) == ""


def test_hidden_files_are_passed_over(tmp_path, writers, samples, write_file):
    writers["yolo"](tmp_path, samples)
    write_file(tmp_path / "labels/train/._img 0.txt", b"\0\5")
    write_file(pathlib.Path(tmp_path) / ".idea/a.xml", "<annotation/>")
    assert recognition.recognise(str(tmp_path)).layout == "yolo"
