"""The loss on the evaluation set, samples and tables, on the tiny record set."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data.host import Host
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.evaluation.set_loss import mean_loss
from ssd_tfrecord.geometry.anchors import anchor_boxes
from ssd_tfrecord.keras import keras
from ssd_tfrecord.options import AnchorOptions, FramingOptions, InputOptions, ReadOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training import briefing, samples, validation
from ssd_tfrecord.training.nonfinite import bad_batch
from ssd_tfrecord.training.update.averages import Averages

ANCHORS = anchor_boxes(AnchorOptions(), BACKBONES["vgg16"].inputs[300])


@pytest.fixture
def config(tiny_records, tmp_path):
    return TrainConfig(
        train_records=(str(tiny_records),),
        run_dir=str(tmp_path),
        global_batch_size=4,
        input=InputOptions(framing=FramingOptions(augmentation="flip")),
    )


@pytest.fixture(scope="module")
def manifest(tiny_records):
    return Manifest.load(tiny_records)


def silent_model():
    """A network whose offsets and logits are all 0: every class has probability 1 / 4."""
    image = keras.Input((300, 300, 3))
    level = keras.layers.GlobalAveragePooling2D()(image)[:, :1, tf.newaxis] * 0.0
    rows = tf.ones([1, len(ANCHORS), 1])
    return keras.Model(
        image, {"offsets": level * rows * tf.ones(4), "logits": level * rows * tf.ones(4)}
    )


@pytest.fixture
def validator(manifest, config):
    return validation.Validator(
        silent_model(), ANCHORS, manifest, config, tf.distribute.get_strategy()
    )


def test_an_evaluation_again_gives_the_same_and_traces_nothing(validator, monkeypatch):
    first = validator.metrics(), validator.loss()

    def fail(*_, **__):
        raise AssertionError("a pipeline is made anew")

    monkeypatch.setattr(tf.data.Dataset, "map", fail)
    monkeypatch.setattr(tf.data.Dataset, "filter", fail)
    for _ in range(3):
        assert (validator.metrics(), validator.loss()) == first
        assert len(validator.pictures(2)) == 2


def test_images_that_are_shown_again_are_read_once(validator, monkeypatch):
    validator.metrics()
    (name, first), _ = validator.pictures(2)
    # Numbers instead of images: they could not be drawn on.
    monkeypatch.setattr(validation.recorded, "read_images", lambda _, missing: iter(missing))
    (again, second), _ = validator.pictures(2)
    assert (again, second.tobytes()) == (name, first.tobytes())


def test_an_evaluation_after_one_that_was_given_up_is_whole(validator, monkeypatch):
    expected = validator.metrics(), validator.loss()
    detect, sums = validator._detector._detect_distributed, validator._loss._sums

    def interrupt(name, holder, function):
        calls = iter([True, False])

        def once(batch):
            if next(calls):
                return function(batch)
            raise KeyboardInterrupt

        monkeypatch.setattr(holder, name, once)

    interrupt("_detect_distributed", validator._detector, detect)
    interrupt("_sums", validator._loss, sums)
    for give_up in (validator.metrics, validator.loss):
        with pytest.raises(KeyboardInterrupt):
            give_up()
    monkeypatch.undo()
    assert (validator.metrics(), validator.loss()) == expected


def constant_model(label):
    """A network that finds an object of class ``label`` where the largest anchors are."""
    image = keras.Input((300, 300, 3))
    level = keras.layers.GlobalAveragePooling2D()(image)
    outputs = {}
    for name in ("offsets", "logits"):
        layer = keras.layers.Dense(4 * len(ANCHORS), kernel_initializer="zeros", name=f"{name}_all")
        outputs[name] = keras.layers.Reshape((len(ANCHORS), 4), name=name)(layer(level))
    model = keras.Model(image, outputs)
    finds(model, label)
    return model


def finds(model, label):
    logits = np.zeros((len(ANCHORS), 4))
    logits[-4:, label] = 6.0
    model.get_layer("logits_all").bias.assign(logits.ravel())


CAT, DOG = 1, 2


def test_averages_are_evaluated_and_raw_weights_beside_them(manifest, config):
    def validator(model, averages=None):
        strategy = tf.distribute.get_strategy()
        return validation.Validator(model, ANCHORS, manifest, config, strategy, averages=averages)

    model = constant_model(CAT)
    averages = Averages(model, 0.9)
    finds(model, DOG)
    own = model.get_weights()
    made = validator(model, averages)
    metrics, loss = made.metrics(), made.loss()
    shown = {found.labels[0] for found in made._detections}
    raw = metrics.pop("raw")
    cats, dogs = validator(constant_model(CAT)), validator(constant_model(DOG))
    assert metrics == cats.metrics()
    assert loss == cats.loss()
    assert shown == {CAT}
    expected = dogs.metrics()
    assert raw == {
        name: expected[name] for name in ("voc07_map", "voc12_map", "coco_ap", "coco_ap50")
    }
    assert raw["voc07_map"] != metrics["voc07_map"]
    assert made.measured(1)["detections"].endswith(", averaged weights, while it was trained")
    # The model has its own weights again.
    for before, after in zip(own, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_two_hosts_find_what_one_does(manifest, config):
    model = constant_model(CAT)
    averages = Averages(model, 0.9)
    finds(model, DOG)

    def validator(**host):
        strategy = tf.distribute.get_strategy()
        return validation.Validator(
            model, ANCHORS, manifest, config, strategy, averages=averages, host=Host(**host)
        )

    alone = validator()
    leader, follower = (validator(index=index, count=2) for index in range(2))
    own, arrays = leader.detect(), follower.detect().arrays()
    assert len(own.detections) == 3
    other = leader.share_of(Host(1, 2), arrays)
    metrics = leader.judge([own, other])
    assert metrics == alone.metrics()
    loss = mean_loss(leader.loss_sums() + follower.loss_sums())
    assert loss == pytest.approx(alone.loss(), rel=1e-6)
    with pytest.raises(RuntimeError, match="of 6 images were evaluated"):
        leader.judge([own])


@pytest.mark.parametrize(
    ("metric", "marks", "expected"),
    [
        ("voc07_map", {}, True),
        ("voc07_map", {"difficult": True}, False),
        ("coco_ap", {"difficult": True}, True),
        ("voc12_map", {"crowd": True}, False),
        ("coco_ap50", {"crowd": True}, False),
    ],
)
def test_objects_count_as_the_best_metric_does(manifest, config, metric, marks, expected):
    options = dataclasses.replace(config.checkpoints, best_metric=metric)
    config = dataclasses.replace(config, checkpoints=options)
    whole = validation.read_ground_truths(manifest)
    truths = [
        dataclasses.replace(
            truth, **{name: np.full(len(truth.labels), value) for name, value in marks.items()}
        )
        for truth in whole
    ]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(validation, "read_ground_truths", lambda _: truths)
        made = validation.Validator(
            silent_model(), ANCHORS, manifest, config, tf.distribute.get_strategy()
        )
    assert made.has_objects is expected
    assert (made.metrics()[metric] is not None) is expected


def test_a_set_without_images_is_refused(manifest, config):
    empty = dataclasses.replace(manifest, shards=(), num_records=0)
    with pytest.raises(InputError, match=r"^--eval_records=.*tiny: the set has no images$"):
        validation.Validator(silent_model(), ANCHORS, empty, config, tf.distribute.get_strategy())


def test_samples_are_drawn_pictures_that_differ_from_step_to_step(manifest, config):
    source = RecordReader((manifest,))
    made = samples.Samples(config, source, 1, 3)
    first, second = made.pictures(), made.pictures()
    assert len(first) == 3
    assert {picture.mode for picture in first} == {"RGB"}
    assert any(np.asarray(a).tobytes() != np.asarray(b).tobytes() for a, b in zip(first, second))


def test_batch_of_a_step_is_drawn_anew(manifest, config):
    source = RecordReader((manifest,))
    batches = bad_batch.training_batches(config, source, 0).take(3).as_numpy_iterator()
    third = list(batches)[2]
    again = next(bad_batch.training_batches(config, source, 2).as_numpy_iterator())
    for name, value in third._asdict().items():
        np.testing.assert_array_equal(getattr(again, name), value)


def test_data_table_counts_images_and_classes(manifest):
    lines = briefing.data_table((manifest,), manifest).splitlines()
    assert lines[0].split() == ["Data", "train:", "tiny", "eval:", "tiny"]
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    assert rows == {
        "images": ["6", "6"],
        "objects": ["7", "7"],
        "difficult": ["1", "1"],
        "crowd": ["0", "0"],
        "cat": ["2", "2"],
        "dog": ["3", "3"],
        "person": ["2", "2"],
    }


def test_reading_lines_say_how(manifest):
    line = briefing.reading_lines((manifest,), ReadOptions())
    assert line == "Shuffling: all 6 records in a new order each epoch"
    line = briefing.reading_lines((manifest,), ReadOptions(shuffle_buffer_mb=1))
    assert line == "Shuffling: a buffer of 6 of 6 records, 0 MB"
