"""Scaling of whole commands: what is counted of a family of processes, figures by hand, errors."""

import os
import subprocess
import sys
import textwrap
import time

import pytest

from ssd_tfrecord.benchmark import convert_cost, convert_scaling
from ssd_tfrecord.benchmark.convert_scaling import _Usage
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import Manifest

# A converter in which 0.3 s of CPU time go by before the first shard; then each worker takes 0.4 s
# of CPU time and sleeps for 0.5 s, in a child of a child.
CONVERTER = """
    import os, subprocess, sys, time

    def burn(seconds):
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    if sys.argv[1] == "work":
        burn(0.4)
        time.sleep(0.5)
        sys.exit()
    if sys.argv[1] == "start":
        sys.exit(subprocess.run([sys.executable, __file__, "work"]).returncode)
    flags = dict(word.removeprefix("--").split("=") for word in sys.argv[1:])
    burn(0.3)
    os.makedirs(flags["output_dir"] + "/.partial")
    open(flags["output_dir"] + "/.partial/a.tfrecord.partial", "w").close()
    start = [sys.executable, __file__, "start"]
    workers = [subprocess.Popen(start) for _ in range(int(flags["workers"]))]
    sys.exit(max(worker.wait() for worker in workers))
"""

# A process whose child's child takes 0.4 s of CPU time, and stays until stdin is closed.
CHAIN = """
    import subprocess, sys, time

    depth = int(sys.argv[1])
    if depth:
        subprocess.run([sys.executable, __file__, str(depth - 1)])
    else:
        while time.process_time() < 0.4:
            pass
        sys.stdin.read()
"""


def command(path, code):
    path.write_text(textwrap.dedent(code))
    return [sys.executable, str(path)]


def test_whole_family_is_counted_and_the_start_left_out(tmp_path):
    words = command(tmp_path / "convert.py", CONVERTER)
    # What was before is not counted.
    assert convert_scaling._run([*words, "--workers=1"], str(tmp_path)).whole_cpu > 0.7
    usage = convert_scaling._run([*words, "--workers=2"], str(tmp_path))
    # Five starts of Python are some 0.02 s each, and a busy machine looks late.
    assert 1.1 < usage.whole_cpu < 1.7
    assert 0.6 < usage.cpu < 1.4
    assert usage.whole_cpu - usage.cpu > 0.28
    assert usage.wall > 0.8
    assert os.listdir(tmp_path) == ["convert.py"]


def test_other_children_are_not_waited_for(tmp_path):
    with subprocess.Popen(["sleep", "60"]) as other:
        convert_scaling._run([*command(tmp_path / "a.py", CONVERTER), "--workers=1"], tmp_path)
        assert other.poll() is None
        other.kill()


def test_grandchildren_that_still_run_are_counted(tmp_path):
    words = command(tmp_path / "chain.py", CHAIN)
    with subprocess.Popen([*words, "2"], stdin=subprocess.PIPE) as process:
        end = time.monotonic() + 120
        while convert_scaling._cpu_of_family(process.pid) < 0.4:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert convert_scaling._cpu_of_family(process.pid) < 0.7


def test_figures_by_hand(tiny_records, monkeypatch):
    # 2,000 images; seconds: CPU of the whole, CPU and wall from the first shard on.
    usages = {1: _Usage(5.0, 3.0, 4.0), 3: _Usage(9.0, 3.6, 1.5)}
    asked = []

    def run(words, folder):
        asked.append(words)
        return usages[int(words[-1].removeprefix("--workers="))]

    monkeypatch.setattr(convert_scaling, "_run", run)
    figures = convert_scaling.measure_scaling(
        [Manifest.load(tiny_records)], ["convert"], num_images=2000, num_files=4, num_workers=3
    )
    assert [words[0] for words in asked] == ["convert", "convert"]
    assert asked[0][3:] == ["--num_shards=24", "--workers=1"]
    assert asked[1][3:] == ["--num_shards=24", "--workers=3"]
    assert figures == {
        "images": 2000,
        "workers": 3,
        "one_worker": {
            "images_per_s": 500.0,
            "cpu_ms_per_image": 1.5,
            "whole_cpu_ms_per_image": 2.5,
            "busy_share": 0.75,
        },
        "all_workers": {
            "images_per_s": pytest.approx(2000 / 1.5),
            "cpu_ms_per_image": 1.8,
            "whole_cpu_ms_per_image": 4.5,
            "busy_share": pytest.approx(0.8),
        },
        "cpu_ratio": pytest.approx(1.2),
        "whole_cpu_ratio": pytest.approx(1.8),
    }


def test_annotations_repeat_the_files(tiny_records, tmp_path):
    manifest = Manifest.load(tiny_records)
    files = convert_cost.unpack([manifest], str(tmp_path), 6)
    content = convert_scaling._instances(files, manifest.classes, 15)
    assert content["categories"] == [
        {"id": 1, "name": "cat"},
        {"id": 2, "name": "dog"},
        {"id": 3, "name": "person"},
    ]
    images, annotations = content["images"], content["annotations"]
    assert [entry["id"] for entry in images] == list(range(15))
    assert [entry["file_name"] for entry in images[5:8]] == ["5.jpg", "0.jpg", "1.jpg"]
    assert [entry["id"] for entry in annotations] == list(range(1, len(annotations) + 1))
    # The image of 80 x 60 has two objects each time.
    ids = [entry["id"] for entry in images if (entry["width"], entry["height"]) == (80, 60)]
    assert len(ids) >= 2
    for image_id in ids:
        dog, cat = (item for item in annotations if item["image_id"] == image_id)
        assert (dog["category_id"], cat["category_id"]) == (2, 1)
        assert dog["bbox"] == pytest.approx([10, 5, 40, 40], abs=1e-4)
        assert cat["bbox"] == pytest.approx([40, 20, 40, 40], abs=1e-4)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "import sys; print('a'); sys.exit('error: no disk')",
            "exited with code 1: error: no disk",
        ),
        ("", "exited before a shard was seen; needs more images"),
    ],
    ids=["the command fails", "it has nothing to do"],
)
def test_what_cannot_be_measured_is_named(tmp_path, code, message):
    words = [*command(tmp_path / "convert.py", code), "--workers=2"]
    with pytest.raises(InputError) as raised:
        convert_scaling._run(words, str(tmp_path))
    assert str(raised.value) == f"--workers=2: {message}"
