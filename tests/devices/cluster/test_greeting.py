import dataclasses

import pytest

from ssd_tfrecord import __version__
from ssd_tfrecord.devices.cluster import greeting
from ssd_tfrecord.devices.cluster.greeting import Greeting, contradiction
from ssd_tfrecord.devices.cluster.messages import FrameError, Message
from ssd_tfrecord.devices.cluster.worker_group import WorkerGroup

GROUP = WorkerGroup(("node0:2222", "node7:2222"), 1, "test", 3222)
LEADER = "worker 0 (node0, process 11)"
OTHER = "worker 1 (node7, process 4711)"


def said(own, other):
    return contradiction(Greeting(0, LEADER, own), Greeting(1, OTHER, other))


def test_greeting_says_versions_workers_and_hello():
    facts = greeting.own_greeting(GROUP, {"--seed": "7"}).facts
    assert list(facts) == ["ssd_tfrecord", "TensorFlow", "the list of workers", "--seed"]
    assert facts["ssd_tfrecord"] == __version__
    assert facts["TensorFlow"].startswith("2.")
    assert (facts["the list of workers"], facts["--seed"]) == ("node0:2222, node7:2222", "7")


def test_greeting_arrives_as_it_was_sent():
    own = greeting.own_greeting(GROUP, {"--seed": "7"})
    assert greeting.from_message(greeting.to_message(own)) == own


def test_name_of_another_worker_is_printable_and_short():
    values = {"index": 1, "facts": {}, "host": "a\x1b[2J\n" + 200 * "b", "process": "c" * 99}
    name = greeting.from_message(Message("hello", values)).name
    assert name == f"worker 1 (a[2J{96 * 'b'}, process {20 * 'c'})"


@pytest.mark.parametrize(
    "values",
    [{}, {"index": 1}, {"index": True, "facts": {}}, {"index": 1, "facts": {"a": 1}}],
)
def test_what_is_no_greeting(values):
    with pytest.raises(FrameError, match="no greeting"):
        greeting.from_message(Message("hello", values))


def test_equal_facts_are_no_contradiction_in_any_order():
    assert said({"a": "1", "b": "2"}, {"b": "2", "a": "1"}) == ""


def test_the_first_contradiction_is_named_with_both_values():
    assert said({"a": "1", "--seed": "7", "c": "3"}, {"a": "1", "--seed": "8", "c": "4"}) == (
        f"{OTHER} has another value for --seed than {LEADER}: '8' instead of '7'; all workers must "
        "be started with the same"
    )


def test_a_fact_that_one_lacks():
    assert "another value for b than" in said({"a": "1", "b": "2"}, {"a": "1"})
    assert ": 'nothing' instead of '2';" in said({"a": "1", "b": "2"}, {"a": "1"})
    assert ": '2' instead of 'nothing';" in said({"a": "1"}, {"a": "1", "b": "2"})


def test_long_texts_are_cut_to_where_they_differ():
    flags = [f"--flag_{i}={i}" for i in range(100)]
    ours = " ".join(flags)
    theirs = " ".join([*flags[:50], "--flag_50=fifty", *flags[51:]])
    assert said({"flags": ours}, {"flags": theirs}) == (
        f"{OTHER} has another value for flags than {LEADER}: "
        "'…--flag_50=fifty --flag_51=51 --flag_52=52 --flag_53=53 --fla…' instead of "
        "'…--flag_50=50 --flag_51=51 --flag_52=52 --flag_53=53 --flag_5…'; all workers must be "
        "started with the same"
    )
    # Without a space nearby, and where one is the other's beginning.
    shorter, longer = "a" * 90 + "bb", "a" * 90 + "bbbb"
    text = said({"a": shorter}, {"a": longer})
    assert f": '…{'a' * 28}bbbb' instead of '…{'a' * 28}bb';" in text


def test_a_contradiction_is_one_printable_line():
    text = said({"a": "1"}, {"a": "2\n\x1b[31m\n" + "3" * 1000})
    assert text.isprintable() and len(text) < 300


def test_other_versions_come_before_what_they_change(monkeypatch):
    own = greeting.own_greeting(GROUP, {"--seed": "7"})
    facts = dict(own.facts) | {"TensorFlow": "1.15", "--seed": "8"}
    text = contradiction(own, dataclasses.replace(own, facts=facts))
    assert "another value for TensorFlow" in text and "'1.15' instead of '2." in text
