"""The batch that fits: which sizes are tried, what is said, and what is left behind."""

import dataclasses
import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import OutOfMemoryError
from ssd_tfrecord.options import ModelOptions, OptimizerOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training import learner
from ssd_tfrecord.training.memory import batch_trial, trial_steps

CONFIG = TrainConfig(
    train_records=("a",),
    run_dir="b",
    global_batch_size=0,
    model=ModelOptions(backbone="toy", backbone_weights="none", input_size=64),
)
ALONE = tf.distribute.get_strategy()


def two_replicas():
    return tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )


@pytest.mark.parametrize("first", [1, 8])
@pytest.mark.parametrize("most", [1, 5, 8, 23, 100, 1024])
def test_the_largest_size_is_found_in_few_trials(first, most):
    allowed = [size for size in range(1, most + 1) if size < 8 or size % 8 == 0]
    for limit in [*range(40), 63, 64, 65, 100, 200, 511, 700, 900, 1023, 1024, 5000]:
        tried = []

        def fits(size, tried=tried, limit=limit):
            tried.append(size)
            return size <= limit

        found = batch_trial.largest_fitting(fits, first, most)
        best = max((size for size in allowed if size <= limit), default=0)
        assert best * 7 / 8 <= found <= best, (limit, tried)
        # A host that is full ends the process: from 1 on, sizes at most double, or go from 2 to 8.
        assert set(tried) <= set(allowed) and len(set(tried)) == len(tried) <= 13
        if best < 64:
            assert found == best


class FakeTrials:
    """Fits up to ``LIMIT`` images a part, on two replicas."""

    LIMIT = 20
    unit = 2

    def __init__(self, config, train, strategy, say):
        self.first, self.why, self.tried, self.ended = 8, "", [], False
        type(self).last = self

    def fits(self, part):
        self.tried.append(part)
        if part > self.LIMIT:
            self.why = f"{part * self.unit} are out of memory"
        return part <= self.LIMIT

    def end(self):
        self.ended = True


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(batch_trial, "Trials", FakeTrials)
    return FakeTrials


def manifests(tiny_records, num_records):
    return [dataclasses.replace(Manifest.load(tiny_records), num_records=num_records)]


@pytest.mark.parametrize(
    ("limit", "num_records", "size", "why"),
    [
        (20, 5000, 32, "48 are out of memory"),
        (5000, 100, 96, "the training sets have 100 images"),
        (5000, 5000, 1024, "1,024 are the most that are tried"),
        (5000, 1, 2, "the training sets have 1 images"),
    ],
)
def test_the_choice_is_said_with_its_reason(
    tiny_records, fake, monkeypatch, limit, num_records, size, why
):
    monkeypatch.setattr(fake, "LIMIT", limit)
    said = []
    train = manifests(tiny_records, num_records)
    assert batch_trial.largest(CONFIG, train, ALONE, said.append) == size
    assert said[-1].startswith(
        f"Batch: {size:,} images per step (--global_batch_size=auto): {why}. The run keeps it"
    )
    assert fake.last.ended


def test_nothing_that_fits_is_an_error(tiny_records, fake, monkeypatch):
    monkeypatch.setattr(fake, "LIMIT", 0)
    with pytest.raises(OutOfMemoryError) as error:
        batch_trial.largest(CONFIG, manifests(tiny_records, 100), ALONE, print)
    assert str(error.value) == (
        "--global_batch_size=auto: 2 are out of memory; use a smaller --input_size or a smaller "
        "network"
    )


@pytest.mark.parametrize(
    ("size", "limit", "tried", "said"),
    [
        (256, 20, [64, 32, 16], "--global_batch_size=32 fits (tried). A run keeps its batch size"),
        (256, 2, [64, 32, 16, 8], "no smaller batch fits either (tried: 128, 64, 32, 16)"),
        (6, 20, [1], "--global_batch_size=2 fits (tried)."),
        (2, 20, [], "no batch is smaller than one image for each replica"),
    ],
)
def test_a_batch_that_is_too_large_is_halved(
    tiny_records, fake, monkeypatch, size, limit, tried, said
):
    monkeypatch.setattr(fake, "LIMIT", limit)
    config = dataclasses.replace(CONFIG, global_batch_size=size)
    text = batch_trial.would_fit(config, manifests(tiny_records, 100), ALONE, print)
    assert text.startswith(said) and fake.last.tried == tried


def test_a_host_is_approached_from_below(tiny_records, fake, monkeypatch):
    class Host(FakeTrials):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.first = 1

    monkeypatch.setattr(batch_trial, "Trials", Host)
    config = dataclasses.replace(CONFIG, global_batch_size=256)
    train = manifests(tiny_records, 100)
    assert "--global_batch_size=32 fits" in batch_trial.would_fit(config, train, ALONE, print)
    assert Host.last.tried == [1, 2, 8, 64, 32, 16]
    # What is known by then is not tried twice.
    monkeypatch.setattr(Host, "LIMIT", 8)
    assert "--global_batch_size=16 fits" in batch_trial.would_fit(config, train, ALONE, print)
    assert Host.last.tried == [1, 2, 8, 64, 32, 16]


def test_a_trial_that_fails_otherwise_does_not_hide_that_memory_was_full(
    tiny_records, fake, monkeypatch
):
    def fails(self, part):
        raise tf.errors.InternalError(None, None, "Collective ops is aborted by: OOM\nmore")

    monkeypatch.setattr(fake, "fits", fails)
    config = dataclasses.replace(CONFIG, global_batch_size=256)
    text = batch_trial.would_fit(config, manifests(tiny_records, 100), ALONE, print)
    assert text == "which batch would fit was not found (Collective ops is aborted by: OOM)"


def weights(strategy):
    made = learner.build(CONFIG, 3, strategy, num_steps=CONFIG.num_steps, seed=CONFIG.seed)
    return [(value.name, value.numpy()) for value in made.model.weights]


@pytest.mark.parametrize(
    ("make_strategy", "num_records", "tried"),
    [
        pytest.param(tf.distribute.get_strategy, 2, (1, 2), id="one replica"),
        pytest.param(two_replicas, 6, (2, 4, 6), id="two", marks=pytest.mark.soak),
    ],
)
def test_real_trials_leave_nothing_behind(
    tiny_records, monkeypatch, make_strategy, num_records, tried
):
    """The whole set fits; the network and its memory go, and the run's weights are the same."""
    built, build = [], learner.build

    def remembered(*arguments, **settings):
        made = build(*arguments, **settings)
        built.append(weakref.ref(made.model))
        return made

    monkeypatch.setattr(trial_steps.learner, "build", remembered)
    strategy = make_strategy()
    before = weights(strategy)
    said = []
    built.clear()
    train = manifests(tiny_records, num_records)
    assert batch_trial.largest(CONFIG, train, strategy, said.append) == num_records
    gc.collect()
    assert [ref() for ref in built] == [None]
    assert [line.split(" tried")[0] for line in said[:-1]] == [f"Batch: {size}" for size in tried]
    for (name, value), (again, other) in zip(before, weights(strategy), strict=True):
        assert name == again
        np.testing.assert_array_equal(value, other, err_msg=name)


def test_a_part_is_what_is_computed_at_once(tiny_records):
    """The real trials' unit: replicas times --accumulate_steps."""
    config = dataclasses.replace(CONFIG, optimizer=OptimizerOptions(accumulate_steps=3))
    train = [Manifest.load(tiny_records)]
    assert trial_steps.Trials(config, train, two_replicas(), print).unit == 6
    assert trial_steps.Trials(config, train, ALONE, print).unit == 3


FULL = """
import resource, sys
sys.path.insert(0, "tests")
import toy_network, psutil, tensorflow as tf
toy_network.install()
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.options import ModelOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training.memory import batch_trial, trial_steps
from ssd_tfrecord.training.stopping import failures

size = 1024
config = TrainConfig(train_records=("a",), run_dir="b", global_batch_size=size,
    model=ModelOptions(backbone="toy", backbone_weights="none", input_size=300))
train, strategy = [Manifest.load(sys.argv[1])], tf.distribute.get_strategy()
# Threads and libraries are there before the limit is.
first = trial_steps.Trials(config, train, strategy, print)
assert first.fits(1)
used = psutil.Process().memory_info().vms
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]) * 2**20,) * 2)
try:
    first._step(size)
except Exception as error:
    which = lambda: batch_trial.would_fit(config, train, strategy, print)
    print(failures.explained(error, config, train, which))
"""


@pytest.mark.soak
def test_a_process_that_is_really_out_of_memory_finds_what_fits(tiny_records):
    """On the CPU, with a limit of the address space: TensorFlow's allocation fails."""
    words = [sys.executable, "-c", FULL, str(tiny_records), "1300"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("out of memory (") and "execution" not in last
    assert "with --global_batch_size=1024" in last and " fits (tried). A run keeps" in last
