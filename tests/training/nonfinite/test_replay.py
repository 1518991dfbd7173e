"""A replayed batch: the first layer, the images, the boxes and the variables are named."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.pipeline import Batch
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.geometry.anchors import anchor_boxes
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import losses, ssd
from ssd_tfrecord.model.targets import assign_targets
from ssd_tfrecord.options import AnchorOptions, LossOptions, ModelOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.runs import run_folder
from ssd_tfrecord.runs.checkpoints import Checkpoints
from ssd_tfrecord.runs.loaded_run import LoadedRun
from ssd_tfrecord.training.nonfinite import bad_batch, replay

TOY = ModelOptions(backbone="toy", backbone_weights="none", input_size=64, batch_norm="frozen")
CONFIG = TrainConfig(train_records=("unused",), run_dir="unused", model=TOY)
CLASSES = ("cat", "dog", "person")


def batch_of(*boxes):
    """An image of noise for each list of (label, box)."""
    count, room = len(boxes), 8
    found = Batch(
        images=np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3)).astype(np.uint8),
        boxes=np.zeros((count, room, 4), np.float32),
        labels=np.zeros((count, room), np.int32),
        rectangles=np.int32([[0, 0, 64, 64]] * count),
        color=np.float32([[0, 1, 1, 0, 1]] * count),
        mirrored=np.zeros(count, bool),
        indices=np.arange(count),
        substituted=np.zeros(count, bool),
    )
    for image, objects in enumerate(boxes):
        for place, (label, box) in enumerate(objects):
            found.labels[image, place], found.boxes[image, place] = label, box
    return found


BIG, SMALL = (0.1, 0.1, 0.9, 0.9), (0.2, 0.2, 0.4, 0.5)
TWO_IMAGES = batch_of([(1, BIG)], [(2, SMALL), (3, BIG)])


def network(seed=1):
    keras.mixed_precision.set_global_policy("float32")
    return ssd.build(TOY, AnchorOptions(), 3, seed)


def told(batch, model, *, step=8, weights_step=7, config=CONFIG):
    """The report on ``batch``, whose images are a, b, …."""
    loaded = LoadedRun(model, config, CLASSES, (1, 2, 3), weights_step)
    names = tuple("abcdef"[: len(batch.labels)])
    return replay.tell(bad_batch.SavedBatch(step, batch, names), loaded)


def weight(model, name):
    return next(weight for weight in model.weights if weight.name == name)


def test_the_first_layer_and_the_weight_that_are_not_finite_are_named():
    model = network()
    kernel = weight(model, "toy_4/depthwise_kernel:0")
    kernel.assign(np.full(kernel.shape, np.nan))
    text = told(TWO_IMAGES, model)
    assert "8: 2 images, float32, weights of step 7, those that met the batch\n" in text
    assert "weights that are not finite already: 1, toy_4/depthwise_kernel:0\n" in text
    assert "first layer that is not finite: toy_4, in 2 of 2 images: a, b;" in text
    # The layers before it with their magnitudes, and it as the last.
    shown = text.split("up to there:\n")[1].split("\nimages")[0].splitlines()
    assert shown[-1].split()[0] == "toy_4"
    assert [line.endswith("not finite") for line in shown] == [False] * (len(shown) - 1) + [True]


def test_one_image_one_box_and_the_part_of_the_loss_are_named():
    """Only the offsets of the smaller map are infinite, which SMALL has no anchor of."""
    model = network()
    bias = weight(model, "head_1_offsets/bias:0")
    bias.assign(np.full(bias.shape, np.inf))
    batch = batch_of([], [(2, SMALL), (3, BIG)])
    text = told(batch, model)
    assert "class loss" in text.splitlines()[1]
    assert "box loss inf" in text.splitlines()[1]
    assert "images whose loss is not finite (1 of 2):\n  b " in text
    boxes = text.split("boxes whose loss is not finite (1 of 2):\n")[1].splitlines()
    assert boxes[0].startswith("  b: 'person' at [0.1, 0.1, 0.9, 0.9] of the sample, ")
    assert "not finite" not in text.split("class loss")[0]


def test_empty_and_extreme_objects_are_named():
    # The second is 3e-5 high, its anchor 0.144: log(3e-5 / 0.144) / 0.2 = -42.
    odd = [(2, (0.5, 0.5, 0.5, 0.8)), (1, (0.3, 0.3, 0.30003, 0.6))]
    text = told(batch_of(odd, [(3, SMALL)]), network())
    assert (
        "objects whose box is empty or not finite (1 of 3):\n  a: 'dog' at [0.5, 0.5, 0.5, 0.8]"
    ) in text
    extreme = text.split("extremely small or far for their anchors (1 of 3):\n")[1].splitlines()[0]
    assert extreme.startswith("  a: 'cat' at [0.3, 0.3, 0.30003, 0.6] of the sample, 1 anchors, ")
    assert "largest offset 42.37" in extreme


@pytest.mark.parametrize(
    ("weights_step", "words"),
    [
        pytest.param(7, "are finite this time, with the same weights and batch", id="the same"),
        pytest.param(
            5, "finite with the weights of step 5; what they became until step 8", id="earlier"
        ),
    ],
)
def test_what_is_finite_is_said_to_be(weights_step, words):
    text = told(TWO_IMAGES, network(), weights_step=weights_step)
    assert words in text
    assert "all layers are finite; largest magnitudes:" in text
    assert "largest gradients:" in text
    if weights_step == 5:
        assert "2 steps before the batch: those that met it were not saved" in text


def test_losses_and_norm_are_those_of_a_step_by_hand():
    """Against the sums of the loss over the whole batch."""
    model = network()
    loaded = LoadedRun(model, CONFIG, CLASSES, (1, 2, 3), 7)
    found = replay.examine(loaded, TWO_IMAGES)
    anchors = tf.constant(anchor_boxes(CONFIG.anchors, TOY.maps))
    images = pipeline.network_images(Batch(*map(tf.constant, TWO_IMAGES)), CONFIG.input.color)
    targets, _ = assign_targets(TWO_IMAGES.boxes, TWO_IMAGES.labels, anchors)
    with tf.GradientTape() as tape:
        outputs = model(images, training=True)
        class_sum, box_sum, count = losses.multibox_sums(outputs, targets, anchors, LossOptions())
        loss = (class_sum + box_sum) / count
    norms = [float(tf.norm(g)) for g in tape.gradient(loss, model.trainable_variables)]
    np.testing.assert_allclose(found.class_losses.sum(), class_sum / count, rtol=1e-5)
    np.testing.assert_allclose(found.box_losses.sum(), box_sum / count, rtol=1e-5)
    np.testing.assert_allclose([norm for _, norm in found.gradients], norms, rtol=1e-4)
    assert sum(box.num_anchors for box in found.boxes) == int(count)


@pytest.fixture
def failed_run(tiny_records, tmp_path):
    """A run folder with checkpoints of steps 2, 5 and 9, whose batch of step 7 is saved."""
    config = dataclasses.replace(
        CONFIG, train_records=(str(tiny_records),), run_dir=str(tmp_path / "run")
    )
    run_folder.begin(config)
    model = network()
    kept = Checkpoints(config.run_dir, model=model, optimizer=keras.optimizers.SGD(), keep=9)
    kept.write_classes(Manifest.load(tiny_records).classes)
    for step in (2, 5, 9):
        kept.save(step)
    bad_batch.report(config, RecordReader([Manifest.load(tiny_records)]), 7, TWO_IMAGES)
    return tmp_path / "run"


def test_a_file_is_replayed_with_the_newest_weights_from_before_it(failed_run):
    said = []
    replay.run(failed_run / "nonfinite-7.npz", said.append)
    assert "7: 2 images, float32, weights of step 5, 1 step before the batch" in said[0]
    # That checkpoint is damaged: the one before is taken.
    for file in (failed_run / "checkpoints").glob("ckpt-5.data*"):
        file.write_bytes(file.read_bytes()[:100])
    replay.run(failed_run / "nonfinite-7.npz", said.append)
    assert "weights of step 2, 4 steps before the batch" in said[1]
    for file in (failed_run / "checkpoints").glob("ckpt-2.*"):
        file.unlink()
    with pytest.raises(InputError, match="from before step 7 can be read") as error:
        replay.run(failed_run / "nonfinite-7.npz")
    assert "\n" not in str(error.value)


def test_without_a_checkpoint_the_weights_are_those_that_the_run_began_with(failed_run):
    (failed_run / "nonfinite-7.npz").rename(failed_run / "nonfinite-1.npz")
    said = []
    replay.run(failed_run / "nonfinite-1.npz", said.append)
    begun = told(TWO_IMAGES, network(seed=0), step=1, weights_step=0)
    # The losses, and the largest magnitudes and gradients.
    assert said[0].splitlines()[:9] == begun.splitlines()[:9]
    assert "weights of step 0, those that met the batch" in begun


def test_a_file_away_from_its_run_is_refused(failed_run, tmp_path):
    (failed_run / "nonfinite-7.npz").rename(tmp_path / "nonfinite-7.npz")
    with pytest.raises(InputError, match="must lie in the folder of its run"):
        replay.run(tmp_path / "nonfinite-7.npz")
