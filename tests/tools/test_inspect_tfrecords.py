"""The inspector's command: what it prints and writes, and how damages end it."""

import re
import shutil

import numpy as np
import pytest
from PIL import Image

from ssd_tfrecord import config, flags, programs
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.processes import workers


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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--verify"], "--records is required"),
        (["--records=a"], "give at least one of --verify, --stats, --draw and --index"),
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
