"""Trials of a size: what may be tried at all, and what counts as too much."""

import dataclasses

import pytest
import tensorflow as tf

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data.free_memory import FreeMemory
from ssd_tfrecord.options import InputOptions, ModelOptions, ReadOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training.memory import batch_trial, trial_steps
from ssd_tfrecord.training.memory.trial_steps import Outcome, Trials

CONFIG = TrainConfig(
    train_records=("a",),
    run_dir="b",
    model=ModelOptions(backbone="toy", backbone_weights="none", input_size=64),
)
ALONE = tf.distribute.get_strategy()
GB = 10**9


@pytest.fixture
def train(tiny_records):
    return [dataclasses.replace(Manifest.load(tiny_records), num_records=10**6)]


class Host(Trials):
    """A host on which a step takes a fixed memory and some for each image, and a second each."""

    FIXED, EACH, SECONDS = 0.5 * GB, 0.25 * GB, 0.5

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.taken = []

    def _step(self, part):
        self.taken.append(self.FIXED + self.EACH * part)
        return Outcome(part, self.taken[-1], self.EACH * part, self.SECONDS * part)


def with_memory(monkeypatch, num_bytes):
    free = FreeMemory(int(num_bytes), "this machine")
    monkeypatch.setattr(trial_steps, "free_memory", lambda: free)
    monkeypatch.setattr(batch_trial, "Trials", Host)
    # There is nothing to free, which takes a second.
    monkeypatch.setattr(trial_steps, "_free", lambda: None)


@pytest.mark.parametrize("gigabytes", [1, 2, 5, 10, 20, 27])
def test_a_host_is_never_filled_beyond_its_share(train, monkeypatch, gigabytes):
    with_memory(monkeypatch, gigabytes * GB)
    said, made = [], []
    monkeypatch.setattr(Host, "end", lambda self: made.append(self))
    size = batch_trial.largest(CONFIG, train, ALONE, said.append)
    assert max(made[0].taken) <= 0.8 * gigabytes * GB
    # Input included, there is room for no more than the next size.
    assert Host.FIXED + Host.EACH * size >= 0.6 * (0.8 * gigabytes * GB) or size == 1
    assert "80% of what is free on this machine" in said[-1]


def test_a_cache_has_its_room(train, monkeypatch):
    """Of 10 GB free, 4 GB are kept for the pixels of a cache; on the disk it takes none."""
    train = [dataclasses.replace(train[0], num_pixels=int(4 * GB / 3))]
    with_memory(monkeypatch, 10 * GB)
    monkeypatch.setattr(Host, "end", lambda self: None)
    sizes = {}
    for place in ("", "/nowhere"):
        reading = ReadOptions(cache="decoded", cache_dir=place)
        config = dataclasses.replace(CONFIG, input=InputOptions(reading=reading))
        sizes[place] = batch_trial.largest(config, train, ALONE, print)
    assert sizes == {"": 8, "/nowhere": 24}


def test_a_limit_of_the_address_space_is_kept(train, monkeypatch):
    with_memory(monkeypatch, 100 * GB)
    monkeypatch.setattr(trial_steps, "address_space_left", lambda: 5.0 * GB)
    monkeypatch.setattr(Host, "end", lambda self: None)
    said = []
    assert batch_trial.largest(CONFIG, train, ALONE, said.append) == 8
    assert "80% of the address space that is left is 4,000 MB" in said[-1]


def test_a_step_that_takes_minutes_is_not_tried(train, monkeypatch):
    with_memory(monkeypatch, 1000 * GB)
    monkeypatch.setattr(Host, "SECONDS", 2.0)
    monkeypatch.setattr(Host, "end", lambda self: None)
    said = []
    assert batch_trial.largest(CONFIG, train, ALONE, said.append) == 24
    assert "Batch: a step of 32 would take about 64 s; more than 60 s are not tried" in said


def test_a_gpu_is_filled_until_it_says_so_with_something_to_spare(train, monkeypatch):
    """Of 100 MB, a step of n images takes 10 n; a second one is made beside an eighth of that."""
    held, rooms = [0], []

    class Runner:
        def __init__(self, step_fn, batches, strategy):
            self.size = int(batches.element_spec.labels.shape[0])

        def trace(self):
            pass

        def run(self, num_steps):
            if 10 * self.size + held[0] > 100:
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    class Zeros:
        def __init__(self, shape):
            held[0] = shape[0] * 4 / 1e6
            rooms.append(held[0])

        def __del__(self):
            held[0] = 0

    def peak_of(work, device):
        work()
        return 1e6 * 10 * trials_size[0]

    trials_size = [0]
    monkeypatch.setattr(trial_steps, "StepRunner", Runner)
    monkeypatch.setattr(trial_steps, "peak_of", peak_of)
    monkeypatch.setattr(trial_steps.tf, "zeros", Zeros)
    trials = Trials(CONFIG, train, ALONE, print)
    trials._on_gpu, trials._learner = True, trials  # no network is needed
    trials.step_fn, trials.model = None, tf.Module()
    trials.model.trainable_variables = ()
    found = []
    for size in (8, 9, 10, 11):
        trials_size[0] = size
        found.append(trials.fits(size))
        held[0] = 0
    # 9 take 90 MB, and 7.2 beside them; 10 would leave nothing.
    assert found == [True, True, False, False]
    assert rooms == pytest.approx([6.4, 7.2, 8.0])
    assert trials.why == "11 are out of memory"


def test_other_errors_are_not_taken_for_a_full_memory(train, monkeypatch):
    def fail(self, part):
        raise tf.errors.InternalError(None, None, "something else")

    monkeypatch.setattr(Host, "_step", fail)
    with pytest.raises(tf.errors.InternalError):
        Host(CONFIG, train, ALONE, print).fits(1)
