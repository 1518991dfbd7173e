"""Who holds a lock, and what it says of them."""

import fcntl
import os
import re
import socket

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.processes import lock


def test_a_lock_is_taken_once_and_free_when_it_is_closed(tmp_path):
    path = str(tmp_path / "new" / "lock")
    descriptor = lock.take(path)
    assert lock.take(path) is None
    os.close(descriptor)
    again = lock.take(path)
    assert again is not None
    os.close(again)


def test_its_signature_says_host_process_and_since_when(tmp_path):
    path = str(tmp_path / "lock")
    os.close(lock.take(path))
    said = rf"host {re.escape(socket.gethostname())}, process {os.getpid()}, since 20\d\d-.*T.*"
    assert re.fullmatch(said, lock.signature(path))


@pytest.mark.parametrize(
    "content",
    [b"", b"6f0e8d", b"{}", b"[1]", b"\0\xff", b"[" * 10**5, b'{"host": 1}'],
    ids=["empty", "an earlier version's", "no field", "a list", "binary", "deep", "half"],
)
def test_a_signature_that_says_nothing_is_none(tmp_path, content):
    (tmp_path / "lock").write_bytes(content)
    assert lock.signature(str(tmp_path / "lock")) == ""
    assert lock.signature(str(tmp_path / "nowhere")) == ""


def test_a_link_is_not_followed_as_signing_would_overwrite_what_it_leads_to(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "lock").symlink_to("precious")
    with pytest.raises(OSError, match="symbolic links"):
        lock.take(str(tmp_path / "lock"))
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_lock_on_a_file_that_has_lost_its_name_is_not_one(tmp_path, monkeypatch):
    """The last holder removes the file between another's opening and locking it."""
    path = tmp_path / "lock"
    flock, removed = fcntl.flock, []

    def remove_first(descriptor, how):
        if not removed:
            removed.append(os.fstat(descriptor).st_ino)
            path.unlink()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    descriptor = lock.take(str(path))
    assert removed
    assert lock.is_name_of(str(path), descriptor)
    assert lock.take(str(path)) is None
    os.close(descriptor)


def test_a_folder_is_one_programs_at_a_time_and_nothing_is_left_in_it(tmp_path):
    message = rf"^--output_dir={re.escape(str(tmp_path))}: another download is writing here; wait "
    for _ in range(2):
        with (
            lock.alone_in(tmp_path, "download"),
            pytest.raises(InputError, match=message),
            lock.alone_in(tmp_path, "download"),
        ):
            raise AssertionError("held twice")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_locked_is_used_unlocked(tmp_path, monkeypatch):
    def nfs(descriptor, how):
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", nfs)
    done = []
    with lock.alone_in(tmp_path, "detect"):
        done.append(1)
    # What is raised inside is the caller's own.
    with pytest.raises(OSError, match="full"), lock.alone_in(tmp_path, "detect"):
        raise OSError("full")
    assert done == [1]


def test_a_folder_that_is_held_names_its_holder(tmp_path):
    descriptor = lock.hold(str(tmp_path / "a"))
    assert lock.is_held(str(tmp_path / "a"))
    with pytest.raises(InputError, match=rf"dir \(host .*, process {os.getpid()}, since"):
        lock.hold(str(tmp_path / "a"))
    # Not two runs of one process with one signature.
    first = lock.holder(str(tmp_path / "a"))
    os.close(descriptor)
    assert not lock.is_held(str(tmp_path / "a"))
    os.close(lock.hold(str(tmp_path / "a")))
    assert lock.holder(str(tmp_path / "a")) != first
