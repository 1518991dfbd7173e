"""Tasks of an srun step; the variables are those that Slurm 22.05 set on three nodes."""

import pytest

from ssd_tfrecord.devices.cluster import slurm
from ssd_tfrecord.errors import InputError

# srun --nodes=3 --ntasks=4
FOUR = {
    "SLURM_JOB_NODELIST": "gpu-a1,node[01-02]",
    "SLURM_JOB_NUM_NODES": "3",
    "SLURM_NTASKS": "4",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NODELIST": "gpu-a1,node[01-02]",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_TASKS_PER_NODE": "2,1(x2)",
    "SLURM_TASKS_PER_NODE": "2,1(x2)",
}
# The batch script itself: sbatch --nodes=2 --ntasks-per-node=1.
BATCH = {
    "SLURM_JOB_NODELIST": "gpu-a1,node01",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_LOCALID": "0",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "0",
    "SLURM_TASKS_PER_NODE": "1(x2)",
}


def task(index, local=0, /, **more):
    changed = {**FOUR, "SLURM_PROCID": str(index), "SLURM_LOCALID": str(local), **more}
    return {name: value for name, value in changed.items() if value is not None}


def test_tasks_of_one_host_have_a_port_each():
    groups = [slurm.group(task(index, local), 2222) for index, local in enumerate((0, 1, 0, 0))]
    assert [group.index for group in groups] == [0, 1, 2, 3]
    assert {group.addresses for group in groups} == {
        ("gpu-a1:2222", "gpu-a1:2223", "node01:2222", "node02:2222")
    }
    assert {(group.source, group.link_address) for group in groups} == {("Slurm", "gpu-a1:3222")}


def test_the_variables_of_the_step_come_before_those_of_the_job():
    # srun --nodes=1 --ntasks=1 within a job of two nodes.
    one = {
        **{**BATCH, "SLURM_STEP_ID": "1", "SLURM_STEP_NODELIST": "gpu-a1"},
        **{"SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_TASKS_PER_NODE": "1"},
        "SLURM_DISTRIBUTION": "cyclic",
    }
    assert slurm.group(one, 2222).addresses == ("gpu-a1:2222",)
    assert slurm.claim(one) == ""


def test_the_variables_of_the_job_do_where_the_step_has_none():
    older = {**BATCH, "SLURM_STEP_ID": "0", "SLURM_PROCID": "1"}
    group = slurm.group(older, 3000)
    assert (group.addresses, group.index) == (("gpu-a1:3000", "node01:3000"), 1)


def test_cyclic_is_the_same_as_block_with_one_task_a_host():
    layout = {"SLURM_STEP_NUM_TASKS": "3", "SLURM_STEP_TASKS_PER_NODE": "1(x3)"}
    group = slurm.group(task(2, SLURM_DISTRIBUTION="cyclic", **layout), 2222)
    assert group.name == "node02"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"SLURM_STEP_ID": None}, r"^this is not a task of an srun step \(SLURM_STEP_ID\); start"),
        ({"SLURM_STEP_ID": "4294967291"}, "^this is not a task of an srun step"),
        ({"SLURM_STEP_ID": "²"}, "^this is not a task of an srun step"),
        ({"SLURM_PROCID": "4"}, r"^SLURM_PROCID=4: must be a whole number, 0\.\.3; start training"),
        ({"SLURM_PROCID": None}, "^SLURM_PROCID is not set; start training with srun"),
        ({"SLURM_STEP_NUM_TASKS": "0"}, r"^SLURM_STEP_NUM_TASKS=0: must be a whole .* 1\.\.4096"),
        (
            {"SLURM_STEP_NUM_TASKS": "5"},
            r"^SLURM_STEP_NUM_TASKS=5, SLURM_STEP_NODELIST=gpu-a1,node",
        ),
        ({"SLURM_STEP_NODELIST": "node[01-02]"}, r"PER_NODE='?2,1\(x2\)'? contradict each other"),
        ({"SLURM_STEP_NODELIST": "n[1-2"}, r"^SLURM_STEP_NODELIST='?n\[1-2'?: must be at most"),
        ({"SLURM_STEP_TASKS_PER_NODE": "x"}, "^SLURM_STEP_TASKS_PER_NODE=x: x must be a number"),
        ({"SLURM_LOCALID": "1"}, "^SLURM_LOCALID=1: must be 0; pass --distribution=block to srun"),
        ({"SLURM_LOCALID": None}, "^SLURM_LOCALID is not set"),
        ({"SLURM_DISTRIBUTION": "cyclic"}, "^SLURM_DISTRIBUTION=cyclic: must be block; pass"),
        ({"SLURM_DISTRIBUTION": "plane"}, "^SLURM_DISTRIBUTION=plane: must be block"),
    ],
)
def test_what_is_missing_or_contradicts_is_named(changed, said):
    with pytest.raises(InputError, match=said):
        slurm.group(task(3, **changed), 2222)


def test_ports_end_at_65535():
    many = {"SLURM_STEP_NODELIST": "a", "SLURM_STEP_TASKS_PER_NODE": "2000"}
    with pytest.raises(InputError, match=r"^65999 is the last task's port, of 65535: lower --clus"):
        slurm.group(task(0, SLURM_STEP_NUM_TASKS="2000", **many), 64000)


def test_only_several_tasks_of_a_step_are_a_claim():
    said = "this is one of 4 tasks of an srun step (SLURM_STEP_NUM_TASKS)"
    assert slurm.claim(task(0)) == said
    assert slurm.claim(task(0, SLURM_STEP_NUM_TASKS="1")) == ""
    # A batch script trains alone without srun, and may; so does the shell of salloc.
    assert slurm.claim(BATCH) == ""
    assert slurm.claim({**BATCH, "SLURM_STEP_ID": "4294967290"}) == ""
    assert slurm.claim({}) == ""


def test_a_job_of_several_speaks_even_outside_of_a_step():
    assert slurm.speaks(task(0))
    assert slurm.speaks(BATCH)
    # sbatch --nodes=2 sets no number of tasks.
    assert slurm.speaks({"SLURM_JOB_NUM_NODES": "2"})
    assert not slurm.speaks({"SLURM_JOB_NUM_NODES": "1", "SLURM_NTASKS": "1"})
    assert not slurm.speaks({})
