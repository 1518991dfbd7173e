"""The step: it learns, its scalars are the global batch's, and replicas do not change it."""

import dataclasses
import sys

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.backbones import layers, resnet50
from ssd_tfrecord.data.pipeline import Batch
from ssd_tfrecord.geometry import anchors
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import ssd
from ssd_tfrecord.model.targets import assign_targets
from ssd_tfrecord.options import (
    AnchorOptions,
    ColorOptions,
    DeviceOptions,
    LossOptions,
    ModelOptions,
    OptimizerOptions,
)
from ssd_tfrecord.training.nonfinite.bad_batch import BatchKeeper
from ssd_tfrecord.training.step import StepOptions, TrainStep
from ssd_tfrecord.training.update import optimizers

SGD = OptimizerOptions(learning_rate=1e-3)


def toy(batch_norm="sync"):
    # 64 pixels: two maps instead of six, which two replicas trace in 3 s instead of 25.
    return ModelOptions(
        backbone="toy", backbone_weights="none", batch_norm=batch_norm, input_size=64
    )


def network(backbone, batch_norm, input_size=300, width=0.35):
    return ModelOptions(
        backbone=backbone,
        width=width,
        backbone_weights="none",
        batch_norm=batch_norm,
        input_size=input_size,
    )


def mobilenet(batch_norm):
    return network("mobilenet_v2", batch_norm)


# The other networks that have batch normalisation, each at an input of its own.
OTHERS = {
    "MobileNetV2 320": ("mobilenet_v2", 320, 0.1),
    "MobileNetV2 512": ("mobilenet_v2", 512, 0.1),
    "MobileNetV3 320": ("mobilenet_v3_large", 320, 0.35),
    "MobileNetV3 512": ("mobilenet_v3_large", 512, 0.1),
    "MobileNetV3 reduced 320": ("mobilenet_v3_large_reduced", 320, 0.1),
    "ResNet-50 300": ("resnet50", 300, 1.0),
}


def others(batch_norm):
    """Parameters of a test: the others, for soaking."""
    return [
        pytest.param(
            network(backbone, batch_norm, size, width),
            id=f"{name}, {batch_norm}",
            marks=pytest.mark.soak,
        )
        for name, (backbone, size, width) in OTHERS.items()
    ]


VGG = ModelOptions(backbone_weights="none")


def batch_of(count, seed=0, objects=3, *, size=64):
    rng = np.random.default_rng(seed)
    low = rng.random((count, objects, 2), np.float32) * 0.6
    boxes = np.concatenate([low, low + 0.15 + rng.random((count, objects, 2), np.float32) / 4], -1)
    labels = rng.integers(1, 4, (count, objects)).astype(np.int32)
    labels[:, -1] = 0
    boxes[:, -1] = 0
    return Batch(
        # Levels are whole, but float32 also has one that is infinite.
        images=rng.integers(0, 256, (count, size, size, 3)).astype(np.float32),
        boxes=boxes,
        labels=labels,
        rectangles=np.int32([[0, 0, size, size]] * count),
        color=np.float32([[0, 1, 1, 0, 1]] * count),
        mirrored=np.zeros(count, bool),
        substituted=np.zeros(count, bool),
        indices=np.arange(count),
    )


class Trainer:
    """A fresh network, its step on one replica or more, and all of its variables."""

    def __init__(
        self,
        model_options,
        *,
        replicas=1,
        xla=False,
        optimizer_options=SGD,
        scaled=False,
        devices=DeviceOptions(),
    ):
        self.strategy = tf.distribute.get_strategy()
        if replicas > 1:
            self.strategy = tf.distribute.MirroredStrategy(
                [f"CPU:{index}" for index in range(replicas)],
                cross_device_ops=tf.distribute.ReductionToOneDevice(),
            )
        with self.strategy.scope():
            self.model = ssd.build(model_options, AnchorOptions(), 3, seed=1)
            precision = "mixed_float16" if scaled else "float32"
            self.optimizer = optimizers.create(optimizer_options, 10, precision)
            optimizers.build(self.optimizer, self.model.trainable_variables)
        self.keeper = BatchKeeper()
        options = StepOptions(
            LossOptions(), optimizer_options, ColorOptions(color_on="host"), devices, xla
        )
        step = TrainStep(
            self.model,
            self.optimizer,
            anchors.anchor_boxes(AnchorOptions(), model_options.maps),
            options,
            keep_fn=self.keeper.keep,
        )
        self._run = tf.function(
            lambda batch, stop: self.strategy.run(step.step, args=(batch, stop))
        )

    def step(self, batch, stop=0.0):
        """The scalars of a step with ``batch``."""
        size = len(batch.labels) // self.strategy.num_replicas_in_sync
        parts = self.strategy.experimental_distribute_values_from_function(
            lambda context: Batch(
                *(
                    tf.constant(value[context.replica_id_in_sync_group * size :][:size])
                    for value in batch
                )
            )
        )
        local = self.strategy.experimental_local_results
        results = {
            name: local(value) for name, value in self._run(parts, tf.constant(stop)).items()
        }
        for values in results.values():
            # Equal on every replica; as text, because NaN equals nothing.
            assert len({str(float(value)) for value in values}) == 1
        return {name: float(values[0]) for name, values in results.items()}

    def variables(self):
        """Every copy of every variable: weights, moving averages, the optimizer's."""
        held = self.optimizer.variables  # a method of the legacy optimizers
        held = held() if callable(held) else held
        local = self.strategy.experimental_local_results
        return [copy.numpy() for v in [*self.model.variables, *held] for copy in local(v)]


def run_steps(model_options, batches, **settings):
    """Scalars of each step and the final weights."""
    trainer = Trainer(model_options, **settings)
    scalars = [trainer.step(batch) for batch in batches]
    return scalars, [w.numpy() for w in trainer.model.trainable_variables]


def assert_same_run(left, right, tolerance):
    for number, (a, b) in enumerate(zip(left[0], right[0], strict=True)):
        for name in a:
            # Once weights differ in the last digit, it may decide which of equally hard negatives
            # are mined: the norm of the gradient jumps (1.3e-5 seen), losses and weights do not.
            jumps = name == "gradient_norm" and number > 0
            limit = max(tolerance, 1e-3) if jumps else tolerance
            np.testing.assert_allclose(a[name], b[name], rtol=limit, err_msg=name)
    for a, b in zip(left[1], right[1], strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(toy("sync"), id="toy, synchronised"),
        pytest.param(toy("frozen"), id="toy, frozen"),
        pytest.param(mobilenet("sync"), id="MobileNetV2, synchronised", marks=pytest.mark.soak),
        pytest.param(mobilenet("frozen"), id="MobileNetV2, frozen", marks=pytest.mark.soak),
        *others("sync"),
    ],
)
def test_two_replicas_equal_one_with_batch_norm(model, monkeypatch):
    # 60 fresh normalised layers amplify the last digit of float32: at epsilon 1e-3 the gradient of
    # one replica differs by 1 % if the batch is merely reversed. At 1 nothing is amplified.
    monkeypatch.setattr(layers, "BATCH_NORM_EPSILON", 1.0)
    monkeypatch.setattr(resnet50, "_EPSILON", 1.0)
    batches = [batch_of(4, seed, size=model.input_size) for seed in range(3)]
    # Replica 0's images have objects, replica 1's none: the normaliser must be the global one.
    batches[1].labels[2:] = 0
    one = run_steps(model, batches)
    assert_same_run(one, run_steps(model, batches, replicas=2), 1e-5)


@pytest.mark.soak
def test_two_replicas_equal_one_on_vgg():
    batches = [batch_of(2, seed, size=300) for seed in range(2)]
    # At 1e-3 fresh weights on raw levels move so far that 2 of 26 million differ by 1.02e-5.
    slow = OptimizerOptions(learning_rate=1e-4)
    one = run_steps(VGG, batches, optimizer_options=slow)
    assert_same_run(one, run_steps(VGG, batches, replicas=2, optimizer_options=slow), 1e-5)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(toy("frozen"), id="toy"),
        pytest.param(mobilenet("frozen"), id="MobileNetV2", marks=pytest.mark.soak),
        *others("frozen"),
    ],
)
def test_xla_equals_graph(model, monkeypatch):
    # ResNet's sums of blocks grow to 1e10 with fresh weights and frozen averages; so each
    # normalisation divides by three.
    monkeypatch.setattr(resnet50, "_EPSILON", 8.0)
    batches = [batch_of(2, seed, size=model.input_size) for seed in range(2)]
    one = run_steps(model, batches)
    assert_same_run(one, run_steps(model, batches, xla=True), 1e-4)


@pytest.mark.parametrize(
    ("model", "learning_rate", "count", "steps"),
    [
        pytest.param(toy("sync"), 1e-2, 2, 8, id="toy"),
        pytest.param(mobilenet("sync"), 1e-2, 2, 8, id="MobileNetV2", marks=pytest.mark.soak),
        # A step of one image takes seconds; Xavier's weights learn at once.
        pytest.param(VGG, 1e-4, 1, 2, id="VGG-16", marks=pytest.mark.soak),
    ],
)
def test_the_loss_falls_on_a_repeated_batch(model, learning_rate, count, steps):
    options = OptimizerOptions(learning_rate=learning_rate)
    batches = [batch_of(count, size=model.input_size)] * steps
    scalars, _ = run_steps(model, batches, optimizer_options=options)
    assert scalars[-1]["loss"] < 0.7 * scalars[0]["loss"]
    assert scalars[0]["loss"] == pytest.approx(scalars[0]["class_loss"] + scalars[0]["box_loss"])
    assert (scalars[-1]["skipped_steps"], scalars[-1]["loss_scale"]) == (0.0, 1.0)


def test_a_batch_without_objects_has_no_loss_and_only_decay_moves_weights():
    batch = batch_of(2)
    batch.labels[:] = 0
    scalars, weights = run_steps(toy("frozen"), [batch])
    assert scalars[0]["loss"] == scalars[0]["gradient_norm"] == 0.0
    assert scalars[0]["finite"] == 1.0
    fresh = ssd.build(toy("frozen"), AnchorOptions(), 3, seed=1)
    for before, after in zip(fresh.trainable_variables, weights, strict=True):
        decay = 1 - 1e-3 * 5e-4 if optimizers.decays(before.name) else 1.0
        np.testing.assert_allclose(after, before.numpy() * decay, rtol=1e-6)


def poisoned(batch):
    """``batch`` of which one image is not finite, and with it all that it touches."""
    images = batch.images.copy()
    images[-1] = np.inf
    return batch._replace(images=images)


@pytest.fixture(scope="module")
def mirrored():
    """A trainer on two replicas, traced for batches of two; of no particular state."""
    return Trainer(toy(), replicas=2)


ADDONS = pytest.mark.skipif(sys.version_info >= (3, 12), reason="Addons ended with Python 3.11")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        pytest.param("sgd", {}, id="one replica"),
        pytest.param("sgd", "mirrored", id="two replicas"),
        pytest.param("sgd", {"xla": True}, id="XLA"),
        pytest.param("sgd", {"scaled": True}, id="loss scaling"),
        pytest.param("sgd", {"scaled": True, "replicas": 2}, id="loss scaling, two replicas"),
        pytest.param("lamb", {"replicas": 2}, id="LAMB, two replicas", marks=ADDONS),
        pytest.param("novograd", {"scaled": True}, id="NovoGrad, loss scaling", marks=ADDONS),
    ],
)
def test_a_step_that_is_not_finite_changes_nothing_and_keeps_its_batch(name, settings, request):
    bad = poisoned(batch_of(2, seed=1))
    if settings == "mirrored":
        trainer = request.getfixturevalue(settings)
    else:
        options = OptimizerOptions(optimizer=name, learning_rate=1e-3)
        trainer = Trainer(toy(), optimizer_options=options, **settings)
    # Momenta and moving averages then are not those of the start.
    assert trainer.step(batch_of(2))["finite"] == 1.0
    assert trainer.keeper.take() is None
    before = trainer.variables()
    steps = int(trainer.optimizer.iterations.numpy())
    told = trainer.step(bad)
    assert (told["finite"], told["skipped_steps"]) == (0.0, 1.0)
    # The learning rate is that of the step's number.
    assert int(trainer.optimizer.iterations.numpy()) == steps + 1
    trainer.optimizer.iterations.assign(steps)
    assert_bits_equal(trainer.variables(), before)
    assert_bits_equal(trainer.keeper.take(), bad)
    assert trainer.keeper.take() is None


def test_a_run_that_leaves_out_a_batch_is_that_which_never_met_it():
    good, bad, last = batch_of(2), poisoned(batch_of(2, seed=1)), batch_of(2, seed=2)
    with_it, without = Trainer(toy()), Trainer(toy())
    finite = [with_it.step(batch)["finite"] for batch in (good, bad, last)]
    assert finite == [1.0, 0.0, 1.0]
    for batch in (good, last):
        without.step(batch)
    optimizers.count_step(without.optimizer)
    assert_bits_equal(with_it.variables(), without.variables())


@pytest.mark.parametrize("replicas, count, xla", [(1, 4, False), (2, 2, False), (1, 4, True)])
def test_a_batch_in_parts_is_the_batch_as_a_whole(replicas, count, xla):
    """The loss is divided by the positives of all parts, not by those of each."""
    trainers = [
        Trainer(
            toy("frozen"),
            replicas=replicas,
            xla=xla,
            optimizer_options=dataclasses.replace(SGD, accumulate_steps=parts),
        )
        for parts in (1, count)
    ]
    for seed in range(3):
        # Parts of unequal numbers of objects, one of them without any.
        batch = batch_of(8, seed=seed, objects=4)
        batch.labels[2:4] = 0
        batch.labels[5, 1:] = 0
        whole, parts = (trainer.step(batch) for trainer in trainers)
        assert parts["loss"] == pytest.approx(whole["loss"], rel=1e-6)
        assert parts["positives_per_image"] == whole["positives_per_image"]
    for a, b in zip(*(trainer.variables() for trainer in trainers), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_gradients_may_travel_as_bfloat16():
    trainers = [
        Trainer(toy("frozen"), replicas=2, devices=DeviceOptions(gradient_dtype=kind))
        for kind in ("float32", "bfloat16")
    ]
    start = trainers[0].variables()
    for trainer in trainers:
        trainer.step(batch_of(4))
    exact, rounded = (
        np.concatenate([(b - a).ravel() for a, b in zip(start, trainer.variables())])
        for trainer in trainers
    )
    # bfloat16 has 8 binary digits.
    error = np.linalg.norm(rounded - exact) / np.linalg.norm(exact)
    assert 1e-5 < error < 2**-7


def test_a_stop_of_any_replica_is_known_to_all(mirrored):
    assert mirrored.step(batch_of(2))["stop"] == 0.0
    assert mirrored.step(batch_of(2), stop=1.0)["stop"] == 2.0


def assert_bits_equal(left, right):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


def test_a_gradient_that_overflows_by_its_scale_is_skipped_and_counted_as_a_step():
    trainer = Trainer(toy("frozen"), scaled=True)
    trainer.optimizer._loss_scale.current_loss_scale.assign(2.0**127)
    weights = [weight.numpy() for weight in trainer.model.variables]
    told = trainer.step(batch_of(2))
    assert (told["finite"], told["skipped_steps"], told["loss_scale"]) == (1.0, 1.0, 2.0**127)
    assert float(trainer.optimizer.loss_scale) == 2.0**126
    assert int(trainer.optimizer.iterations.numpy()) == 1
    assert_bits_equal([weight.numpy() for weight in trainer.model.variables], weights)


def test_counts_by_hand():
    # Two anchors; image 0: object 0 is anchor 0, object 1 overlaps nothing; image 1 is empty.
    anchor = tf.constant([[0.0, 0.0, 0.2, 0.2], [0.5, 0.5, 0.7, 0.7]])
    boxes = tf.constant([[[0.0, 0.0, 0.2, 0.2], [0.8, 0.8, 1.0, 1.0]], [[0.0] * 4] * 2])
    targets, counts = assign_targets(boxes, tf.constant([[2, 1], [0, 0]]), anchor)
    np.testing.assert_array_equal(targets["labels"], [[2, 0], [0, 0]])
    np.testing.assert_array_equal(counts, [2.0, 1.0, 1.0])


def test_under_loss_scaling_the_step_is_that_of_float32():
    keras.mixed_precision.set_global_policy("float32")
    batches = [batch_of(2, seed) for seed in range(2)]
    plain = run_steps(toy("frozen"), batches)
    scaled = run_steps(toy("frozen"), batches, scaled=True)
    assert {step.pop("loss_scale") for step in scaled[0]} == {2.0**15}
    assert {step.pop("loss_scale") for step in plain[0]} == {1.0}
    # The scale is a power of two: exact, until something overflows.
    assert_same_run(plain, scaled, 1e-6)
