"""Slurm's short form of host names, ``node[01-04,7],gpu-a[1-2]-x``, written out."""

import itertools
import math
import re

from ssd_tfrecord.devices.cluster.variables import (
    MAX_HOST_NAME,
    MAX_WORKERS,
    is_host_name,
    shortened,
)

# A name, of plain pieces and groups in brackets; commas outside of brackets separate names.
_PIECE = r"[^\[\],]+|\[[^\[\]]*\]"
_NAME = re.compile(rf"(?:{_PIECE})+")
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
_REPEATED = re.compile(r"([0-9]{1,9})(?:\(x([0-9]{1,9})\))?")


def expand_hosts(text: str) -> list[str]:
    """All names of a host list, in its order.

    A name may hold several groups; the last varies fastest, as Slurm counts. Numbers keep the
    width of a range's first, ``[08-11]`` is 08, 09, 10, 11.

    Args:
        text: as in ``SLURM_STEP_NODELIST``.

    Returns:
        1 to ``MAX_WORKERS`` names.

    Raises:
        ValueError: the list is malformed or too long; the message is the rest of a line that names
            the variable.
    """
    hosts: list[str] = []
    for name in _split(text):
        pieces = re.findall(_PIECE, name)
        # Counted before anything is written out: [1-999999999] is short. So are names of many
        # groups, each of which is one character or more.
        if len(hosts) + math.prod(map(_count, pieces)) > MAX_WORKERS:
            raise ValueError(f"must be {MAX_WORKERS} hosts at most")
        if sum(1 if piece[0] == "[" else len(piece) for piece in pieces) > MAX_HOST_NAME:
            raise ValueError(f"{shortened(name)} is not a host name")
        hosts += map("".join, itertools.product(*map(_alternatives, pieces)))
    for host in hosts:
        if not is_host_name(host):
            raise ValueError(f"{shortened(host)} is not a host name")
    return hosts


def expand_counts(text: str) -> list[int]:
    """The numbers of a list such as ``2(x3),1``, Slurm's tasks per node: 2, 2, 2, 1.

    Args:
        text: as in ``SLURM_STEP_TASKS_PER_NODE``.

    Returns:
        1 to ``MAX_WORKERS`` numbers, each 1 to ``MAX_WORKERS``.

    Raises:
        ValueError: as of ``expand_hosts``.
    """
    counts: list[int] = []
    for item in text.split(","):
        match = _REPEATED.fullmatch(item)
        times = int(match[2] or 1) if match else 0
        if not match or not times or not 1 <= int(match[1]) <= MAX_WORKERS:
            raise ValueError(f"{shortened(item)} must be a number of tasks, such as 2 or 2(x3)")
        if len(counts) + times > MAX_WORKERS:
            raise ValueError(f"must be {MAX_WORKERS} nodes at most")
        counts += [int(match[1])] * times
    return counts


def _split(text: str) -> list[str]:
    names, start = [], 0
    while start < len(text):
        match = _NAME.match(text, start)
        if not match or text[match.end() : match.end() + 1] not in ("", ","):
            break
        names.append(match[0])
        start = match.end() + 1
    if start != len(text) + 1 or len(names) > MAX_WORKERS:
        raise ValueError(f"must be at most {MAX_WORKERS} names such as node[01-04,7],gpu-a1")
    return names


def _count(piece: str) -> int:
    return sum(last - first + 1 for _, first, last in _ranges(piece)) if piece[0] == "[" else 1


def _alternatives(piece: str) -> list[str]:
    if piece[0] != "[":
        return [piece]
    return [
        f"{number:0{width}d}"
        for width, first, last in _ranges(piece)
        for number in range(first, last + 1)
    ]


def _ranges(group: str) -> list[tuple[int, int, int]]:
    """(digits, first, last) of each range of a group; a number is a range of itself."""
    ranges = []
    for item in group[1:-1].split(","):
        match = _RANGE.fullmatch(item)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not match or first > last:
            raise ValueError(
                f"{shortened(item)} in brackets must be a number or a range such as 01-04"
            )
        ranges.append((len(match[1]), first, last))
    return ranges
