"""The inspector's command: what it prints and writes, and how damages end it."""

import csv
import io
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tfrecord import config, flags, programs
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.inspection import suspects
from ssd_tfrecord.records.annotation import ImageAnnotation, ObjectAnnotation
from ssd_tfrecord.records.processes import workers
from ssd_tfrecord.records.schema import to_example


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return lambda *words: programs.run("inspect", ["inspect", *words])


def test_a_whole_set(run, tiny_records, capsys):
    assert run(f"--records={tiny_records}", "--verify", "--stats") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tiny_records}: 6 records, 3 classes"
    assert lines[1] == f"{tiny_records}: intact: checksums, counts and all records are correct"
    assert "cat" in [line.split()[0] for line in lines if line]


def test_no_worker_for_few_records(run, tiny_records, monkeypatch):
    numbers = []
    monkeypatch.setattr(workers, "run", lambda *words: numbers.append(words[2]) or iter([]))
    run(f"--records={tiny_records}", "--verify")
    run(f"--records={tiny_records}", "--verify", "--workers=2")
    assert numbers == [1, 2]


def test_damages_are_named_and_end_with_an_error(run, tiny_records, tmp_path, capsys):
    folder = shutil.copytree(tiny_records, tmp_path / "set")
    shard = folder / "tiny-00001-of-00002.tfrecord"
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    assert run(f"--records={tiny_records},{folder}", "--verify") == 2
    output = capsys.readouterr()
    assert f"{folder}: tiny-00001-of-00002.tfrecord: record 0: at byte 0: checksum of its data" in (
        output.out
    )
    assert output.err.splitlines()[-1] == (
        "error: problems found: 2, listed above; copy the files again, or convert again"
    )


def test_sets_of_one_name_have_a_folder_each(run, tiny_records, tmp_path, capsys):
    sets = [shutil.copytree(tiny_records, tmp_path / part / "train") for part in ("a", "b")]
    words = [f"--output_dir={tmp_path / 'out'}", "--draw=2"]
    assert run(f"--records={sets[0]},{sets[1]}", *words) == 0
    drawn = sorted(path.parent.name for path in (tmp_path / "out").glob("*/*.png"))
    assert drawn == ["a_train", "b_train"]
    assert f"\npictures: {tmp_path}/out/a_train/" in capsys.readouterr().out
    # Also of one that is given twice.
    assert run(f"--records={sets[0]},{sets[0]}", *words[1:], f"--output_dir={tmp_path}/twice") == 0
    drawn = sorted(path.parent.name for path in (tmp_path / "twice").glob("*/*.png"))
    assert drawn == ["train", "train-2"]


def test_plots_and_pictures(run, tiny_records, tmp_path, capsys):
    words = ["--stats", "--plots", "--draw=13", f"--output_dir={tmp_path / 'out'}"]
    assert run(f"--records={tiny_records}", *words) == 0
    names = sorted(path.name for path in (tmp_path / "out/tiny").iterdir())
    assert names == [
        "box_aspect.png",
        "box_side.png",
        "classes.png",
        "image_side.png",
        "objects_per_image.png",
        "pictures-01.png",
    ]
    last = capsys.readouterr().out.splitlines()[-1]
    found = re.fullmatch(r"pictures: .*/tiny/pictures-01\.png, row by row: (.*)", last)
    assert sorted(found[1].split(", ")) == [f"VOC2007/00000{number}" for number in range(1, 7)]
    sheet = np.asarray(Image.open(tmp_path / "out/tiny/pictures-01.png"))
    # Two rows of three cells, 640x260 each, 8 apart.
    assert sheet.shape == (2 * 368 + 8, 4 * 488 + 8, 3)


def test_records_of_another_tool(run, tiny_records, tmp_path, capsys):
    for path in tiny_records.glob("*.tfrecord"):
        shutil.copy(path, tmp_path / path.name)
    (tmp_path / "map.pbtxt").write_text(
        "".join(
            f"item {{ id: {i} name: '{n}' }}\n" for i, n in ((1, "cat"), (2, "dog"), (3, "person"))
        )
    )
    words = ["--index", f"--label_map={tmp_path / 'map.pbtxt'}", "--pattern=*.tfrecord"]
    assert run(f"--records={tmp_path}", *words, "--verify") == 0
    assert f"{tmp_path}: 6 records, 3 classes" in capsys.readouterr().out
    assert (tmp_path / "manifest.json").exists()


def test_records_of_another_tool_whose_boxes_reach_beyond_the_image(run, tmp_path, capsys):
    box = (-0.05, 0.0, 0.5, 1.0625)
    item = ObjectAnnotation(1, "cat", box, area=1.0)
    target = io.BytesIO()
    Image.new("RGB", (40, 30), (90, 120, 60)).save(target, "JPEG")
    record = to_example(ImageAnnotation("a", "", 30, 40, (item,)), target.getvalue())
    with tf.io.TFRecordWriter(str(tmp_path / "a.record")) as writer:
        writer.write(record)
    assert run(f"--records={tmp_path}", "--index", "--verify", "--stats") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        f"{tmp_path}: 1 box reached beyond the image by up to 10 % and is clipped when read",
        f"{tmp_path}: 1 records, 1 classes",
        f"{tmp_path}: intact: checksums, counts and all records are correct",
    ]


def _copy_of_a_set(folder, target, quality):
    """The set with its JPEGs encoded again."""
    target.mkdir()
    for path in folder.glob("*.tfrecord"):
        with tf.io.TFRecordWriter(str(target / path.name)) as writer:
            for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
                example = tf.train.Example.FromString(record)
                encoded = example.features.feature["image/encoded"].bytes_list.value
                again = io.BytesIO()
                Image.open(io.BytesIO(encoded[0])).save(again, "JPEG", quality=quality)
                encoded[0] = again.getvalue()
                example.features.feature.pop("image/key/sha256")
                writer.write(example.SerializeToString())
    return target


def test_suspects_within_and_across_sets(run, tiny_records, tmp_path, capsys):
    folder = _copy_of_a_set(tiny_records, tmp_path / "test_set", 80)
    run(f"--records={folder}", "--index", "--pattern=*.tfrecord")
    out = tmp_path / "out"
    capsys.readouterr()
    assert run(f"--records={tiny_records},{folder}", "--suspects", f"--output_dir={out}") == 0
    # Without the lines of the two sets.
    lines = capsys.readouterr().out.splitlines()[2:]
    # The first image is of one colour, in both sets: its object covers it.
    assert lines[0] == (
        "images compared with others only as files: 2, as they are of one colour or cannot be "
        "decoded"
    )
    assert re.fullmatch(r"near_duplicate +5  tiny VOC2007/00000\d and test_set \S+", lines[2])
    assert re.fullmatch(r"whole_image_box +2  tiny VOC2007/000001: cat", lines[3])
    assert re.fullmatch(r"rare_class +6  .*", lines[4])
    names = ("near_duplicate", "whole_image_box", "rare_class")
    drawn = ", ".join(f"{out}/suspects-{name}.png" for name in names)
    assert lines[5] == f"suspects: {out}/suspects.csv, the worst of each kind: {drawn}"
    with open(out / "suspects.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    twins = [row for row in rows if row["kind"] == "near_duplicate"]
    assert {(row["set"], row["other_set"]) for row in twins} == {("tiny", "test_set")}
    assert all(row["source_id"] == row["other_source_id"] for row in twins)


def test_no_suspects_is_said_and_leaves_nothing_of_an_earlier_search(
    run, tiny_records, tmp_path, capsys, monkeypatch
):
    for name in ("suspects.csv", "suspects-rare_class.png"):
        (tmp_path / name).write_text("old")
    monkeypatch.setattr(suspects, "find_suspects", lambda sets: [])
    assert run(f"--records={tiny_records}", "--suspects", f"--output_dir={tmp_path}") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "no suspects in 6 images"
    assert [path.name for path in tmp_path.iterdir()] == ["suspects.csv"]
    assert (tmp_path / "suspects.csv").read_text().startswith("kind,set,source_id,")


def test_a_set_is_not_compared_with_itself(run, tiny_records, tmp_path, capsys):
    folders = f"{tiny_records},{tiny_records}/"
    assert run(f"--records={folders}", "--suspects", f"--output_dir={tmp_path}") == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: --records: a folder is given twice; with --suspects they must differ"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--verify"], "--records is required"),
        (["--records=a"], "give at least one of --verify, --stats, --draw, --suspects and --index"),
        (["--records=a", "--suspects"], "--output_dir is required"),
        (["--records=a", "--verify", "--plots"], "--plots requires --stats"),
        (["--records=a", "--stats", "--plots"], "--output_dir is required"),
        (["--records=a", "--draw=3"], "--output_dir is required"),
        (["--records=a", "--verify", "--label_map=b"], "--label_map requires --index"),
    ],
)
def test_flags_that_do_not_go_together(words, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        flags.parse(config.InspectConfig, ["prog", *words])


def test_a_folder_without_a_set_is_one_line(run, tmp_path, capsys):
    assert run(f"--records={tmp_path}", "--verify") == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}: no manifest.json: must be a")
