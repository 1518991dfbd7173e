"""The pods of an Indexed Job, or of the Jobs of a JobSet, from variables in their manifest.

Kubernetes itself sets ``JOB_COMPLETION_INDEX`` in the pods of an Indexed Job, and ``HOSTNAME``. It
does not tell a pod how many there are: the manifest has to, and has to name the headless service
through which pods find each other. A JobSet sets no variables either, but annotations:

    variable                  in the manifest
    JOB_COMPLETIONS           value: spec.completions, as text
    JOB_SUBDOMAIN             value: the headless service, spec.template.spec.subdomain
    JOBSET_NAME               instead of JOB_SUBDOMAIN, as a JobSet makes a service of its name;
                              fieldPath: metadata.annotations['jobset.sigs.k8s.io/jobset-name']
    REPLICATED_JOB_REPLICAS   only where a JobSet makes several Jobs of a template; fieldPath:
                              metadata.annotations['jobset.sigs.k8s.io/replicatedjob-replicas']
    JOB_INDEX                 likewise: metadata.annotations['jobset.sigs.k8s.io/job-index']
    JOB_NAME                  only with hostNetwork, where HOSTNAME is the machine's; fieldPath:
                              metadata.labels['batch.kubernetes.io/job-name']

Sources: https://kubernetes.io/docs/tasks/job/job-with-pod-to-pod-communication and, for the
annotations, api/jobset/v1alpha2/jobset_types.go of https://github.com/kubernetes-sigs/jobset.
"""

from collections.abc import Mapping

from ssd_tfrecord.devices.cluster.variables import (
    MAX_WORKERS,
    is_host_name,
    number,
    optional,
    required,
    shortened,
)
from ssd_tfrecord.devices.cluster.worker_group import WorkerGroup, free_link_port
from ssd_tfrecord.errors import InputError

INDEX = "JOB_COMPLETION_INDEX"
_COMPLETIONS = "JOB_COMPLETIONS"
_REPLICAS = "REPLICATED_JOB_REPLICAS"
_INDEXED = "run training in a Job of completionMode: Indexed"
_COUNT = "set it in the manifest to the Job's completions"
_NAME = "set JOB_NAME in the manifest from metadata.labels['batch.kubernetes.io/job-name']"
_SERVICE = "set it in the manifest to the headless service that is the pods' subdomain"


def speaks(environment: Mapping[str, str]) -> bool:
    """Whether this is a pod of an Indexed Job."""
    return bool(optional(environment, INDEX))


def claim(environment: Mapping[str, str]) -> str:
    """In words, that this is one of several pods; empty if the manifest does not say so.

    An Indexed Job whose manifest gives no ``JOB_COMPLETIONS`` may be one of independent runs.
    """
    said = {name: optional(environment, name) for name in (_COMPLETIONS, _REPLICAS)}
    several = [
        f"{name}={shortened(value)}" for name, value in said.items() if value not in ("", "1")
    ]
    if not speaks(environment) or not said[_COMPLETIONS] or not several:
        return ""
    return f"this is one of several pods ({', '.join(several)})"


def group(environment: Mapping[str, str], port: int) -> WorkerGroup:
    """The pods of this Job, or of all Jobs of its JobSet's template, in the order of their indices.

    Args:
        environment: holds the variables, see above.
        port: of TensorFlow's server in each pod.

    Returns:
        One worker or more.

    Raises:
        InputError: a variable is missing or malformed, or two contradict each other.
    """
    required(environment, INDEX, _INDEXED)
    pods = number(environment, _COMPLETIONS, _COUNT, minimum=1, maximum=MAX_WORKERS)
    pod = number(environment, INDEX, _INDEXED, minimum=0, maximum=pods - 1)
    jobs, job = _jobs(environment, MAX_WORKERS // pods)
    name = _job_name(environment, pod)
    names = [name] if jobs == 1 else _sisters(name, jobs, job)
    service = _service(environment)
    hosts = [f"{name}-{index}.{service}" for name in names for index in range(pods)]
    for host in hosts:
        if not is_host_name(host):
            raise InputError(
                f"{shortened(host)} is not a host name: JOB_NAME or HOSTNAME and JOB_SUBDOMAIN or "
                "JOBSET_NAME must be names in the sense of DNS"
            )
    addresses = tuple(f"{host}:{port}" for host in hosts)
    return WorkerGroup(addresses, job * pods + pod, "Kubernetes", free_link_port(addresses))


def _jobs(environment: Mapping[str, str], most: int) -> tuple[int, int]:
    """Number of Jobs that train together, and which of them is this pod's."""
    if not optional(environment, _REPLICAS):
        return 1, 0
    advice = "set both from the annotations replicatedjob-replicas and job-index of the JobSet"
    jobs = number(environment, _REPLICAS, advice, minimum=1, maximum=most)
    return jobs, number(environment, "JOB_INDEX", advice, minimum=0, maximum=jobs - 1)


def _job_name(environment: Mapping[str, str], pod: int) -> str:
    """The Job's name, which the host name of its pods begins with."""
    name = optional(environment, "JOB_NAME")
    if name:
        return name
    host = required(environment, "HOSTNAME", _NAME)
    if not host.endswith(f"-{pod}"):
        raise InputError(
            f"HOSTNAME={shortened(host)} does not end in -{pod} as {INDEX}={pod} does; {_NAME}"
        )
    return host.removesuffix(f"-{pod}")


def _sisters(name: str, jobs: int, job: int) -> list[str]:
    """Names of all Jobs that a JobSet makes of one template: they end in their index."""
    if not name.endswith(f"-{job}"):
        raise InputError(
            f"JOB_INDEX={job} is not how the Job's name ends, which is {shortened(name)}; {_NAME}"
        )
    return [f"{name.removesuffix(f'-{job}')}-{index}" for index in range(jobs)]


def _service(environment: Mapping[str, str]) -> str:
    named = optional(environment, "JOB_SUBDOMAIN") or optional(environment, "JOBSET_NAME")
    return named or required(environment, "JOB_SUBDOMAIN", _SERVICE)
