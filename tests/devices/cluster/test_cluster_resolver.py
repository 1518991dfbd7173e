"""Which source is asked, when several processes are refused, and who is alone."""

import json
import subprocess
import sys

import pytest

from ssd_tfrecord.devices.cluster.cluster_resolver import resolve
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options.training import ClusterOptions

SLURM = {
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
    "SLURM_NTASKS": "2",
    "SLURM_STEP_NODELIST": "node[1-2]",
    "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
}
PODS = {
    "HOSTNAME": "ssd-0",
    "JOB_COMPLETION_INDEX": "0",
    "JOB_COMPLETIONS": "2",
    "JOB_SUBDOMAIN": "ssd",
}


def tf_config(*workers, index=0, job="worker"):
    task = {"type": job, "index": index}
    return {"TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": task})}


TWO = tf_config("a:1", "b:1", index=1)


def found(cluster, environment, **options):
    return resolve(ClusterOptions(cluster=cluster, **options), environment)


@pytest.mark.parametrize(
    ("cluster", "environment", "name"),
    [
        ("tf_config", TWO, "b"),
        ("slurm", SLURM, "node2"),
        ("kubernetes", PODS, "ssd-0.ssd"),
        ("auto", TWO, "b"),
        ("auto", SLURM, "node2"),
        ("auto", PODS, "ssd-0.ssd"),
        # One that says this process is alone gives way.
        ("auto", {**tf_config("a:1"), **SLURM}, "node2"),
        ("auto", {**SLURM, **PODS, "JOB_COMPLETIONS": "1"}, "node2"),
        # Two that agree: TF_CONFIG has the addresses that somebody wrote.
        ("auto", {**TWO, **SLURM}, "b"),
        ("slurm", {**TWO, **SLURM}, "node2"),
        ("tf_config", {**TWO, "SLURM_STEP_ID": "0"}, "b"),
    ],
)
def test_the_source_is_asked(cluster, environment, name):
    assert found(cluster, environment).name == name


def test_the_port_is_the_flag():
    assert found("slurm", SLURM, cluster_port=4000).addresses == ("node1:4000", "node2:4000")
    assert found("kubernetes", PODS, cluster_port=4000).link_address == "ssd-0.ssd:5000"


@pytest.mark.parametrize(
    ("cluster", "environment"),
    [
        ("none", {}),
        ("auto", {}),
        ("none", tf_config("a:1")),
        ("auto", tf_config("a:1")),
        ("tf_config", tf_config("a:1")),
        ("none", {"TF_CONFIG": "{"}),
        ("none", {**SLURM, "SLURM_STEP_ID": ""}),
        ("slurm", {**SLURM, "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}),
        ("none", {**PODS, "JOB_COMPLETIONS": ""}),
        ("kubernetes", {**PODS, "JOB_COMPLETIONS": "1"}),
    ],
)
def test_one_process_is_alone(cluster, environment):
    one = {"SLURM_STEP_NODELIST": "node1", "SLURM_STEP_TASKS_PER_NODE": "1"}
    assert found(cluster, {**environment, **one}) is None


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (TWO, "TF_CONFIG names 2 processes"),
        (tf_config("a:1", "b:1", job="evaluator"), "TF_CONFIG names 2 processes"),
        (SLURM, r"this is one of 2 tasks of an srun step \(SLURM_NTASKS\)"),
        (PODS, r"this is one of several pods \(JOB_COMPLETIONS=2\)"),
    ],
)
def test_several_processes_do_not_train_apart_by_mistake(environment, said):
    with pytest.raises(InputError, match=rf"^--cluster=none: {said}; pass --cluster=auto to train"):
        found("none", environment)


@pytest.mark.parametrize(
    ("cluster", "environment", "said"),
    [
        ("tf_config", {}, "^--cluster=tf_config: TF_CONFIG is not set; it must be like"),
        ("slurm", TWO, "^--cluster=slurm: this is not a task of an srun step"),
        ("kubernetes", {}, "^--cluster=kubernetes: JOB_COMPLETION_INDEX is not set"),
        # Where none would do, that is said; where none is refused, it is not.
        (
            "auto",
            {**SLURM, "SLURM_STEP_ID": ""},
            "^--cluster=auto: this is not a task of an srun step .*, or pass --cluster=none to",
        ),
        ("auto", {**PODS, "JOB_COMPLETIONS": ""}, "JOB_COMPLETIONS is not set.*--cluster=none"),
        ("auto", {"TF_CONFIG": "{"}, "^--cluster=auto: TF_CONFIG='{': not JSON.*--cluster=none"),
        ("auto", {**SLURM, "SLURM_PROCID": "7"}, r"0\.\.1; start .*, one task a machine$"),
        (
            "auto",
            {**tf_config("a:1", "b:1"), **SLURM},
            "^--cluster=auto: TF_CONFIG says worker 0 of 2, Slurm says worker 1 of 2; pass "
            "--cluster=tf_config or --cluster=slurm$",
        ),
    ],
)
def test_what_is_wrong_is_said_with_the_flag(cluster, environment, said):
    with pytest.raises(InputError, match=said):
        found(cluster, environment)


def test_the_environment_of_the_process_is_asked_by_default(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", TWO["TF_CONFIG"])
    assert resolve(ClusterOptions(cluster="tf_config")).index == 1


def test_no_tensorflow_is_imported():
    code = "import sys, ssd_tfrecord.devices.cluster.cluster_resolver as _; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"tensorflow", "keras"} & set(said.stdout.split())
