"""Whom this process trains with, from what a scheduler or launcher says in the environment."""

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ssd_tfrecord.devices.cluster import kubernetes, slurm, tf_config
from ssd_tfrecord.devices.cluster.worker_group import WorkerGroup
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options.training import ClusterOptions

_Environment = Mapping[str, str]


class _Source(NamedTuple):
    """One that may say who trains together."""

    speaks: Callable[[_Environment], bool]
    claim: Callable[[_Environment], str]
    group: Callable[[_Environment, int], WorkerGroup]


_SOURCES = {
    "tf_config": _Source(
        tf_config.speaks, tf_config.claim, lambda environment, _: tf_config.group(environment)
    ),
    "slurm": _Source(slurm.speaks, slurm.claim, slurm.group),
    "kubernetes": _Source(kubernetes.speaks, kubernetes.claim, kubernetes.group),
}


def resolve(
    options: ClusterOptions, environment: Mapping[str, str] = os.environ
) -> WorkerGroup | None:
    """The workers that train together.

    Args:
        options: ``--cluster`` and ``--cluster_port``.
        environment: the variables of this process.

    Returns:
        The group of two workers or more; None if this process trains alone.

    Raises:
        InputError: the environment is malformed or contradicts itself or, with ``--cluster=none``,
            says that this process is one of several.
    """
    if options.cluster == "none":
        _check_alone(environment)
        return None
    if options.cluster != "auto":
        found = _group(options.cluster, options, environment)
        return found if found.count > 1 else None
    return _agreed(
        {
            name: _group(name, options, environment)
            for name, source in _SOURCES.items()
            if source.speaks(environment)
        }
    )


def _check_alone(environment: _Environment) -> None:
    for source in _SOURCES.values():
        claim = source.claim(environment)
        if claim:
            # Several processes would each train a model of its own, in one folder.
            raise InputError(
                f"--cluster=none: {claim}; pass --cluster=auto to train together, or start one "
                "process"
            )


def _group(name: str, options: ClusterOptions, environment: _Environment) -> WorkerGroup:
    try:
        return _SOURCES[name].group(environment, options.cluster_port)
    except InputError as error:
        alone = options.cluster == "auto" and not _SOURCES[name].claim(environment)
        other = ", or pass --cluster=none to train alone" if alone else ""
        raise InputError(f"--cluster={options.cluster}: {error}{other}") from None


def _agreed(groups: dict[str, WorkerGroup]) -> WorkerGroup | None:
    """The only group of several workers, or the first of those that say the same."""
    several = {name: found for name, found in groups.items() if found.count > 1}
    if len({(found.count, found.index) for found in several.values()}) > 1:
        said = ", ".join(
            f"{found.source} says worker {found.index} of {found.count}"
            for found in several.values()
        )
        raise InputError(f"--cluster=auto: {said}; pass --cluster={' or --cluster='.join(several)}")
    return next(iter(several.values()), None)
