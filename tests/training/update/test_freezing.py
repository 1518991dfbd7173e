"""Frozen layers keep their weights, and nothing is held for them."""

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.data.pipeline import Batch
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.geometry import anchors
from ssd_tfrecord.model import ssd
from ssd_tfrecord.options import (
    AnchorOptions,
    ColorOptions,
    LossOptions,
    ModelOptions,
    OptimizerOptions,
)
from ssd_tfrecord.training.step import StepOptions, TrainStep
from ssd_tfrecord.training.update import optimizers
from ssd_tfrecord.training.update.freezing import freeze

TOY = ModelOptions(backbone="toy", backbone_weights="none", input_size=64)
# Blocks of the toy: toy_8 and toy_4, and heads 0 and 1 of each kind.
NAMES = "toy_8, toy_4, head_0_logits, head_1_logits, head_0_offsets, head_1_offsets"


def toy(pattern="", seed=1):
    model = ssd.build(TOY, AnchorOptions(), 3, seed)
    return model, freeze(model, pattern, BACKBONES["toy"])


class Trainer:
    """A fresh toy with frozen layers, and its step."""

    def __init__(self, pattern, seed=1):
        self.model, _ = toy(pattern, seed)
        options = OptimizerOptions(learning_rate=1e-3)
        self.optimizer = optimizers.create(options, 10, "float32")
        optimizers.build(self.optimizer, self.model.trainable_variables)
        boxes = anchors.anchor_boxes(AnchorOptions(), TOY.maps)
        settings = StepOptions(LossOptions(), options, ColorOptions(color_on="host"))
        step = TrainStep(self.model, self.optimizer, boxes, settings)
        self._step = tf.function(step.step)

    def run(self, seeds):
        for seed in seeds:
            assert float(self._step(batch_of(seed))["finite"]) == 1.0

    def weights(self):
        return {weight.name: weight.numpy() for weight in self.model.weights}


def batch_of(seed):
    rng = np.random.default_rng(seed)
    # A small and a large object, so that the heads of both maps have positives.
    low = rng.random((2, 2, 2), np.float32) * 0.3
    size = np.float32([[[0.25], [0.65]]])
    batch = Batch(
        images=rng.integers(0, 256, (2, 64, 64, 3)).astype(np.float32),
        boxes=np.concatenate([low, low + size], axis=-1),
        labels=rng.integers(1, 4, (2, 2)).astype(np.int32),
        rectangles=np.int32([[0, 0, 64, 64]] * 2),
        color=np.float32([[0, 1, 1, 0, 1]] * 2),
        mirrored=np.zeros(2, bool),
        substituted=np.zeros(2, bool),
        indices=np.arange(2),
    )
    return Batch(*(tf.constant(value) for value in batch))


@pytest.mark.parametrize(
    ("pattern", "frozen"),
    [
        pytest.param("toy_8", ["toy_8", "toy_8_BN"], id="a block, its normalisation too"),
        pytest.param("toy_8_BN", ["toy_8_BN"], id="a layer"),
        pytest.param("toy_8|toy_4_BN", ["toy_8", "toy_8_BN", "toy_4_BN"], id="either"),
        pytest.param(
            r"head_\d_logits",
            [
                *("head_0_logits_depthwise", "head_0_logits_depthwise_BN"),
                *("head_1_logits_depthwise", "head_1_logits_depthwise_BN"),
                *("head_0_logits", "head_1_logits"),
            ],
            id="heads",
        ),
        pytest.param("", [], id="nothing"),
    ],
)
def test_names_that_match_as_a_whole_are_frozen(pattern, frozen):
    model, names = toy(pattern)
    assert sorted(names) == sorted(frozen)
    assert sorted(layer.name for layer in model.layers if not layer.trainable) == sorted(frozen)


def test_on_batch_normalisation_that_is_frozen_already():
    options = ModelOptions(backbone="toy", batch_norm="frozen", input_size=64)
    model = ssd.build(options, AnchorOptions(), 3)
    before = len(model.trainable_weights)
    freeze(model, "toy_8", BACKBONES["toy"])
    assert before - len(model.trainable_weights) == 1
    # Their layers have nothing else to be trained.
    with pytest.raises(InputError, match="matches all layers"):
        freeze(model, r"toy_\d|head_\d_[a-z]+|head_\d_[a-z]+_depthwise", BACKBONES["toy"])


def test_the_examples_of_the_help_match_the_tables_of_their_backbones():
    fields = {field.name: field for field in dataclasses.fields(OptimizerOptions)}
    examples = re.findall(r"'([^']+)' for (\w+)", fields["freeze"].metadata["text"])
    assert len(examples) >= 2
    for pattern, name in examples:
        options = ModelOptions(backbone=name)
        model = ssd.build(options, AnchorOptions(), 3)
        frozen = freeze(model, pattern, BACKBONES[name])
        # From the first layer on, without a gap.
        layers = [layer.name for layer in model.layers if layer.weights]
        assert frozen == layers[: len(frozen)], name


@pytest.mark.parametrize("pattern", ["toy", "oy_8", "toy_8_", "image", "thinned", "Toy_8"])
def test_a_pattern_that_matches_no_layer_names_the_rows_of_the_table(pattern):
    wanted = f"^--freeze={pattern}: matches no layer; must match the whole of a name: {NAMES}$"
    with pytest.raises(InputError, match=wanted):
        toy(pattern)


def test_one_layer_at_least_is_trained():
    model = ssd.build(TOY, AnchorOptions(), 3)
    wanted = rf"^--freeze=\.\*: matches all layers; must leave some to be trained of {NAMES}$"
    with pytest.raises(InputError, match=wanted):
        freeze(model, ".*", BACKBONES["toy"])
    assert all(layer.trainable for layer in model.layers)


def test_frozen_weights_stay_bit_for_bit_and_the_others_move():
    trainer = Trainer("toy_8|head_0_logits")
    before = trainer.weights()
    trainer.run([0, 1, 2])
    after = trainer.weights()
    # Kernels, which would decay, and scales, offsets and moving averages of normalisation.
    still = {name for name in before if np.array_equal(before[name], after[name])}
    assert still == {name for name in before if name.startswith(("toy_8", "head_0_logits"))}
    # toy_8 has 1 + 4 weights; the head's depthwise part likewise, and itself 2.
    assert len(still) == 12


def test_the_optimizer_holds_nothing_for_frozen_layers():
    trainer, free = Trainer("toy_8"), Trainer("")
    held, all_held = (
        [tuple(variable.shape) for variable in item.optimizer.variables] for item in (trainer, free)
    )
    # A kernel, a scale and an offset less; what is not a momentum is a number.
    assert len(all_held) - len(held) == 3
    momenta = [shape for shape in held if shape]
    assert momenta == [tuple(weight.shape) for weight in trainer.model.trainable_weights]


def test_a_frozen_normalisation_computes_by_its_averages_in_training():
    model, _ = toy("toy_8")
    features = np.random.default_rng(0).normal(3.0, 2.0, (2, 8, 8, 8)).astype(np.float32)
    norm = model.get_layer("toy_8_BN")
    trained = norm(features, training=True)
    np.testing.assert_array_equal(trained, norm(features, training=False))
    # Fresh averages are 0 and 1, so nothing but epsilon changes the features.
    np.testing.assert_allclose(trained, features / np.sqrt(1.001), rtol=1e-5)


def test_a_resumed_run_is_the_same(tmp_path):
    straight = Trainer("toy_8")
    straight.run([0, 1])
    saved = tf.train.Checkpoint(model=straight.model, optimizer=straight.optimizer)
    path = saved.write(str(tmp_path / "ckpt"))
    straight.run([2, 3])
    # Another seed: all weights, frozen ones too, come from the checkpoint.
    resumed = Trainer("toy_8", seed=2)
    again = tf.train.Checkpoint(model=resumed.model, optimizer=resumed.optimizer)
    again.read(path).assert_consumed()
    resumed.run([2, 3])
    for name, value in straight.weights().items():
        np.testing.assert_array_equal(resumed.weights()[name], value, err_msg=name)


def test_weights_are_loaded_into_frozen_layers():
    source, _ = toy(seed=2)
    target, _ = toy("toy_8")
    for name in ("toy_8", "toy_8_BN"):
        arrays = [
            np.full_like(a, i + 2.0) for i, a in enumerate(source.get_layer(name).get_weights())
        ]
        target.get_layer(name).set_weights(arrays)
        source.get_layer(name).set_weights(arrays)
        for mine, theirs in zip(target.get_layer(name).weights, source.get_layer(name).weights):
            assert mine.name == theirs.name
            np.testing.assert_array_equal(mine, theirs)
