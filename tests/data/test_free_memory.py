"""Free memory is that of the container: trees of cgroups, of both versions, made in a folder."""

import types

import pytest

from ssd_tfrecord.data import free_memory

MB = 10**6
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")
V2 = ("memory.max", "memory.current")


@pytest.fixture(autouse=True)
def host(monkeypatch):
    """A host with 8,000 MB left."""
    available = types.SimpleNamespace(available=8000 * MB)
    monkeypatch.setattr(free_memory.psutil, "virtual_memory", lambda: available)


def group(folder, files, limit, usage, stat=""):
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(files, (limit, usage)):
        (folder / name).write_text(f"{value}\n")
    (folder / "memory.stat").write_text(stat)


def left(root, cgroup):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    return free_memory.free_memory(str(root)).bytes // MB


def test_without_cgroups_it_is_the_host_s(tmp_path):
    found = free_memory.free_memory(str(tmp_path))
    assert (found.bytes, found.of) == (8000 * MB, "this machine")


def test_a_container_with_a_namespace_of_its_own(tmp_path):
    group(tmp_path / "sys/fs/cgroup", V2, 2000 * MB, 500 * MB)
    assert left(tmp_path, "0::/\n") == 1500
    assert free_memory.free_memory(str(tmp_path)).of == "this container or job (its cgroup)"


def test_the_tightest_of_all_groups_on_the_way_up_counts(tmp_path):
    tree = tmp_path / "sys/fs/cgroup"
    group(tree / "slurm/job/step", V2, "max", 100 * MB)
    group(tree / "slurm/job", V2, 3000 * MB, 1000 * MB)
    group(tree / "slurm", V2, 9000 * MB, 7500 * MB)
    assert left(tmp_path, "0::/slurm/job/step\n") == 1500


def test_file_cache_that_is_not_in_use_is_free(tmp_path):
    stat = f"anon 5\ninactive_file {400 * MB}\nactive_file {300 * MB}\n"
    group(tmp_path / "sys/fs/cgroup", V2, 2000 * MB, 1900 * MB, stat)
    assert left(tmp_path, "0::/\n") == 500


def test_a_group_beyond_its_limit_leaves_nothing(tmp_path):
    group(tmp_path / "sys/fs/cgroup", V2, 2000 * MB, 2100 * MB)
    assert left(tmp_path, "0::/\n") == 0


def test_no_limit_is_ignored_in_either_version(tmp_path):
    group(tmp_path / "sys/fs/cgroup/a", V2, "max", 100 * MB)
    group(tmp_path / "sys/fs/cgroup/memory/a", V1, 2**63 - 4096, 100 * MB)
    assert left(tmp_path, "4:memory:/a\n0::/a\n") == 8000


def test_version_1(tmp_path):
    stat = f"inactive_file 1\ntotal_inactive_file {100 * MB}\n"
    group(tmp_path / "sys/fs/cgroup/memory/docker/f00", V1, 1000 * MB, 700 * MB, stat)
    text = "12:cpu,cpuacct:/docker/f00\n5:memory:/docker/f00\n1:name=systemd:/docker/f00\n0::/\n"
    assert left(tmp_path, text) == 400


@pytest.mark.parametrize("path", ["/docker/f00", "/../../docker/f00"])
def test_a_container_that_sees_its_host_s_path_but_not_its_tree(tmp_path, path):
    group(tmp_path / "sys/fs/cgroup/memory", V1, 1000 * MB, 700 * MB)
    assert left(tmp_path, f"5:memory:{path}\n") == 300


@pytest.mark.parametrize("text", ["", "garbage", "::", "0::", "\0\n5:memory\n"])
def test_what_cannot_be_read_is_no_limit(tmp_path, text):
    group(tmp_path / "sys/fs/cgroup", V2, "x", "")
    assert left(tmp_path, text) == 8000


def test_this_very_process():
    assert free_memory.free_memory().bytes > 0
