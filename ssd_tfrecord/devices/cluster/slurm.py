"""The tasks of an ``srun`` step, from the variables that Slurm sets in each."""

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from ssd_tfrecord.devices.cluster.host_list import expand_counts, expand_hosts
from ssd_tfrecord.devices.cluster.variables import (
    MAX_WORKERS,
    number,
    optional,
    required,
    shortened,
)
from ssd_tfrecord.devices.cluster.worker_group import (
    MAX_PORT,
    WorkerGroup,
    free_link_port,
    join_address,
)
from ssd_tfrecord.errors import InputError

# Batch scripts and the shells of salloc are steps, too, with numbers from here.
_FIRST_SPECIAL_STEP = 0xFFFFFFF0
_START = "start training with srun, one task a machine"
_BLOCK = "pass --distribution=block to srun, or start one task a machine"
# The step's own come first: a step may have fewer nodes and tasks than its job.
_TASKS = ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS")
_HOSTS = ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST")
_TASKS_OF_HOSTS = ("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE")

_List = TypeVar("_List", list[str], list[int])


def speaks(environment: Mapping[str, str]) -> bool:
    """Whether this is a task of an ``srun`` step, or outside of one in a job of several."""
    sizes = [optional(environment, name) for name in ("SLURM_NTASKS", "SLURM_JOB_NUM_NODES")]
    return _in_step(environment) or any(size not in ("", "1") for size in sizes)


def claim(environment: Mapping[str, str]) -> str:
    """In words, that this is one of several tasks of a step; empty if it is not."""
    name, count = _first(environment, _TASKS)
    if not _in_step(environment) or count in ("", "1"):
        return ""
    return f"this is one of {shortened(count)} tasks of an srun step ({name})"


def group(environment: Mapping[str, str], first_port: int) -> WorkerGroup:
    """The tasks of this ``srun`` step, in the order of their ``SLURM_PROCID``.

    They are taken to be on the hosts as ``srun --distribution=block`` lays them out, and those of
    one host have one port after the other. ``SLURM_STEP_ID`` changes no port: two steps or jobs
    that share a host need different values of ``first_port``.

    Args:
        environment: holds the variables.
        first_port: port of the first task of each host.

    Returns:
        One worker or more.

    Raises:
        InputError: a variable is missing or malformed, or two contradict each other.
    """
    if not _in_step(environment):
        raise InputError(f"this is not a task of an srun step (SLURM_STEP_ID); {_START}")
    name, _ = _first(environment, _TASKS)
    count = number(environment, name, _START, minimum=1, maximum=MAX_WORKERS)
    index = number(environment, "SLURM_PROCID", _START, minimum=0, maximum=count - 1)
    places = _places(environment, count)
    local = places[index][1]
    number(environment, "SLURM_LOCALID", _BLOCK, minimum=local, maximum=local)
    last = first_port + max(local for _, local in places)
    if last > MAX_PORT:
        raise InputError(f"{last} is the last task's port, of {MAX_PORT}: lower --cluster_port")
    addresses = tuple(join_address(host, first_port + local) for host, local in places)
    return WorkerGroup(addresses, index, "Slurm", free_link_port(addresses))


def _in_step(environment: Mapping[str, str]) -> bool:
    step = optional(environment, "SLURM_STEP_ID")
    return bool(re.fullmatch(r"[0-9]{1,10}", step)) and int(step) < _FIRST_SPECIAL_STEP


def _places(environment: Mapping[str, str], count: int) -> list[tuple[str, int]]:
    """(host, number on it) of each task, in rank order."""
    hosts = _expanded(environment, _HOSTS, expand_hosts)
    tasks = _expanded(environment, _TASKS_OF_HOSTS, expand_counts)
    if len(tasks) != len(hosts) or sum(tasks) != count:
        values = (_first(environment, names) for names in (_TASKS, _HOSTS, _TASKS_OF_HOSTS))
        said = [f"{name}={shortened(value)}" for name, value in values]
        raise InputError(f"{', '.join(said)} contradict each other; {_START}")
    distribution = optional(environment, "SLURM_DISTRIBUTION") or "block"
    if len(hosts) > 1 and max(tasks) > 1 and not distribution.startswith("block"):
        raise InputError(f"SLURM_DISTRIBUTION={shortened(distribution)}: must be block; {_BLOCK}")
    return [(host, local) for host, own in zip(hosts, tasks, strict=True) for local in range(own)]


def _expanded(
    environment: Mapping[str, str], names: tuple[str, ...], expand: Callable[[str], _List]
) -> _List:
    name, _ = _first(environment, names)
    value = required(environment, name, _START)
    try:
        return expand(value)
    except ValueError as error:
        raise InputError(f"{name}={shortened(value)}: {error}") from None


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str]:
    """Name and value of the first variable that is set; if none is, of the last."""
    found = [(name, optional(environment, name)) for name in names]
    return next((pair for pair in found if pair[1]), found[-1])
