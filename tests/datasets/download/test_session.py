"""A whole download: what is there at its end, whenever it was stopped; and what it refuses."""

import dataclasses
import fcntl
import json
import os
import pathlib
import pickle
import signal
import stat
import subprocess
import sys
import time

import pytest

from ssd_tfrecord.config import DownloadConfig
from ssd_tfrecord.datasets.download import session
from ssd_tfrecord.errors import InputError

MINUTE = 60


def config_of(folder, **options):
    dataset = options.pop("dataset", "voc2007")
    return DownloadConfig(dataset=dataset, output_dir=str(folder), retries=0, **options)


def read_files(root):
    """{path below ``root``: bytes} of all files."""
    files = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items()}


def read_data(root):
    return {name: data for name, data in read_files(root).items() if name != "download.json"}


@pytest.mark.parametrize("dataset", ["voc2007", "coco2017"])
def test_data_set_is_there_and_the_next_run_sees_it(
    datasets, server, tmp_path, capsys, unpacked, dataset
):
    config = config_of(tmp_path / "data", dataset=dataset)
    session.run(config, datasets)
    assert read_data(tmp_path / "data") == unpacked[dataset]
    said = capsys.readouterr()
    assert f"next: convert {tmp_path}/data/" in said.out
    assert "files, " in said.out
    assert "unpacking" in said.err
    num_requests = len(server.asked)
    session.run(config, datasets)
    assert len(server.asked) == num_requests == 2
    said = capsys.readouterr().out
    assert "already there" in said and "next: convert" in said


def test_receipt_says_what_is_there(datasets, tmp_path):
    session.run(config_of(tmp_path), datasets)
    receipt = json.loads((tmp_path / "download.json").read_text())
    part = receipt["parts"]["VOC2007"]
    archives = datasets["voc2007"].parts[0].archives
    assert (receipt["tool"], part["folder"]) == ("ssd_tfrecord download", "VOCdevkit/VOC2007")
    assert (part["files"], part["bytes"]) == (3, 150_000 + 4 + 90_000 + 7)
    assert part["archives"] == [
        {"name": item.name, "bytes": item.num_bytes, "sha256": item.sha256} for item in archives
    ]


def test_parts_are_chosen_and_added(datasets, server, tmp_path, unpacked, capsys):
    session.run(config_of(tmp_path, dataset="coco2017", parts=("val",)), datasets)
    assert set(read_data(tmp_path)) == {"coco/val/1.jpg"}
    assert "next:" not in capsys.readouterr().out
    session.run(config_of(tmp_path, dataset="coco2017"), datasets)
    session.run(config_of(tmp_path), datasets)
    assert read_data(tmp_path) == {**unpacked["coco2017"], **unpacked["voc2007"]}
    assert [headers["path"] for headers in server.asked] == [
        *("/val.zip", "/labels.zip", "/a.tar", "/b.tar")
    ]


def test_unknown_part_is_named(datasets, tmp_path):
    with pytest.raises(
        InputError,
        match=r"^--parts=test: coco2017 has no such part; must be of annotations, val$",
    ):
        session.run(config_of(tmp_path, dataset="coco2017", parts=("val", "test")), datasets)


def test_archives_are_kept_and_used_again(datasets, server, tmp_path, unpacked):
    session.run(config_of(tmp_path / "a", keep_archives=True), datasets)
    archives = {f"archives/{name}": server.files[f"/{name}"] for name in ("a.tar", "b.tar")}
    assert read_data(tmp_path / "a") == {**unpacked["voc2007"], **archives}
    server.asked.clear()
    # As archives that were fetched by other means are.
    (tmp_path / "b").mkdir()
    os.rename(tmp_path / "a" / "archives", tmp_path / "b" / "archives")
    session.run(config_of(tmp_path / "b"), datasets)
    assert read_data(tmp_path / "b") == unpacked["voc2007"]
    assert server.asked == []


def test_other_files_in_archives_stay(datasets, tmp_path):
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / "mine.tar").write_text("mine")
    session.run(config_of(tmp_path), datasets)
    assert os.listdir(tmp_path / "archives") == ["mine.tar"]


def test_mirrors_replace_the_addresses_in_their_order(datasets, server, tmp_path):
    for name in ("a.tar", "b.tar"):
        server.files[f"/mirror/{name}"] = server.files.pop(f"/{name}")
    mirrors = (f"{server.url}/gone/", f"{server.url}/mirror")
    server.script = [server.saying(404), server.serving(), server.saying(404)]
    session.run(config_of(tmp_path, mirror=mirrors), datasets)
    assert [headers["path"] for headers in server.asked] == [
        *("/gone/a.tar", "/mirror/a.tar", "/gone/b.tar", "/mirror/b.tar")
    ]


def test_dry_run_says_all_and_does_nothing(datasets, server, tmp_path, capsys):
    session.run(config_of(tmp_path / "a" / "b", dry_run=True), datasets)
    said = capsys.readouterr().out
    archive = datasets["voc2007"].parts[0].archives[0]
    assert f"  a.tar  {archive.num_bytes} bytes  sha256 {archive.sha256}\n" in said
    assert f"    {server.url}/a.tar\n" in said
    # Archives, the most that is in them, and a block for each of 20 members.
    needed = sum(len(server.files[f"/{name}"]) + 400_000 + 20 * 4096 for name in ("a.tar", "b.tar"))
    assert f"needs up to {needed / 1e6:.2f}MB; " in said
    assert said.endswith(f" are free in {tmp_path}\n")
    assert server.asked == [] and os.listdir(tmp_path) == []


def test_space_is_checked_before_anything_is_downloaded(datasets, server, tmp_path, monkeypatch):
    free = []
    monkeypatch.setattr(
        session.shutil, "disk_usage", lambda path: type("Usage", (), {"free": free[0]})
    )
    labels, val = (len(server.files[f"/{name}"]) for name in ("labels.zip", "val.zip"))
    files = 400_000 + 20 * 4096
    # One part after the other: the first archive is gone when the second one comes.
    need = max(labels + files, files + val + files)
    free[:] = [need - 1]
    config = config_of(tmp_path, dataset="coco2017")
    with pytest.raises(InputError) as caught:
        session.run(config, datasets)
    assert str(caught.value) == (
        f"--output_dir={tmp_path}: coco2017 needs up to 1.01MB (archives and files), but "
        f"{tmp_path} has 1.01MB free; free some, choose another --output_dir, or fewer --parts"
    )
    assert server.asked == []
    free[:] = [need + labels - 1]
    with pytest.raises(InputError, match="needs up to"):
        session.run(dataclasses.replace(config, keep_archives=True), datasets)
    free[:] = [need]
    session.run(config, datasets)
    # All is there, whatever is left.
    free[:] = [0]
    session.run(config, datasets)


def test_what_was_received_needs_no_space(datasets, server, tmp_path, capsys):
    archives = datasets["voc2007"].parts[0].archives
    need = sum(item.num_bytes + item.disk_bytes for item in archives)
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / "a.tar").write_bytes(server.files["/a.tar"])
    (tmp_path / "archives" / "b.tar.part").write_bytes(bytes(50_000))
    session.run(config_of(tmp_path, dry_run=True), datasets)
    need -= len(server.files["/a.tar"]) + 50_000
    assert f"needs up to {need / 1e6:.2f}MB; " in capsys.readouterr().out


def test_folder_of_somebody_else_is_refused(datasets, server, tmp_path):
    folder = tmp_path / "VOCdevkit" / "VOC2007"
    folder.mkdir(parents=True)
    session.run(config_of(tmp_path), datasets)  # an empty one is nobody's
    (tmp_path / "download.json").unlink()
    server.asked.clear()
    with pytest.raises(InputError, match=r"VOC2007: is there, but .*download.json does not say"):
        session.run(config_of(tmp_path), datasets)
    assert server.asked == []
    assert (folder / "JPEGImages" / "1.jpg").is_file()


def test_file_instead_of_the_folder_is_refused(datasets, tmp_path):
    (tmp_path / "VOCdevkit").mkdir()
    (tmp_path / "VOCdevkit" / "VOC2007").write_text("a file")
    with pytest.raises(InputError, match=r"VOC2007: is no folder, but VOC2007 goes there; move"):
        session.run(config_of(tmp_path), datasets)
    (tmp_path / "VOCdevkit" / "VOC2007").unlink()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "VOCdevkit" / "VOC2007").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"VOC2007: is a link, but VOC2007 goes there; move"):
        session.run(config_of(tmp_path), datasets)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file: cannot be read or written: "):
        session.run(config_of(tmp_path / "file"), datasets)


def test_missing_files_are_noticed_and_own_ones_allowed(datasets, tmp_path):
    session.run(config_of(tmp_path), datasets)
    folder = tmp_path / "VOCdevkit" / "VOC2007"
    (folder / "mine.txt").write_text("")
    session.run(config_of(tmp_path), datasets)
    (folder / "mine.txt").unlink()
    (folder / "JPEGImages" / "2.jpg").unlink()
    with pytest.raises(InputError, match=r"VOC2007: holds 2 files, but 3 were unpacked; delete"):
        session.run(config_of(tmp_path), datasets)


def test_deleted_folder_is_downloaded_again(datasets, tmp_path, unpacked):
    session.run(config_of(tmp_path), datasets)
    os.rename(tmp_path / "VOCdevkit", tmp_path / "moved")
    session.run(config_of(tmp_path), datasets)
    assert read_files(tmp_path)["VOCdevkit/VOC2007/Annotations/1.xml"] == b"<a/>"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"parts": []}', '{"parts": {"VOC2007": {}}}', "[" * 99_999, '{"parts": 7}'],
)
def test_receipt_of_another_program_is_not_overwritten(datasets, tmp_path, text):
    (tmp_path / "download.json").write_text(text)
    with pytest.raises(InputError, match=r"download.json: is damaged or of another program; move"):
        session.run(config_of(tmp_path), datasets)
    assert (tmp_path / "download.json").read_text() == text


def test_archive_that_cannot_be_unpacked_leaves_no_folder(datasets, tmp_path):
    (part,) = datasets["voc2007"].parts
    small = dataclasses.replace(part.archives[1], max_bytes=10)
    part = dataclasses.replace(part, archives=(part.archives[0], small))
    datasets["voc2007"] = dataclasses.replace(datasets["voc2007"], parts=(part,))
    with pytest.raises(InputError, match=r"b.tar: its files have more than 10 bytes"):
        session.run(config_of(tmp_path), datasets)
    assert os.listdir(tmp_path / "VOCdevkit") == []
    assert sorted(os.listdir(tmp_path)) == ["VOCdevkit", "archives"]


def test_files_of_two_archives_that_are_the_same_are_refused(datasets, server, tmp_path):
    (part,) = datasets["voc2007"].parts
    twice = dataclasses.replace(part, archives=(part.archives[0], part.archives[0]))
    datasets["voc2007"] = dataclasses.replace(datasets["voc2007"], parts=(twice,))
    with pytest.raises(InputError, match=r"is there twice"):
        session.run(config_of(tmp_path), datasets)


def test_files_have_the_usual_permissions(datasets, tmp_path):
    old = os.umask(0o027)
    try:
        session.run(config_of(tmp_path), datasets)
    finally:
        os.umask(old)
    folder = tmp_path / "VOCdevkit" / "VOC2007" / "JPEGImages"
    assert stat.S_IMODE((folder / "1.jpg").stat().st_mode) == 0o640
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750


def test_two_runs_do_not_share_a_folder(datasets, server, tmp_path):
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with pytest.raises(InputError, match=r"another download is writing here; wait for it"):
            session.run(config_of(tmp_path), datasets)
    finally:
        os.close(descriptor)
    assert server.asked == []
    session.run(config_of(tmp_path), datasets)
    # Nothing of the lock stays, and it is free again.
    assert sorted(os.listdir(tmp_path)) == ["VOCdevkit", "download.json"]
    session.run(config_of(tmp_path), datasets)


def test_folder_that_cannot_be_locked_is_used(datasets, tmp_path, monkeypatch):
    def flock(descriptor, operation):
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", flock)
    session.run(config_of(tmp_path), datasets)


CHILD = """
import pickle, sys
from ssd_tfrecord import flags
from ssd_tfrecord.config import DownloadConfig
from ssd_tfrecord.datasets.download import session

with open(sys.argv[1], "rb") as file:
    datasets = pickle.load(file)
sys.exit(flags.run(DownloadConfig, lambda config: session.run(config, datasets), sys.argv[1:]))
"""


class Child:
    """The program in a process of its own, which runs the code ``before`` first."""

    def __init__(self, datasets, folder, before=""):
        self.root = folder / "data"
        (folder / "datasets").write_bytes(pickle.dumps(datasets))
        words = [
            sys.executable,
            "-c",
            before + CHILD,
            str(folder / "datasets"),
            "--dataset=voc2007",
        ]
        self.process = subprocess.Popen(
            [*words, f"--output_dir={self.root}", "--timeout=60", "--retries=0"],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_until(self, condition):
        deadline = time.monotonic() + MINUTE
        while not condition():
            assert self.process.poll() is None, self.process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def end(self):
        """(exit code, error output)."""
        _, errors = self.process.communicate(timeout=MINUTE)
        return self.process.returncode, errors


def size(path):
    return path.stat().st_size if path.exists() else 0


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_download_is_resumed(datasets, server, tmp_path, unpacked, end):
    part = tmp_path / "data" / "archives" / "a.tar.part"
    server.always = server.serving(100_000, end="stall")
    for stop in (40_000, 40_001, 100_000):
        server.script = [server.serving(stop, end="stall")]
        child = Child(datasets, tmp_path)
        child.wait_until(lambda stop=stop: size(part) == stop)
        child.process.send_signal(end)
        code, errors = child.end()
        assert not (child.root / "VOCdevkit").exists()
        assert code == (130 if end == signal.SIGINT else -end)
        if end == signal.SIGINT:
            kept = {40_000: "40.0kB", 40_001: "40.0kB", 100_000: "100kB"}[stop]
            assert f"stopped: {kept} are kept in {part.parent}; the same command" in errors
            assert "Traceback" not in errors
    assert server.ranges() == [None, "bytes=40000-", "bytes=40001-"]
    assert {headers["if-range"] for headers in server.asked[1:]} == {'"v1"'}
    server.always, server.asked = server.serving(), []
    code, errors = Child(datasets, tmp_path).end()
    assert code == 0, errors
    assert server.ranges() == ["bytes=100000-", None]
    assert read_data(tmp_path / "data") == unpacked["voc2007"]


KILLED = """
import os, signal
from ssd_tfrecord.datasets.download import receipt, session, unpack

def killed(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

{place} = killed
"""
# The archives are removed last.
KILLED_LAST = (
    KILLED
    + """
def unlink(path, **options):
    if path.suffix == ".tar":
        killed()
    if path.exists():
        os.unlink(path)

session.pathlib.Path.unlink = unlink
"""
)


@pytest.mark.parametrize(
    "place", ["unpack._write", "receipt.Receipt.add", "session.os.rename", "last"]
)
def test_killed_while_it_unpacks(datasets, server, tmp_path, unpacked, place):
    last = place == "last"
    before = KILLED_LAST.format(place="_") if last else KILLED.format(place=place)
    assert Child(datasets, tmp_path, before).end()[0] == -signal.SIGKILL
    # Nothing half-written has its final name.
    folder = tmp_path / "data" / "VOCdevkit" / "VOC2007"
    assert folder.exists() == last
    assert len(server.asked) == 2
    session.run(config_of(tmp_path / "data"), datasets)
    assert len(server.asked) == 2
    found = read_data(tmp_path / "data")
    if last:  # what is there is not unpacked again, nor is it removed
        found = {name: data for name, data in found.items() if not name.startswith("archives/")}
    assert found == unpacked["voc2007"]
    assert os.listdir(tmp_path / "data" / "VOCdevkit") == ["VOC2007"]


def test_ctrl_c_while_unpacking_keeps_the_archives(datasets, server, tmp_path, monkeypatch, capsys):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(session, "unpack", interrupted)
        with pytest.raises(KeyboardInterrupt):
            session.run(config_of(tmp_path), datasets)
    whole = sum(len(server.files[f"/{name}"]) for name in ("a.tar", "b.tar"))
    assert f"stopped: {whole / 1e3:.0f}kB are kept in {tmp_path}/archives; " in (
        capsys.readouterr().err
    )
    assert os.listdir(tmp_path / "VOCdevkit") == []
    server.asked.clear()
    session.run(config_of(tmp_path), datasets)
    assert server.asked == []


# Stands for a full disk: writing on fails, and what was written stays.
FULL = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
"""


def test_disk_that_cannot_take_more_is_a_line(datasets, server, tmp_path, unpacked):
    code, errors = Child(datasets, tmp_path, FULL).end()
    part = tmp_path / "data" / "archives" / "a.tar.part"
    assert code == 2
    assert errors.splitlines()[-1] == (
        f"error: {part}: cannot be written: File too large; the same command resumes"
    )
    assert size(part) == 60_000
    code, errors = Child(datasets, tmp_path).end()
    assert code == 0, errors
    assert server.ranges() == [None, "bytes=60000-", None]
    assert read_data(tmp_path / "data") == unpacked["voc2007"]


def test_nothing_of_tensorflow_is_imported():
    code = (
        "import sys; from ssd_tfrecord.datasets.download import session; "
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_program_is_this_one(datasets, tmp_path, monkeypatch, capsys):
    from ssd_tfrecord import programs

    monkeypatch.setitem(session.DATASETS, "voc2012", datasets["voc2007"])
    words = ["ssd-tfrecord", "download", "--dataset=voc2012", f"--output_dir={tmp_path}"]
    assert programs.main(words) == 0
    assert pathlib.Path(tmp_path, "VOCdevkit/VOC2007/JPEGImages/2.jpg").is_file()
