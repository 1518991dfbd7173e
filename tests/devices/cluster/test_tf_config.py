"""Workers in TF_CONFIG: ranks, the chief, and what is refused in one line."""

import json

import pytest

from ssd_tfrecord.devices.cluster import tf_config
from ssd_tfrecord.errors import InputError

TWO = {"worker": ["a:2222", "b:2222"]}


def environment(cluster, job="worker", index=0, **more):
    config = {"cluster": cluster, "task": {"type": job, "index": index}, **more}
    return {"TF_CONFIG": json.dumps(config)}


def test_workers_have_the_ranks_of_their_indices():
    second = tf_config.group(environment(TWO, index=1))
    assert (second.addresses, second.index, second.source) == (
        ("a:2222", "b:2222"),
        1,
        "TF_CONFIG",
    )
    assert second.link_port == 3222


def test_the_chief_is_before_the_workers():
    cluster = {"worker": ["a:1", "b:1"], "chief": ["c:1"]}
    assert tf_config.group(environment(cluster, "chief")).is_chief
    last = tf_config.group(environment(cluster, "worker", 1))
    assert (last.addresses, last.index) == (("c:1", "a:1", "b:1"), 2)


def test_launchers_vary():
    # Kubeflow adds "environment"; some quote the index, some list jobs that are empty.
    more = environment({**TWO, "ps": [], "evaluator": []}, index="1", environment="cloud")
    assert tf_config.group(more).index == 1
    alone = tf_config.group(environment({"chief": ["[::1]:9"]}, "chief"))
    assert (alone.count, alone.names) == (1, ("::1",))


@pytest.mark.parametrize(
    ("cluster", "task", "said"),
    [
        ({**TWO, "ps": ["p:1"]}, ("worker", 0), "cluster: ps: the workers hold the weights; leave"),
        ({**TWO, "evaluator": ["e:1"]}, ("worker", 0), "cluster: evaluator: the workers evaluate"),
        (TWO, ("evaluator", 0), "task: type: evaluator: the workers evaluate; leave the evaluator"),
        ({"master": ["m:1"], **TWO}, ("master", 0), "cluster: master: call it chief"),
        ({**TWO, "gpu": ["a:1"]}, ("worker", 0), "cluster: gpu: must be worker or chief"),
        ({"chief": ["a:1", "b:1"]}, ("chief", 0), "and one chief at most; it has 2 and 2"),
        (
            {},
            ("worker", 0),
            "cluster: must have 1 to 4096 workers, and one chief at most; it has 0",
        ),
        (TWO, ("worker", 2), r"task: index: 2: must be 0\.\.1"),
        (TWO, ("worker", -1), r"task: index: -1: must be 0\.\.1"),
        (TWO, ("worker", True), r"task: index: '': must be 0\.\.1"),
        (TWO, ("worker", 1.0), r"task: index: '': must be 0\.\.1"),
        (TWO, ("chief", 0), "task: type: chief: there is none in cluster"),
        (TWO, ([], 0), "task: type: '': must be worker or chief"),
        ({"worker": ["a:1", "a:1"]}, ("worker", 0), "cluster: a:1 stands there twice"),
        ({"worker": ["a"]}, ("worker", 0), "cluster: a: must be host:port, port 1"),
        ({"worker": ["a b:1"]}, ("worker", 0), "cluster: 'a b:1': not a host name"),
        ({"worker": ["[a]]:1"]}, ("worker", 0), r"cluster: \[a\]\]:1: not a host name"),
        ({"worker": "a:1"}, ("worker", 0), "cluster: worker: must be a list of host:port"),
        ({"worker": {"0": "a:1"}}, ("worker", 0), "cluster: worker: must be a list of host:port"),
        ({"worker": [1]}, ("worker", 0), "cluster: worker: must be a list of host:port"),
        ([], ("worker", 0), "cluster: is missing or not an object"),
        (None, ("worker", 0), "cluster: is missing or not an object"),
        ({"worker": [f"a:{i}" for i in range(1, 4098)]}, ("worker", 0), "must have 1 to 4096"),
    ],
)
def test_what_cannot_take_part_is_named(cluster, task, said):
    with pytest.raises(InputError, match=rf"^TF_CONFIG: .*{said}") as caught:
        tf_config.group(environment(cluster, *task))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "^TF_CONFIG is not set; it must be like"),
        ("{", "^TF_CONFIG='{': not JSON .Expecting property name"),
        ('{"cluster":\n\n}', "^TF_CONFIG=.*: not JSON .Expecting value"),
        ("[]", r"^TF_CONFIG=\[\]: not a JSON object"),
        ("[" * 100_000, "^TF_CONFIG=.*: nested too deeply"),
        ('{"a":' * 50_000, "^TF_CONFIG=.*: nested too deeply"),
        ("9" * 10_000, "^TF_CONFIG=.*: not (a )?JSON"),
        ('"' + "x" * (1 << 18), "^TF_CONFIG: must be 262144 characters at most"),
        ('{"cluster": {"worker": ["a:1"]}}', "^TF_CONFIG: task: is missing or not an object"),
        ('{"cluster": {"worker": ["\\ud800:1"]}}', "^TF_CONFIG: cluster: .*: not a host name"),
    ],
)
def test_hostile_text_is_one_short_line(value, said):
    with pytest.raises(InputError, match=said) as caught:
        tf_config.group({"TF_CONFIG": value})
    assert str(caught.value).encode().count(b"\n") == 0
    assert len(str(caught.value)) < 400


def test_deeply_nested_values_do_no_harm():
    nested = "[" * 900 + "]" * 900
    task = f'"task": {{"type": {nested}, "index": {nested}}}'
    with pytest.raises(InputError, match="task: type: '': must be worker or chief"):
        tf_config.group({"TF_CONFIG": f'{{"cluster": {{"worker": ["a:1"]}}, {task}}}'})


@pytest.mark.parametrize(
    ("value", "speaks", "claims"),
    [
        ("", False, False),
        ("{}", False, False),
        ('{"cluster": {}, "task": {}}', False, False),
        ("{", True, False),
        ('{"cluster": {"worker": ["a:1"]}}', True, False),
        ('{"cluster": {"worker": ["a:1"], "chief": ["b:1"]}}', True, True),
        ('{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}}', True, True),
        ('{"cluster": ["a:1", "b:1"]}', True, False),
    ],
)
def test_only_several_workers_are_a_claim(value, speaks, claims):
    assert tf_config.speaks({"TF_CONFIG": value}) is speaks
    assert (tf_config.claim({"TF_CONFIG": value}) == "TF_CONFIG names 2 processes") is claims
