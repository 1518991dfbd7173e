"""The converter's whole command, killed, stopped and interrupted with its two workers."""

import concurrent.futures
import contextlib
import hashlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).parents[3]
NUM_IMAGES, NUM_SHARDS = 1200, 24
XML = (
    "<annotation><filename>{0:04d}.jpg</filename><object><name>dog</name><bndbox><xmin>2</xmin>"
    "<ymin>3</ymin><xmax>{1}</xmax><ymax>50</ymax></bndbox></object></annotation>"
)


@pytest.fixture(scope="module")
def devkit(tmp_path_factory):
    """1,200 noisy images of 128x128, in fact three; every tenth box leaves its image."""
    folder = tmp_path_factory.mktemp("devkit") / "VOC2007"
    for name in ("Annotations", "JPEGImages"):
        (folder / name).mkdir(parents=True)
    random_pixels = np.random.default_rng(0)
    for index in range(NUM_IMAGES):
        image = folder / f"JPEGImages/{index:04d}.jpg"
        if index < 3:
            pixels = random_pixels.integers(0, 255, (128, 128, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(image)
        else:
            os.link(folder / f"JPEGImages/{index % 3:04d}.jpg", image)
        text = XML.format(index, 140 if index % 10 == 0 else 120)
        (folder / f"Annotations/{index:04d}.xml").write_text(text)
    return folder.parent


def _start(devkit, folder):
    """The command with two workers, which writes to ``folder``/records; its output is in log."""
    folder.mkdir(exist_ok=True)
    words = [
        *(sys.executable, str(ROOT / "tools/create_voc_tfrecords.py"), f"--voc_root={devkit}"),
        # The manifest holds it: relative, it is the same for all.
        *("--sets=2007", "--output_dir=records", "--classes=voc", "--workers=2"),
        f"--num_shards={NUM_SHARDS}",
    ]
    with open(folder / "log", "wb") as log:
        # A process group of its own, as a terminal gives it.
        return subprocess.Popen(words, cwd=folder, stdout=log, stderr=log, start_new_session=True)


def _finish(devkit, folder):
    assert _start(devkit, folder).wait() == 0, (folder / "log").read_text()
    return _digests(folder)


def _digests(folder):
    files = [path for path in (folder / "records").iterdir() if path.is_file()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def expected(devkit, tmp_path_factory):
    """Digests of the set that nothing disturbed, and the seconds that it took."""
    begin = time.monotonic()
    digests = _finish(devkit, tmp_path_factory.mktemp("whole"))
    assert len(digests) == NUM_SHARDS + 2
    return digests, time.monotonic() - begin


def _num_finished(folder):
    return len(list((folder / "records/.partial").glob("*.tfrecord.json")))


def _publishes(folder):
    return (folder / "records/.partial/publishing").exists()


def _wait(process, condition):
    """Until ``condition`` or the command's end."""
    while process.poll() is None and not condition():
        time.sleep(0.0005)


def _group(process):
    """{process: its parent} of those of the command that live, itself included."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            number, _, rest = path.read_text().partition(" (")
            state, parent, group = rest.rpartition(")")[2].split()[:3]
            if int(group) == process.pid and state != "Z":
                found[int(number)] = int(parent)
    return found


def _kill_a_worker(process):
    group = _group(process)
    # Their server's parent is the command, as is that of multiprocessing's tracker.
    workers = [number for number, parent in group.items() if group.get(parent) == process.pid]
    os.kill(workers[0], signal.SIGKILL)


def _assert_nothing_lives(process):
    deadline = time.monotonic() + 120  # the server of forks ends once TensorFlow is imported
    while _group(process):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("num_kills", [4, pytest.param(60, marks=pytest.mark.soak)])
def test_sigkill_at_random_moments(devkit, expected, tmp_path, num_kills):
    """Two sets at a time; each run goes on at once where the one before was killed."""
    digests, seconds = expected

    def kill(seed):
        moments, kills, processes = random.Random(seed), [], []
        for number in range(100):
            folder = tmp_path / f"set{seed}-{number}"
            while len(kills) < num_kills // 2 and not (folder / "records/manifest.json").exists():
                processes.append(_start(devkit, folder))
                kills += _killed(processes[-1], folder, len(kills), moments, seconds)
            # A set that was killed while the rest of its journal was removed is whole.
            whole = (folder / "records/manifest.json").exists()
            assert (_digests(folder) if whole else _finish(devkit, folder)) == digests
            if len(kills) == num_kills // 2:
                break
        for process in processes:
            _assert_nothing_lives(process)
        return kills

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        kills = [kill for found in pool.map(kill, (0, 1)) for kill in found]
    print(f"killed while {sorted(kills)}")
    assert len(kills) == num_kills


def _killed(process, folder, number, moments, seconds):
    """[what the command was at] when it was killed, [] if it had ended before."""
    before = _num_finished(folder)
    # Start-up is most of a small run: some moments are of what comes then.
    if number % 3 == 2:
        _wait(process, lambda: _publishes(folder))
        time.sleep(moments.uniform(0, 0.005))
    elif number % 3 == 1:
        _wait(process, lambda: _num_finished(folder) > before)
        time.sleep(moments.uniform(0, seconds / 4))
    else:
        time.sleep(moments.uniform(0, seconds))
    process.kill()
    code = process.wait()
    assert code in (0, -signal.SIGKILL), (folder / "log").read_text()
    if code == 0:
        return []
    if _publishes(folder) or (folder / "records/manifest.json").exists():
        return ["publishing"]
    return ["writing" if _num_finished(folder) > before else "starting"]


def test_stopped_in_three_ways_it_goes_on(devkit, expected, tmp_path):
    """A worker is killed; then all get a terminal's Ctrl-C, and the command a SIGTERM."""
    stops = (
        (_kill_a_worker, 2),
        (lambda process: os.killpg(process.pid, signal.SIGINT), 130),
        (lambda process: process.terminate(), -signal.SIGTERM),
    )
    num_finished, logs = [0], []
    for stop, code in stops:
        process = _start(devkit, tmp_path)
        _wait(process, lambda: _num_finished(tmp_path) > num_finished[-1])
        stop(process)
        assert process.wait() == code
        _assert_nothing_lives(process)
        assert os.listdir(tmp_path / "records") == [".partial"]
        num_finished.append(_num_finished(tmp_path))
        logs.append((tmp_path / "log").read_text())
    assert logs[0].splitlines()[-1].startswith("error: a worker process died, possibly out of")
    assert not any("Traceback" in log for log in logs)
    assert all(
        f"resuming: {number} of 24 shards are already finished" in log
        for number, log in zip(num_finished[1:], logs[1:])
    )
    assert _finish(devkit, tmp_path) == expected[0]


def test_ctrl_c_during_the_start_leaves_no_traceback(devkit, tmp_path):
    process = _start(devkit, tmp_path)
    _wait(process, lambda: len(_group(process)) == 3)  # multiprocessing's tracker and server
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait() == 130
    _assert_nothing_lives(process)
    assert "Traceback" not in (tmp_path / "log").read_text()
