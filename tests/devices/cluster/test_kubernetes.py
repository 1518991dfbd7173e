"""Pods of an Indexed Job and of a JobSet, by the variables of their manifests."""

import pytest

from ssd_tfrecord.devices.cluster import kubernetes
from ssd_tfrecord.errors import InputError

INDEXED = {
    "HOSTNAME": "ssd-a-1",
    "JOB_COMPLETION_INDEX": "1",
    "JOB_COMPLETIONS": "3",
    "JOB_SUBDOMAIN": "ssd-svc",
}
# Two Jobs of two pods, of the template "worker" of the JobSet "ssd".
JOBSET = {
    "HOSTNAME": "ssd-worker-1-0",
    "JOB_COMPLETION_INDEX": "0",
    "JOB_COMPLETIONS": "2",
    "JOBSET_NAME": "ssd",
    "REPLICATED_JOB_REPLICAS": "2",
    "JOB_INDEX": "1",
}


def changed(environment, **changes):
    merged = {**environment, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def test_pods_of_an_indexed_job():
    group = kubernetes.group(INDEXED, 2222)
    assert group.addresses == tuple(f"ssd-a-{index}.ssd-svc:2222" for index in range(3))
    assert (group.index, group.name, group.source) == (1, "ssd-a-1.ssd-svc", "Kubernetes")
    assert group.link_address == "ssd-a-0.ssd-svc:3222"


def test_pods_of_the_jobs_of_a_jobset():
    group = kubernetes.group(JOBSET, 2222)
    names = ("ssd-worker-0-0", "ssd-worker-0-1", "ssd-worker-1-0", "ssd-worker-1-1")
    assert group.addresses == tuple(f"{name}.ssd:2222" for name in names)
    assert group.index == 2


def test_a_jobset_of_one_job_needs_its_name_alone():
    one = changed(JOBSET, REPLICATED_JOB_REPLICAS=None, JOB_INDEX=None)
    assert kubernetes.group(one, 1).addresses == ("ssd-worker-1-0.ssd:1", "ssd-worker-1-1.ssd:1")
    replicas = changed(JOBSET, REPLICATED_JOB_REPLICAS="1", JOB_INDEX="0")
    assert kubernetes.group(replicas, 1).count == 2


def test_the_service_comes_before_the_name_of_the_jobset():
    # spec.network.subdomain
    group = kubernetes.group(changed(JOBSET, JOB_SUBDOMAIN="net.space.svc"), 2222)
    assert group.name == "ssd-worker-1-0.net.space.svc"


def test_the_job_may_be_named_where_pods_have_the_names_of_machines():
    group = kubernetes.group(changed(INDEXED, HOSTNAME="node7", JOB_NAME="ssd-a"), 2222)
    assert group.name == "ssd-a-1.ssd-svc"


@pytest.mark.parametrize(
    ("environment", "changes", "said"),
    [
        (INDEXED, {"JOB_COMPLETION_INDEX": None}, "^JOB_COMPLETION_INDEX is not set; run training"),
        (
            INDEXED,
            {"JOB_COMPLETION_INDEX": "3"},
            r"^JOB_COMPLETION_INDEX=3: must be .* 0\.\.2; run",
        ),
        (INDEXED, {"JOB_COMPLETIONS": None}, "^JOB_COMPLETIONS is not set; set it in the manifest"),
        (
            INDEXED,
            {"JOB_COMPLETIONS": "0"},
            r"^JOB_COMPLETIONS=0: must be a whole number, 1\.\.4096",
        ),
        (INDEXED, {"JOB_COMPLETIONS": "9999"}, r"^JOB_COMPLETIONS=9999: must be .* 1\.\.4096"),
        (INDEXED, {"JOB_SUBDOMAIN": None}, "^JOB_SUBDOMAIN is not set; set it .* headless service"),
        (INDEXED, {"HOSTNAME": None}, "^HOSTNAME is not set; set JOB_NAME in the manifest from"),
        (
            INDEXED,
            {"HOSTNAME": "node7"},
            "^HOSTNAME=node7 does not end in -1 as JOB_COMPLETION_IND",
        ),
        (INDEXED, {"JOB_NAME": "a/b"}, "^a/b-0.ssd-svc is not a host name: JOB_NAME|^'a/b-0"),
        (JOBSET, {"JOB_INDEX": None}, "^JOB_INDEX is not set; set both from the annotations"),
        (JOBSET, {"JOB_INDEX": "2"}, r"^JOB_INDEX=2: must be a whole number, 0\.\.1; set both"),
        (
            JOBSET,
            {"JOB_INDEX": "0"},
            "^JOB_INDEX=0 is not how the Job's name ends, which is ssd-wor",
        ),
        (
            JOBSET,
            {"REPLICATED_JOB_REPLICAS": "4000"},
            r"^REPLICATED_JOB_REPLICAS=4000: .* 1\.\.2048",
        ),
        (JOBSET, {"JOBSET_NAME": None}, "^JOB_SUBDOMAIN is not set"),
    ],
)
def test_what_is_missing_or_contradicts_is_named(environment, changes, said):
    with pytest.raises(InputError, match=said):
        kubernetes.group(changed(environment, **changes), 2222)


def test_only_several_pods_are_a_claim():
    assert kubernetes.claim(INDEXED) == "this is one of several pods (JOB_COMPLETIONS=3)"
    both = "this is one of several pods (JOB_COMPLETIONS=2, REPLICATED_JOB_REPLICAS=2)"
    assert kubernetes.claim(JOBSET) == both
    assert kubernetes.claim(changed(INDEXED, JOB_COMPLETIONS="1")) == ""
    # An Indexed Job of independent runs, one a pod.
    assert kubernetes.claim(changed(INDEXED, JOB_COMPLETIONS=None)) == ""
    assert kubernetes.speaks(changed(INDEXED, JOB_COMPLETIONS=None))
    assert kubernetes.claim(changed(JOBSET, JOB_COMPLETIONS=None)) == ""
    # JOB_COMPLETIONS may mean anything elsewhere.
    assert kubernetes.claim({"JOB_COMPLETIONS": "3"}) == ""
    assert not kubernetes.speaks({"JOB_COMPLETIONS": "3"})
