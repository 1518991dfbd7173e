"""The memory that this process may still take: the host's, or less in a container or a Slurm job.

Sources: the kernel's admin-guide/cgroup-v2 (memory.max, memory.current, memory.stat) and
admin-guide/cgroup-v1/memory.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

# Version 1 writes a number near 2^63 for no limit.
_UNLIMITED = 2**60


@dataclass(frozen=True)
class _Files:
    """Where a version of cgroups keeps a group's memory: files, and keys of memory.stat."""

    limit: str
    usage: str
    inactive: tuple[str, ...]


_V2 = _Files("memory.max", "memory.current", ("inactive_file",))
# The group's own pages come last: its children's count for the limit, too.
_V1 = _Files(
    "memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "inactive_file")
)


@dataclass(frozen=True)
class FreeMemory:
    """``bytes`` that are free, and of what: this machine, or this container or job."""

    bytes: int
    of: str


def free_memory(root: str = "/") -> FreeMemory:
    """The least that the host and every group of this process leave.

    File cache that has not been used lately counts as free, since the kernel gives it up first.

    Args:
        root: of the file system.
    """
    host = psutil.virtual_memory().available
    grouped = min(_left_in_groups(root), default=host)
    if grouped < host:
        return FreeMemory(grouped, "this container or job (its cgroup)")
    return FreeMemory(host, "this machine")


def _left_in_groups(root: str) -> Iterator[int]:
    """Bytes that each group with a limit leaves, from this process's own group up."""
    for mount, path, files in _groups(root):
        parts = path.split("/")
        for depth in range(len(parts), -1, -1):
            left = _left(os.path.join(mount, *parts[:depth]), files)
            if left is not None:
                yield left


def _groups(root: str) -> Iterator[tuple[str, str, _Files]]:
    """(mount point, path of this process's group below it, its files) of each hierarchy."""
    text = _read(os.path.join(root, "proc/self/cgroup"))
    for line in text.splitlines():
        # hierarchy:controllers:path; version 2 is hierarchy 0, without controllers.
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        # Seen from a container that is not told its host's tree, the path begins with "/..".
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        if not controllers:
            # Beside version 1, version 2 is mounted in a folder of its own.
            for mount in ("sys/fs/cgroup", "sys/fs/cgroup/unified"):
                yield os.path.join(root, mount), "/".join(parts), _V2
        elif "memory" in controllers.split(","):
            yield os.path.join(root, "sys/fs/cgroup/memory"), "/".join(parts), _V1


def _left(folder: str, files: _Files) -> int | None:
    """Bytes that the group ``folder`` leaves; None without a limit, or where it is not mounted."""
    limit = _number(_read(os.path.join(folder, files.limit)))
    usage = _number(_read(os.path.join(folder, files.usage)))
    if limit is None or usage is None or limit >= _UNLIMITED:
        return None
    pairs = (line.split() for line in _read(os.path.join(folder, "memory.stat")).splitlines())
    counts = {pair[0]: _number(pair[1]) or 0 for pair in pairs if len(pair) == 2}
    inactive = next((counts[key] for key in files.inactive if key in counts), 0)
    return max(0, limit - usage + min(inactive, usage))


def _number(text: str) -> int | None:
    # "max" in version 2.
    return int(text) if text.strip().isdecimal() else None


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
