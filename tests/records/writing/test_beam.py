"""Shards by Apache Beam: the same bytes on each of its ways, refusals, deaths, workers astray."""

import contextlib
import dataclasses
import hashlib
import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from ssd_tfrecord import flags, programs
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import RecordSetOptions
from ssd_tfrecord.records.processes import lock
from ssd_tfrecord.records.writing import beam, convert, shard_writer

ROOT = pathlib.Path(__file__).parents[3]
VOC, COCO = "tools/create_voc_tfrecords.py", "tools/create_coco_tfrecords.py"
PROGRAMS = {VOC: "convert-voc", COCO: "convert-coco"}
NUM_IMAGES, NUM_SHARDS = 240, 12
PROCESSES = "--beam_options=--direct_num_workers=2,--direct_running_mode=multi_processing"

needs_beam = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None, reason="Apache Beam is not installed"
)


@pytest.fixture(scope="module")
def instances(tmp_path_factory):
    """Flags for 240 small images with a box each; every fourth box leaves its image."""
    folder = tmp_path_factory.mktemp("coco")
    pixels = np.random.default_rng(0).integers(0, 255, (NUM_IMAGES, 24, 32, 3), dtype=np.uint8)
    images, objects = [], []
    for index in range(NUM_IMAGES):
        Image.fromarray(pixels[index]).save(folder / f"{index}.jpg")
        images.append({"id": index, "file_name": f"{index}.jpg"})
        box = [2, 3, 18, 30 if index % 4 == 0 else 20]
        objects.append({"id": index + 1, "image_id": index, "category_id": 1, "bbox": box})
    content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "dog"}]}
    (folder / "instances.json").write_text(json.dumps(content))
    return (
        f"--annotations={folder / 'instances.json'}",
        f"--images_dir={folder}",
        f"--num_shards={NUM_SHARDS}",
        "--set_name=x",
    )


def _command(tool, *words):
    return [sys.executable, tool, *words]


def _run(tool, *words):
    return subprocess.run(
        _command(tool, *words), cwd=ROOT, capture_output=True, text=True, check=False
    )


def _convert_here(tool, *words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")  # the mains set it
        program = programs.PROGRAMS[PROGRAMS[tool]]
        program.run(flags.parse(program.config, ["prog", *words]))


def _digests(folder):
    """sha256 of all files but the manifest, which has the flags."""
    files = [path for path in folder.iterdir() if path.name != "manifest.json"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def expected(instances, tmp_path_factory):
    """Digests of the set that the local engine makes."""
    folder = tmp_path_factory.mktemp("local")
    _convert_here(COCO, *instances, f"--output_dir={folder}")
    found = _digests(folder)
    assert len(found) == NUM_SHARDS + 1
    assert (folder / "rejects.jsonl").read_text().count("\n") == NUM_IMAGES // 4
    return found


@needs_beam
def test_a_voc_set_has_the_same_bytes(tiny_voc, tmp_path):
    words = (f"--voc_root={tiny_voc}", "--sets=2007_trainval", "--set_name=x", "--max_side=50")
    _convert_here(VOC, *words, f"--output_dir={tmp_path / 'local'}")
    # Beam's DirectRunner would start Prism, and load it from elsewhere where it is not given.
    prism = tmp_path / "prism"
    prism.write_text(f"#!/bin/sh\ntouch {tmp_path / 'started'}\nexit 1\n")
    prism.chmod(0o755)
    words += ("--beam_runner=DirectRunner", f"--beam_options=--prism_location={prism}")
    result = _run(VOC, *words, f"--output_dir={tmp_path / 'beam'}")
    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "started").exists()
    assert re.search(r"100%.* 6/6 ", result.stderr)
    found = _digests(tmp_path / "beam")
    assert len(found) == 7
    assert found == _digests(tmp_path / "local")


@needs_beam
def test_processes_of_beam_write_the_same_bytes_and_the_parent_needs_no_tensorflow(
    instances, expected, tmp_path
):
    code = (
        "import runpy, sys\n"
        "sys.argv = sys.argv[1:]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as stop: print(stop.code, 'tensorflow' in sys.modules)\n"
    )
    words = (*instances, f"--output_dir={tmp_path / 'a'}", "--beam_runner=DirectRunner", PROCESSES)
    result = subprocess.run(
        [sys.executable, "-c", code, COCO, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.splitlines()[-1] == "0 False", result.stderr
    assert _digests(tmp_path / "a") == expected


@needs_beam
def test_a_refused_image_ends_the_run_in_its_line_and_the_local_engine_goes_on(
    instances, expected, tmp_path, capfd
):
    path = pathlib.Path(instances[1].partition("=")[2], "7.jpg")
    content, times = path.read_bytes(), path.stat()
    output = f"--output_dir={tmp_path / 'a'}"
    path.write_bytes(content[:300])
    try:
        result = _run(COCO, *instances, output, "--beam_runner=DirectRunner")
    finally:
        path.write_bytes(content)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert result.returncode == 2
    last = result.stderr.splitlines()[-1]
    assert re.fullmatch(rf"error: {path}: cannot be decoded .*; or pass --bad_images=drop", last)
    assert "Traceback" not in result.stderr
    assert [entry.name for entry in (tmp_path / "a").iterdir()] == [".partial"]
    _convert_here(COCO, *instances, output)
    said = capfd.readouterr().err
    assert re.search(rf"resuming: \d+ of {NUM_SHARDS} shards are already finished", said)
    assert _digests(tmp_path / "a") == expected


@needs_beam
def test_a_killed_run_is_gone_on_with(instances, expected, tmp_path):
    words = (*instances, f"--output_dir={tmp_path / 'a'}", "--beam_runner=DirectRunner", PROCESSES)
    with subprocess.Popen(
        _command(COCO, *words), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        while not list((tmp_path / "a").glob(".partial/x-*.tfrecord.json")):
            assert run.poll() is None
            time.sleep(0.01)
        run.kill()
    # Its workers may write on for a moment: the next run waits for them.
    _convert_here(COCO, *words[:-2])
    # One that comes after the next run's end leaves its lock behind.
    shutil.rmtree(tmp_path / "a" / ".partial", ignore_errors=True)
    assert _digests(tmp_path / "a") == expected


@needs_beam
def test_ctrl_c_ends_workers_and_run(instances, tmp_path):
    words = (*instances, f"--output_dir={tmp_path / 'a'}", "--beam_runner=DirectRunner")
    with subprocess.Popen(
        _command(COCO, *words), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as run:
        while not list((tmp_path / "a").glob(".partial/x-*.lock")):
            assert run.poll() is None
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        said = run.stderr.read()
    assert run.returncode == 130
    assert b"Traceback" not in said


def _free_port():
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return server.getsockname()[1]


@pytest.fixture
def cluster(tmp_path):
    """Options for a job server and a pool of workers, each a process that knows the other's port.

    Workers are begun by the pool, not by the run: as on machines of a cluster.
    """
    places = {
        "job_endpoint": ("apache_beam.runners.portability.local_job_service_main", "--port"),
        "environment_config": ("apache_beam.runners.worker.worker_pool_main", "--service_port"),
    }
    environment = {**os.environ, "PATH": f"{pathlib.Path(sys.executable).parent}:/usr/bin:/bin"}
    processes, options = [], ["--environment_type=EXTERNAL"]
    with (tmp_path / "cluster.log").open("wb") as log, contextlib.ExitStack() as ended:
        for option, (module, flag) in places.items():
            port = _free_port()
            process = subprocess.Popen(
                [sys.executable, "-m", module, f"{flag}={port}"],
                stdout=log,
                stderr=log,
                env=environment,
            )
            ended.callback(process.wait)
            ended.callback(process.terminate)
            processes.append((process, port))
            options.append(f"--{option}=localhost:{port}")
        for process, port in processes:
            while not _answers(port):
                assert process.poll() is None
                time.sleep(0.1)
        yield f"--beam_options={','.join(options)}"


def _answers(port):
    with socket.socket() as client:
        return client.connect_ex(("localhost", port)) == 0


@needs_beam
def test_a_job_server_and_workers_of_its_own_write_the_same_bytes(
    instances, expected, cluster, tmp_path
):
    words = (*instances, f"--output_dir={tmp_path / 'a'}", "--beam_runner=PortableRunner")
    result = _run(COCO, *words, cluster)
    assert result.returncode == 0, (result.stderr, (tmp_path / "cluster.log").read_text())
    assert _digests(tmp_path / "a") == expected


# The same without Beam: its pipeline is replaced by calls of the worker.


@pytest.fixture
def pipeline(monkeypatch):
    """Takes the function that stands for the pipeline: (plans, recipe, run's name)."""

    def replace(function):
        monkeypatch.setattr(beam, "check", lambda options: None)
        monkeypatch.setattr(
            beam,
            "_run_pipeline",
            lambda plans, recipe, options: function(plans, recipe, lock.holder(recipe.folder)),
        )

    return replace


def _convert_by_beam(instances, folder):
    _convert_here(COCO, *instances, f"--output_dir={folder}", "--beam_runner=FlinkRunner")


def test_a_shard_that_is_given_out_twice_is_written_once(
    instances, expected, tmp_path, pipeline, monkeypatch
):
    def run(plans, recipe, name):
        for plan in plans:
            twice = [
                threading.Thread(target=beam._write, args=(plan, recipe, name)) for _ in range(2)
            ]
            for thread in twice:
                thread.start()
            for thread in twice:
                thread.join()

    written = []
    make_record = shard_writer.make_record
    monkeypatch.setattr(
        shard_writer,
        "make_record",
        lambda source, recipe: written.append(source.source_id) or make_record(source, recipe),
    )
    pipeline(run)
    _convert_by_beam(instances, tmp_path / "a")
    assert len(written) == len(set(written)) == NUM_IMAGES
    assert _digests(tmp_path / "a") == expected


def test_a_finished_shard_that_was_damaged_is_written_anew(
    instances, expected, tmp_path, pipeline, capfd
):
    def run(plans, recipe, name):
        for plan in plans:
            beam._write(plan, recipe, name)

    def run_four(plans, recipe, name):
        run(plans[:4], recipe, name)
        raise ConnectionError("the cluster is gone")

    pipeline(run_four)
    with pytest.raises(InputError, match="the job failed: the cluster is gone"):
        _convert_by_beam(instances, tmp_path / "a")
    assert lock.holder(str(tmp_path / "a/.partial")) == ""
    with (tmp_path / f"a/.partial/x-00002-of-{NUM_SHARDS:05d}.tfrecord").open("r+b") as shard:
        shard.write(b"damage")
    pipeline(run)
    _convert_by_beam(instances, tmp_path / "a")
    said = capfd.readouterr().err
    assert f"x-00002-of-{NUM_SHARDS:05d}.tfrecord was damaged and is written again" in said
    assert f"resuming: 3 of {NUM_SHARDS} shards are already finished" in said
    assert _digests(tmp_path / "a") == expected


def test_a_worker_for_another_run_writes_nothing(instances, tmp_path, pipeline, monkeypatch):
    def run(plans, recipe, name):
        for plan in plans:
            beam._write(plan, recipe, "an earlier run")

    def make_record(source, recipe):
        raise InputError("its flags refused what those of this run take")

    pipeline(run)
    monkeypatch.setattr(shard_writer, "make_record", make_record)
    monkeypatch.setattr(beam, "_SECONDS_UNTIL_SEEN", 0)
    message = (
        r"a/\.partial: Beam's workers have written elsewhere, or what they wrote cannot be read: "
        "all must see --output_dir under"
    )
    with pytest.raises(InputError, match=message):
        _convert_by_beam(instances, tmp_path / "a")
    assert not list((tmp_path / "a/.partial").glob("*.tfrecord"))


def test_a_worker_that_does_not_see_the_folder_is_named(instances, tmp_path, pipeline):
    def run(plans, recipe, name):
        beam._write(plans[0], dataclasses.replace(recipe, folder="/nowhere"), name)

    pipeline(run)
    message = (
        f"--beam_runner=FlinkRunner: the job failed: /nowhere: does not exist on "
        f"{re.escape(socket.gethostname())}: all workers must see --output_dir under the same path"
    )
    with pytest.raises(InputError, match=message):
        _convert_by_beam(instances, tmp_path / "a")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            RuntimeError(
                "Traceback\n\nRuntimeError: ssd_tfrecord.errors.InputError: a [b]: c "
                "[while running 'Map(_write)']\n"
            ),
            "a [b]: c",
        ),
        (SystemExit(), "SystemExit()"),
        (OSError("no\nroute"), "route"),
    ],
)
def test_a_failed_job_is_told_in_its_last_line(instances, tmp_path, pipeline, error, reason):
    def run(plans, recipe, name):
        raise error

    pipeline(run)
    message = re.escape(f"--beam_runner=FlinkRunner: the job failed: {reason}")
    with pytest.raises(InputError, match=f"^{message}$"):
        _convert_by_beam(instances, tmp_path / "a")


def test_no_job_is_begun_where_all_shards_are_finished(pipeline):
    def run(plans, recipe, name):
        raise RuntimeError

    pipeline(run)
    assert list(beam.write_shards((), None, None, None)) == []


def test_a_worker_looks_once_a_second_whether_it_is_wanted(tmp_path, monkeypatch):
    now = 100.0
    monkeypatch.setattr(beam.time, "monotonic", lambda: now)
    held = lock.hold(str(tmp_path))
    watch = beam._Watch(str(tmp_path), lock.holder(str(tmp_path)))
    watch()
    lock.call_off(str(tmp_path))
    now = 100.9
    watch()
    now = 101.0
    with pytest.raises(beam._CalledOffError):
        watch()
    os.close(held)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_runner": "Flink"}, "--beam_runner=Flink: must be one of empty, DirectRunner, Pri"),
        ({"beam_options": ("--a=1",)}, "--beam_options requires --beam_runner"),
        ({"beam_runner": "DirectRunner", "workers": 2}, "--workers cannot be combined with --beam"),
        ({"beam_runner": "DirectRunner", "dry_run": True}, "--dry_run cannot be combined with"),
    ],
)
def test_flags_that_contradict_each_other(options, message):
    with pytest.raises(InputError, match=message):
        RecordSetOptions(output_dir="a", **options)


def test_without_beam_its_extra_is_named_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    options = RecordSetOptions(output_dir=str(tmp_path / "a"), beam_runner="FlinkRunner")
    message = (
        r"--beam_runner=FlinkRunner: Apache Beam is not installed: pip install 'ssd_tfrecord\[beam"
    )
    with pytest.raises(InputError, match=message):
        convert.check_output(options)


@needs_beam
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("a=1", "--beam_options=a=1: must be options of Apache Beam, written --name=value and se"),
        ("--runner=Flink", "--beam_options=--runner=Flink: must be options .*is set with --beam_r"),
        ("--direct_num_worker=1", "--beam_options=--direct_num_worker: Apache Beam has no such op"),
        ("--direct_num_workers=a", "--beam_options: argument --direct_num_workers: invalid int va"),
    ],
)
def test_options_that_beam_does_not_take(tmp_path, option, message):
    words = ("--annotations=no.json", "--images_dir=none", f"--output_dir={tmp_path / 'a'}")
    result = _run(COCO, *words, "--beam_runner=DirectRunner", f"--beam_options={option}")
    assert result.returncode == 2
    assert re.fullmatch(f"error: {message}.*", result.stderr.splitlines()[-1])
    assert len(result.stderr.splitlines()) == 1


def test_help_needs_no_beam():
    code = (
        "import runpy, sys\n"
        "sys.argv = ['tools/create_coco_tfrecords.py', '--help']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit: print(sorted({'apache_beam', 'tensorflow'} & set(sys.modules)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"
    assert "--beam_runner=\n" in result.stdout
