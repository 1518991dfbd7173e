"""The workers in ``TF_CONFIG``, which Kubeflow, Vertex AI and people set."""

import ipaddress
import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ssd_tfrecord.devices.cluster.variables import (
    MAX_WORKERS,
    is_host_name,
    optional,
    required,
    shortened,
)
from ssd_tfrecord.devices.cluster.worker_group import WorkerGroup, free_link_port, split_address
from ssd_tfrecord.errors import InputError

VARIABLE = "TF_CONFIG"
# Rank order; a chief is worker 0 by another name. "master" was its name in TensorFlow 1.
JOBS = ("chief", "worker")
# What else a TF_CONFIG may name, and why it cannot take part.
REFUSED = {
    "evaluator": "the workers evaluate; leave the evaluator out",
    "ps": "the workers hold the weights; leave parameter servers out",
    "master": "call it chief",
}
# More than the kernel allows for one variable, which is 128 KiB.
MAX_CHARACTERS = 1 << 18
_ADVICE = (
    'it must be like {"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": '
    '"worker", "index": 0}}'
)


def speaks(environment: Mapping[str, str]) -> bool:
    """Whether ``TF_CONFIG`` names a cluster, or cannot be read."""
    try:
        return bool(_config(environment).get("cluster"))
    except InputError:
        return bool(optional(environment, VARIABLE))


def claim(environment: Mapping[str, str]) -> str:
    """In words, that ``TF_CONFIG`` names several processes; empty if not, or if it is malformed."""
    try:
        cluster = _config(environment).get("cluster")
    except InputError:
        return ""
    jobs = cluster.values() if isinstance(cluster, dict) else ()
    count = sum(len(addresses) for addresses in jobs if isinstance(addresses, list))
    return f"{VARIABLE} names {count} processes" if count > 1 else ""


def group(environment: Mapping[str, str]) -> WorkerGroup:
    """The workers in ``TF_CONFIG``; its chief, if it has one, is the first.

    Args:
        environment: holds ``TF_CONFIG``.

    Returns:
        One worker or more; this process is the one of ``task``.

    Raises:
        InputError: ``TF_CONFIG`` is not set or malformed, or names what does not train here:
            parameter servers, an evaluator.
    """
    config = _config(environment)
    jobs = _jobs(config)
    addresses = tuple(address for job in JOBS for address in jobs[job])
    if not 1 <= len(addresses) <= MAX_WORKERS or len(jobs["chief"]) > 1:
        raise InputError(
            f"{VARIABLE}: cluster: must have 1 to {MAX_WORKERS} workers, and one chief at most; "
            f"it has {len(addresses)} and {len(jobs['chief'])}"
        )
    for address, times in Counter(addresses).items():
        _check_address(address)
        if times > 1:
            raise InputError(f"{VARIABLE}: cluster: {shortened(address)} stands there twice")
    job, index = _task(config.get("task"), jobs)
    index += len(jobs["chief"]) if job == "worker" else 0
    return WorkerGroup(addresses, index, VARIABLE, free_link_port(addresses))


def _config(environment: Mapping[str, str]) -> dict[str, Any]:
    value = required(environment, VARIABLE, _ADVICE)
    if len(value) > MAX_CHARACTERS:
        raise InputError(f"{VARIABLE}: must be {MAX_CHARACTERS} characters at most")
    try:
        config = json.loads(value)
    except ValueError as error:
        raise InputError(f"{VARIABLE}={shortened(value)}: not JSON ({error}); {_ADVICE}") from None
    except RecursionError:
        raise InputError(f"{VARIABLE}={shortened(value)}: nested too deeply; {_ADVICE}") from None
    if not isinstance(config, dict):
        raise InputError(f"{VARIABLE}={shortened(value)}: not a JSON object; {_ADVICE}")
    return config


def _jobs(config: dict[str, Any]) -> dict[str, list[str]]:
    """Addresses of chief and workers, empty lists for what is not there."""
    cluster = config.get("cluster")
    if not isinstance(cluster, dict):
        raise InputError(f"{VARIABLE}: cluster: is missing or not an object; {_ADVICE}")
    for job, addresses in cluster.items():
        is_list = isinstance(addresses, list) and all(isinstance(item, str) for item in addresses)
        if not is_list:
            raise InputError(
                f"{VARIABLE}: cluster: {shortened(job)}: must be a list of host:port; {_ADVICE}"
            )
        if addresses:
            _check_job(job, "cluster")
    return {job: cluster.get(job, []) for job in JOBS}


def _check_job(job: str, where: str) -> None:
    if job not in JOBS:
        why = REFUSED.get(job, "must be worker or chief")
        raise InputError(f"{VARIABLE}: {where}: {shortened(job)}: {why}")


def _check_address(address: str) -> None:
    try:
        host, _ = split_address(address)
    except ValueError as error:
        raise InputError(f"{VARIABLE}: cluster: {shortened(address)}: {error}") from None
    if not is_host_name(host) and not _is_ip_address(host):
        raise InputError(f"{VARIABLE}: cluster: {shortened(address)}: not a host name")


def _is_ip_address(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _task(task: Any, jobs: dict[str, list[str]]) -> tuple[str, int]:
    """Job of this process and its index in it."""
    if not isinstance(task, dict):
        raise InputError(f"{VARIABLE}: task: is missing or not an object; {_ADVICE}")
    job, index = (_plain(task.get(key)) for key in ("type", "index"))
    _check_job(job, "task: type")
    last = len(jobs[job]) - 1
    if last < 0:
        raise InputError(f"{VARIABLE}: task: type: {job}: there is none in cluster; {_ADVICE}")
    if not re.fullmatch(r"[0-9]{1,9}", index) or int(index) > last:
        raise InputError(f"{VARIABLE}: task: index: {shortened(index)}: must be 0..{last}")
    return job, int(index)


def _plain(value: Any) -> str:
    """A string or number as a string, as some launchers quote the index; else empty."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
