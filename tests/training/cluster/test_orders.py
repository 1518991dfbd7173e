"""What leader and followers compare and send."""

from ssd_tfrecord import flags
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training.cluster import orders


def config(*words):
    return flags.parse(TrainConfig, ["train", "--train_records=a", "--run_dir=r", *words])


def test_flags_that_change_the_result_are_compared_and_paths_are_not(tiny_records):
    sets = ((Manifest.load(tiny_records),), None)
    one = orders.hello(config("--learning_rate=0.5", "--run_dir=x", "--num_workers=3"), *sets)
    other = orders.hello(config("--cache_dir=/b", "--cache=records"), *sets)
    assert {name for name in one if one[name] != other[name]} == {"--learning_rate"}
    assert one["--learning_rate"] == "0.5"


def test_records_are_compared_by_their_content(tiny_records):
    manifest = Manifest.load(tiny_records)
    one = orders.hello(config(), (manifest,), None)
    two = orders.hello(config(), (manifest, manifest), manifest)
    assert one["--train_records"] and one["--train_records"] in two["--train_records"]
    assert {name for name in one if one[name] != two[name]} == {
        "--train_records",
        "--eval_records",
    }


def test_a_follower_takes_the_leaders_flags_and_works_in_its_own_way():
    leader = config("--learning_rate=0.5", "--anchor_variant=amdegroot", "--num_workers=8")
    own = config("--train_records=/mine", "--cache=records", "--cache_dir=/d", "--num_workers=2")
    made = orders.of_lines(orders.to_lines(leader), own)
    assert (made.train_records, made.input.reading.num_workers) == (("/mine",), 2)
    assert (made.input.reading.cache, made.input.reading.cache_dir) == ("records", "/d")
    assert (made.optimizer.learning_rate, made.anchors.anchor_variant) == (0.5, "amdegroot")
