"""The command: what it says before, instead of and after a download."""

import http.server
import os
import pathlib
import subprocess
import sys
import threading

import pytest

from ssd_tfrecord import flags
from ssd_tfrecord.config import DownloadConfig
from ssd_tfrecord.errors import InputError

TOOL = pathlib.Path(__file__).parents[2] / "tools/download_dataset.py"


def run_tool(*words):
    return subprocess.run(
        [sys.executable, "-W", "error", str(TOOL), *words],
        env={**os.environ, "NO_PROXY": "*"},
        check=False,
        capture_output=True,
        text=True,
    )


def test_dry_run_prints_the_catalogue(tmp_path):
    words = ("--dataset=coco2017", "--parts=val2017", "--dry_run")
    ran = run_tool(*words, f"--output_dir={tmp_path}/new")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines()[:4] == [
        f"{tmp_path}/new/coco/val2017:",
        "  val2017.zip  815585330 bytes  sha256 "
        "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
        "    https://s3.amazonaws.com/images.cocodataset.org/zips/val2017.zip",
        "    http://images.cocodataset.org/zips/val2017.zip",
    ]
    assert list(tmp_path.iterdir()) == []


def test_server_that_has_no_such_file_is_a_line(tmp_path):
    """An empty folder is served."""
    (tmp_path / "served").mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=tmp_path / "served")

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        mirror = f"http://127.0.0.1:{server.server_port}/voc/"
        words = ("--dataset=voc2012", f"--mirror={mirror}")
        ran = run_tool(*words, f"--output_dir={tmp_path}/data")
        server.shutdown()
    name = "VOCtrainval_11-May-2012.tar"
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1] == (
        f"error: {name}: cannot be downloaded ({mirror}{name}: HTTP 404 File not found); run the "
        "same command again to resume, or set another address with --mirror"
    )
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--dataset=: must be one of voc2007, voc2012, coco2017"),
        (["--dataset=voc"], "--dataset=voc: must be one of voc2007, voc2012, coco2017"),
        (["--dataset=voc2007", "--output_dir="], "--output_dir is required"),
        (["--dataset=voc2007", "--timeout=0"], "--timeout=0.0: must be above 0"),
        (["--dataset=voc2007", "--retries=-1"], "--retries=-1: must be at least 0"),
        *(
            (["--dataset=voc2007", f"--mirror={address}"], r"--mirror=.*: must be http://HOST/PATH")
            for address in (
                *("ftp://host/voc", "file:///voc", "host/voc", "http://", "https:///voc"),
                *("http://me:secret@host", "http://host/?a=", "http://host/#a", "http://host:a"),
                *("http://[", "http://a,http//b"),
            )
        ),
    ],
)
def test_wrong_flag_is_named(words, message):
    with pytest.raises(InputError, match=message):
        flags.parse(DownloadConfig, ["prog", "--output_dir=x", *words])


def test_several_mirrors_are_read():
    words = ["prog", "--dataset=voc2007", "--output_dir=x", "--mirror=http://a/b,https://c:8/d/"]
    assert flags.parse(DownloadConfig, words).mirror == ("http://a/b", "https://c:8/d/")
