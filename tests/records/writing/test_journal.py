"""Going on where a conversion stopped: what is kept, what is refused, what was being published."""

import dataclasses
import fcntl
import hashlib
import os
import pathlib
import shutil

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import ImageOptions, RecordSetOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.sources.source_set import SourceSet
from ssd_tfrecord.records.sources.spool import IMAGES, Spool
from ssd_tfrecord.records.writing import convert, shard_writer, shards

NUM_IMAGES, NUM_SHARDS = 48, 12
DROP = ImageOptions(bad_images="drop")


@pytest.fixture(scope="module")
def images(make_images):
    """48 small images with a box each; every fourth box leaves its image."""
    return make_images([30.0 if index % 4 else 33.0 for index in range(NUM_IMAGES)])


def _convert(images, folder, image_options=convert.DEFAULT_IMAGES, **options):
    options = {"classes": "auto", "num_shards": NUM_SHARDS, "set_name": "x", **options}
    return convert.convert(
        SourceSet(Spool(IMAGES, images), {}),
        RecordSetOptions(output_dir=str(folder), **options),
        images=image_options,
        tool="test",
        flag_lines=("--pixel_origin=1",),
    )


def _digests(folder):
    files = (path for path in folder.iterdir() if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _stop(images, folder, image_options=convert.DEFAULT_IMAGES):
    """Converts to ``folder`` until 3 of 12 shards are finished, and half a fourth one."""

    def make_record(source, recipe):
        if next(counts, None) is None:
            raise KeyboardInterrupt
        return make(source, recipe)

    counts, make = iter(range(14)), shard_writer.make_record
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shard_writer, "make_record", make_record)
        _convert(images, folder, image_options)


@pytest.fixture
def stopped(images, tmp_path):
    """A folder that ``_stop`` has left."""
    _stop(images, tmp_path / "a")
    return tmp_path / "a"


def test_the_same_call_goes_on_and_gives_the_same_bytes(images, stopped, tmp_path, capsys):
    whole = _convert(images, tmp_path / "whole")
    finished = sorted((stopped / ".partial").glob("*.tfrecord"))
    assert len(finished) == 3
    before = [path.stat().st_mtime_ns for path in finished]
    capsys.readouterr()
    resumed = _convert(images, stopped)
    assert capsys.readouterr().err.startswith("resuming: 3 of 12 shards are already finished\n")
    assert dataclasses.replace(resumed, directory=whole.directory) == whole
    assert [(stopped / path.name).stat().st_mtime_ns for path in finished] == before
    for name, digest in _digests(tmp_path / "whole").items():
        if name != "manifest.json":
            assert _digests(stopped)[name] == digest
    assert len((stopped / "rejects.jsonl").read_text().splitlines()) == NUM_IMAGES // 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shuffle_seed": 1}, r"with --shuffle_seed=0 \(now 1\): pass the same to resume it, or"),
        ({"set_name": "y"}, r"with --set_name=x \(now y\): pass the same"),
        ({"image_options": ImageOptions(max_side=9)}, r"with --max_side=0 \(now 9\): pass the"),
    ],
)
def test_other_flags_are_refused_by_name(images, stopped, change, message):
    with pytest.raises(InputError, match=message):
        _convert(images, stopped, **change)
    assert _convert(images, stopped, overwrite=True, **change).num_records == NUM_IMAGES


def test_flags_that_change_no_byte_may_differ(images, stopped, capsys):
    _convert(images, stopped, workers=1, overwrite=True)
    assert "resuming: 3 of 12" in capsys.readouterr().err


def _first_of_shard(images, shard, folder):
    plans = convert.shards.plan(Spool(IMAGES, images), "x", NUM_SHARDS, 0, str(folder))
    return next(plans[shard].images)


def test_a_finished_image_that_has_changed_is_refused(images, stopped, tmp_path):
    finished = sorted((stopped / ".partial").glob("*.tfrecord.json"))[1]
    changed = _first_of_shard(images, 1, tmp_path)
    others = tuple(item for item in images if item != changed)
    moved = (*others, dataclasses.replace(changed, objects=()))
    message = rf"annotations or images of {finished.stem} have changed since it was finished: pass"
    with pytest.raises(InputError, match=message):
        _convert(moved, stopped)
    assert _convert(moved, stopped, overwrite=True).num_objects == NUM_IMAGES - 1


def test_an_image_that_was_not_finished_may_change(images, stopped, tmp_path):
    image = _first_of_shard(images, 5, tmp_path)
    moved = tuple(
        dataclasses.replace(item, objects=()) if item == image else item for item in images
    )
    assert _convert(moved, stopped).num_objects == NUM_IMAGES - 1


def _written_anew(path):
    """Other pixels in as many bytes, at another time."""
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    _set_time(path, path.stat().st_mtime_ns + 1)


def _lengthened(path):
    """A byte more behind the image's end, and the old time."""
    time = path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes() + b" ")
    _set_time(path, time)


def _set_time(path, time):
    os.utime(path, ns=(time, time))


@pytest.fixture
def copied(images, tmp_path):
    """``images`` as files of this test's own, which keep their times."""
    folder = shutil.copytree(os.path.dirname(images[0].image_path), tmp_path / "images")
    return tuple(
        dataclasses.replace(item, image_path=str(folder / os.path.basename(item.image_path)))
        for item in images
    )


@pytest.mark.parametrize("change", [_written_anew, _lengthened, pathlib.Path.unlink])
def test_the_file_of_a_finished_image_has_changed(copied, tmp_path, change, capsys):
    _stop(copied, tmp_path / "a", DROP)
    change(pathlib.Path(_first_of_shard(copied, 1, tmp_path).image_path))
    message = r"annotations or images of x-00001-of-00012\.tfrecord have changed since it was "
    with pytest.raises(InputError, match=message):
        _convert(copied, tmp_path / "a", DROP)
    assert not (tmp_path / "a/manifest.json").exists()
    capsys.readouterr()
    found = _convert(copied, tmp_path / "a", DROP, overwrite=True)
    assert capsys.readouterr().err.startswith("resuming: 2 of 12 shards are already finished\n")
    assert found.shards == _convert(copied, tmp_path / "b", DROP).shards
    assert found.num_records == NUM_IMAGES - (change is pathlib.Path.unlink)


@pytest.mark.parametrize("change", [_written_anew, _lengthened, pathlib.Path.unlink])
def test_the_file_of_an_image_that_was_not_finished_has_changed(copied, tmp_path, change, capsys):
    before = _convert(copied, tmp_path / "before", DROP).shards
    _stop(copied, tmp_path / "a", DROP)
    change(pathlib.Path(_first_of_shard(copied, 5, tmp_path).image_path))
    capsys.readouterr()
    found = _convert(copied, tmp_path / "a", DROP)
    assert capsys.readouterr().err.startswith("resuming: 3 of 12 shards are already finished\n")
    assert found.shards == _convert(copied, tmp_path / "b", DROP).shards
    assert [number for number in range(12) if found.shards[number] != before[number]] == [5]


@pytest.mark.parametrize("suffix", ["", ".rejects.jsonl", ".json"])
def test_a_damaged_shard_is_written_anew(images, stopped, tmp_path, suffix, capsys):
    whole = _convert(images, tmp_path / "whole")
    path = stopped / ".partial" / (whole.shards[0].file + suffix)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    capsys.readouterr()
    assert _convert(images, stopped).shards == whole.shards
    assert "resuming: 2 of 12" in capsys.readouterr().err


def test_a_run_that_ended_while_it_gave_names_is_finished(images, tmp_path, monkeypatch):
    whole = _convert(images, tmp_path / "whole")

    def replace(source, target):
        if os.path.basename(target) == whole.shards[4].file and ".partial" not in target:
            raise KeyboardInterrupt
        move(source, target)

    move = os.replace
    _convert(images, tmp_path / "a", shuffle_seed=1)  # an old set with the same names
    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        _convert(images, tmp_path / "a", overwrite=True)
    monkeypatch.undo()
    assert not (tmp_path / "a/manifest.json").exists()
    assert _convert(images, tmp_path / "a").shards == whole.shards
    assert Manifest.load(tmp_path / "a").shards == whole.shards
    assert not (tmp_path / "a/.partial").exists()


def test_a_second_run_on_the_folder_is_refused_at_once(images, stopped):
    with open(stopped / ".partial/run.lock", "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        for overwrite in (False, True):
            with pytest.raises(InputError, match=r"\.partial: another run is writing here: wait"):
                _convert(images, stopped, overwrite=overwrite)
    assert _convert(images, stopped).num_records == NUM_IMAGES


def test_a_dry_run_writes_nothing_and_counts_the_same(images, stopped, tmp_path, capsys):
    whole = _convert(images, tmp_path / "whole")
    before = sorted(stopped.rglob("*"))
    dry = _convert(images, stopped, dry_run=True)
    assert sorted(stopped.rglob("*")) == before
    assert convert.summary(dry) == convert.summary(whole)
    assert [item.bytes for item in dry.shards] == [item.bytes for item in whole.shards]


def test_the_fingerprint_knows_no_order_and_no_folder(images, tmp_path):
    first = _convert(images, tmp_path / "a").source["fingerprint"]
    copies = shutil.copytree(os.path.dirname(images[0].image_path), tmp_path / "copies")
    moved = tuple(
        dataclasses.replace(item, image_path=str(copies / os.path.basename(item.image_path)))
        for item in images[::-1]
    )
    assert _convert(moved, tmp_path / "b", num_shards=5).source["fingerprint"] == first
    other = (dataclasses.replace(images[0], objects=()), *images[1:])
    assert _convert(other, tmp_path / "c").source["fingerprint"] != first


class _Killed(BaseException):
    """Nothing handles it, so nothing is tidied up, as after a SIGKILL."""


@pytest.fixture
def kill_at(monkeypatch):
    """Has publishing end with _Killed before its step of that number: what changes folders."""

    def stepping(function, steps):
        def call(*arguments):
            if next(steps, None) is None:
                raise _Killed
            return function(*arguments)

        return call

    def kill_at(number):
        def publish(*arguments):
            steps = iter(range(number))
            for name in ("replace", "remove", "rmdir", "fsync"):
                monkeypatch.setattr(os, name, stepping(getattr(os, name), steps))
            publish_whole(*arguments)

        monkeypatch.setattr(shards, "publish", publish)

    publish_whole = shards.publish
    return kill_at


def test_killed_before_each_step_of_publishing(images, tmp_path, monkeypatch, kill_at):
    folder = tmp_path / "a"
    _convert(images, folder, num_shards=4)
    old = shutil.copytree(folder, tmp_path / "old")
    _convert(images, folder, num_shards=3, overwrite=True)
    new = _digests(folder)
    num_kills = 0
    for number in range(25):
        shutil.rmtree(folder)
        shutil.copytree(old, folder)
        kill_at(number)
        try:
            _convert(images, folder, num_shards=3, overwrite=True)
        except _Killed:
            num_kills += 1
        monkeypatch.undo()
        if (folder / "manifest.json").exists():
            assert _digests(folder) in (_digests(old), new)
        if (folder / ".partial/state.json").exists():
            _convert(images, folder, num_shards=3)
            assert not (folder / ".partial").exists()
        assert _digests(folder) == new
    # 5 old files go, 5 new ones come, a sync; of the journal 9 files of shards, 3 more, its folder.
    assert num_kills == 24
