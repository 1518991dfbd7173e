"""The exported programs: which there are, what they take, and that they stay on the device."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.compiler.xla.service import hlo_pb2

from ssd_tfrecord import flags
from ssd_tfrecord.benchmark import hlo_export, session
from ssd_tfrecord.config import BenchmarkConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.geometry import matching
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import ssd
from ssd_tfrecord.options import AnchorOptions, ModelOptions

TOY = ("--only=hlo", "--backbone=toy", "--input_size=64", "--anchor_scales=voc")
NETWORK_PARTS = {"step", "gradients", "forward", "decode"}
OTHER_PARTS = {"matching_56", "matching_128", "color_original", "color_fast", "suppression"}
# Instructions that leave the device, or call what only TensorFlow has.
LEAVING = ("infeed", "outfeed", "send", "recv", "custom-call")


def config(folder, *words):
    return flags.parse(BenchmarkConfig, ["benchmark", *TOY, f"--output_dir={folder}", *words])


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(Folder, config, {file: row of the index})."""
    folder = tmp_path_factory.mktemp("hlo") / "toy"
    settings = config(folder, "--hlo_batch_sizes=128")
    session.run(settings)
    rows = json.loads((folder / "index.json").read_text())
    return folder, settings, {row["file"]: row for row in rows}


def module(folder, file):
    return hlo_pb2.HloModuleProto.FromString((folder / file).read_bytes())


def dims(module):
    return [tuple(shape.dimensions) for shape in module.host_program_shape.parameters]


def files_of(*batches):
    expected = {"update.hlo"}
    for images in batches:
        expected |= {f"{part}-{images}.hlo" for part in OTHER_PARTS}
        for precision in ("float32", "mixed_bfloat16"):
            expected |= {f"{part}-{images}-{precision}.hlo" for part in NETWORK_PARTS}
    return expected


def test_every_part_is_exported_in_every_precision(exported):
    folder, _, rows = exported
    assert set(rows) == files_of(128)
    assert {path.name for path in folder.iterdir()} == {*rows, "index.json"}
    row = rows["gradients-128-mixed_bfloat16.hlo"]
    assert (row["part"], row["images"], row["precision"]) == ("gradients", 128, "mixed_bfloat16")
    pixels = {"name": "pixels", "shape": [128, 64, 64, 3], "dtype": "float32"}
    assert row["arguments"][0] == pixels


def test_every_part_is_made_for_every_batch(tmp_path):
    settings = config(tmp_path, "--hlo_batch_sizes=2,4096")
    found = [program.file for program in hlo_export.programs(settings, 20)]
    assert len(found) == len(set(found))
    assert set(found) == files_of(2, 4096)


def test_files_hold_no_weights_and_stay_on_the_device(exported):
    folder, _, rows = exported
    for file in rows:
        assert (folder / file).stat().st_size < 4e6, file
        opcodes = {i.opcode for c in module(folder, file).computations for i in c.instructions}
        # A copy is what jaxlib cannot hand to a GPU.
        assert not opcodes & {*LEAVING, "copy"}, file


def test_arguments_come_first_and_variables_follow(exported):
    folder, settings, rows = exported
    model = ssd.build(settings.model, settings.anchors, 20)
    shapes = sorted(tuple(variable.shape) for variable in model.variables)
    for file, row in rows.items():
        found, named = dims(module(folder, file)), row["arguments"]
        assert found[: len(named)] == [tuple(item["shape"]) for item in named], file
        if row["part"] in ("forward", "decode"):
            assert sorted(found[len(named) :]) == shapes, file
        elif row["part"] in OTHER_PARTS:
            assert len(found) == len(named), file
    trained = len(model.trainable_variables)
    # Each weight with its momentum, and at least the number of the step.
    assert len(dims(module(folder, "update.hlo"))) - trained >= 2 * trained + 1
    step = dims(module(folder, "step-128-float32.hlo"))
    assert len(step) - 8 >= len(model.variables) + trained + 1


def test_half_precision_reaches_the_convolutions(exported):
    folder, _, _ = exported
    kinds = {}
    for precision in ("float32", "mixed_bfloat16"):
        computations = module(folder, f"gradients-128-{precision}.hlo").computations
        kinds[precision] = {
            i.shape.element_type
            for c in computations
            for i in c.instructions
            if i.opcode == "convolution"
        }
    # PrimitiveType of xla_data.proto: F32 is 11, BF16 16.
    assert kinds == {"float32": {11}, "mixed_bfloat16": {16}}


def test_precision_is_as_before_afterwards(exported):
    assert keras.mixed_precision.global_policy().name == "float32"


def test_programs_compute_what_they_are_named_for(exported):
    _, settings, _ = exported
    found = {p.part: p for p in hlo_export._other_programs(settings, 20, 2)}
    boxes = np.zeros([2, 56, 4], np.float32)
    boxes[:, 0] = [0.1, 0.1, 0.6, 0.7]
    labels = np.zeros([2, 56], np.int32)
    labels[:, 0] = 7
    anchors = hlo_export.anchor_boxes(settings.anchors, settings.model.maps)
    targets, counts = found["matching_56"].function(tf.constant(boxes), tf.constant(labels))
    match = matching.match(tf.constant(boxes), tf.constant(labels), tf.constant(anchors))
    np.testing.assert_array_equal(targets["labels"], np.where(match >= 0, 7, 0))
    assert counts.numpy().tolist() == [2, np.count_nonzero(match >= 0), 0]
    text = hlo_export.hlo(found["matching_56"], "hlo")
    assert len(set(re.findall(r" parameter\((\d+)\)", text[text.index("\nENTRY") :]))) == 2


def test_operations_of_a_known_network():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(image)  # 64 places x 27 x 4
    x = keras.layers.DepthwiseConv2D(3, strides=2, padding="same")(x)  # 16 places x 9 x 4
    model = keras.Model(image, keras.layers.Dense(5)(x))
    assert hlo_export.forward_gflop(model) == pytest.approx(2e-9 * (64 * 108 + 16 * 36))


def test_ssd300_is_of_62_7_gflop():
    model = ssd.build(ModelOptions(backbone_weights="none"), AnchorOptions(), 20)
    assert hlo_export.forward_gflop(model) == pytest.approx(62.747, abs=1e-3)


def test_unfinished_export_has_no_index(tmp_path, monkeypatch):
    (tmp_path / "index.json").write_text("[]")
    monkeypatch.setattr(hlo_export, "hlo", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        hlo_export.export(config(tmp_path, "--hlo_batch_sizes=2"), 20)
    assert not (tmp_path / "index.json").exists()
    assert keras.mixed_precision.global_policy().name == "float32"


def test_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"^--output_dir=.*/file/x: Not a directory; must be"):
        session.run(config(tmp_path / "file" / "x"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only=hlo"], "--output_dir is required"),
        (["--only=hlo", "--output_dir=x", "--hlo_batch_sizes="], "--hlo_batch_sizes is required"),
        (
            ["--only=match", "--output_dir=x"],
            "--output_dir=x requires --only=hlo, not --only=match",
        ),
        (
            ["--only=hlo", "--output_dir=x", "--json=a"],
            "--json=a: --only=hlo measures nothing; omit one of them",
        ),
    ],
    ids=["nowhere to write", "no batch", "nothing is written", "no figures"],
)
def test_wrong_flags_are_named(words, message):
    with pytest.raises(InputError) as raised:
        flags.parse(BenchmarkConfig, ["benchmark", *words])
    assert str(raised.value) == message
