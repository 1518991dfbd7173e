"""Worker processes: the same bytes, their deaths and errors, full disks."""

import dataclasses
import hashlib
import multiprocessing
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import RecordSetOptions
from ssd_tfrecord.records.processes import workers
from ssd_tfrecord.records.sources import voc
from ssd_tfrecord.records.sources.spool import IMAGES, Spool
from ssd_tfrecord.records.writing import convert

ROOT = pathlib.Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("asked", "num_images", "num_shards", "number"),
    [(3, 10, 16, 3), (8, 10, 4, 4), (0, 100, 16, 1), (1, 10**6, 16, 1), (0, 10**6, 0, 1)],
)
def test_number_of_workers(asked, num_images, num_shards, number):
    assert workers.choose_number(asked, num_images, num_shards) == number


def test_one_worker_a_core_for_many_images():
    cores = len(os.sched_getaffinity(0))
    assert workers.choose_number(0, 10**6, 10**5) == cores


@pytest.fixture
def sources(tiny_voc):
    return voc.read_devkit(str(tiny_voc), ["2007_trainval"])


def _convert(sources, folder, **options):
    record_set = RecordSetOptions(
        output_dir=str(folder), classes="auto", num_shards=5, set_name="x", **options
    )
    return convert.convert(sources, record_set, tool="test", flag_lines=())


def _digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_two_workers_give_the_bytes_of_one(sources, tmp_path):
    for number in (1, 2):
        _convert(sources, tmp_path / str(number), workers=number)
    alone = _digests(tmp_path / "1")
    assert sum(name.endswith(".tfrecord") for name in alone) == 5
    assert _digests(tmp_path / "2") == alone


@pytest.mark.parametrize("num_workers", [1, 2])
def test_results_come_in_the_order_of_the_items(num_workers):
    counted = []
    found = list(workers.run(_late, [3, 2, 1, 0], num_workers, counted.append))
    assert found == [30, 20, 10, 0]
    assert sum(counted) == 6


def _late(item, advance):
    """The first ends last."""
    for _ in range(item):
        time.sleep(0.1)
        advance()
    return 10 * item


def test_an_error_does_not_wait_for_the_items_before_it():
    with pytest.raises(InputError, match="item 0"):
        list(workers.run(_fail, [100, 0], 2, lambda count: None))


def _fail(item, advance):
    for _ in range(item):
        time.sleep(0.1)
        advance()
    raise InputError(f"item {item}")


def test_an_error_in_a_worker_is_the_error_of_the_run(sources, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    broken = dataclasses.replace(sources.images[3], image_path=str(tmp_path / "broken.jpg"))
    images = Spool(IMAGES, [*sources.images[:3], broken, *sources.images[4:]])
    with pytest.raises(InputError, match=r"broken\.jpg: .*--bad_images=drop"):
        _convert(dataclasses.replace(sources, images=images), tmp_path / "a", workers=2)
    assert [path.name for path in (tmp_path / "a").iterdir()] == [".partial"]


def test_a_worker_that_dies_ends_the_run_in_a_line(sources, tmp_path):
    def kill():
        while not multiprocessing.active_children():
            time.sleep(0.05)
        multiprocessing.active_children()[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(InputError, match=r"a worker process died, .* again with fewer --workers$"):
        _convert(sources, tmp_path / "a", workers=2)
    killer.join()
    assert [path.name for path in (tmp_path / "a").iterdir()] == [".partial"]


def _command(tiny_voc, folder, *words):
    return [
        sys.executable,
        "tools/create_voc_tfrecords.py",
        f"--voc_root={tiny_voc}",
        "--sets=2007_trainval",
        f"--output_dir={folder}",
        *words,
    ]


def test_a_disk_that_is_full_ends_the_run_in_a_line(tiny_voc, tmp_path):
    # Files of 5,000 bytes at most: shards have 10,000.
    limited = (
        "import resource, runpy, sys; sys.argv = sys.argv[1:];"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000));"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    python, *words = _command(tiny_voc, tmp_path / "a", "--num_shards=1")
    result = subprocess.run(
        [python, "-c", limited, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert re.fullmatch(
        r"error: .*/\.partial/a-00000-of-00001\.tfrecord: cannot be written: File too large",
        result.stderr.splitlines()[-1],
    )
    assert "Traceback" not in result.stderr
    assert [path.name for path in (tmp_path / "a").iterdir()] == [".partial"]
