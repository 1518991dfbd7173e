import types

import h5py
import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.backbones.vgg16 import subsample_classifier
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.fitting import weights_choice
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model.ssd import build
from ssd_tfrecord.model.weights.keras_files import named_as, read_layers
from ssd_tfrecord.model.weights.pretrained import backbone_layers, load_backbone
from ssd_tfrecord.options import AnchorOptions, ModelOptions


@pytest.fixture(scope="module")
def vgg():
    return build(ModelOptions(), AnchorOptions(), 1)


@pytest.fixture(scope="module")
def mobilenet():
    return build(ModelOptions(backbone="mobilenet_v2", width=0.35), AnchorOptions(), 1)


def load(model, path, backbone="vgg16", width=1.0):
    size = min(BACKBONES[backbone].inputs)
    options = ModelOptions(
        backbone=backbone, width=width, backbone_weights=str(path), input_size=size
    )
    return load_backbone(model, options)


def write_keras2(path, layers, *, below="", weight_name="{layer}/{part}:0"):
    """A Keras 2 .h5 whose arrays hold one number each, which takes no room on disk."""
    with h5py.File(path, "w") as file:
        group = file.require_group(below) if below else file
        group.attrs["layer_names"] = [name.encode() for name in layers]
        for layer, parts in layers.items():
            names = [weight_name.format(layer=layer, part=part) for part in parts]
            group.require_group(layer).attrs["weight_names"] = [name.encode() for name in names]
            for name, (shape, value) in zip(names, parts.values()):
                group[layer].create_dataset(name, shape, "f4", fillvalue=value)
    return path


def vgg_arrays(model, **changes):
    layers = {
        layer.name: {
            "kernel": (tuple(layer.kernel.shape), index),
            "bias": (tuple(layer.bias.shape), index + 0.5),
        }
        for index, layer in enumerate(backbone_layers(model, BACKBONES["vgg16"]), start=1)
    }
    # Keras lists the layers without weights, too.
    return {"input_1": {}} | layers | changes


@pytest.mark.parametrize(
    ("below", "weight_name"),
    [
        ("", "{layer}/{part}:0"),
        ("model_weights", "{layer}/{part}:0"),
        ("", "{layer}_{part}_1:0"),
        ("", "sequential/{layer}/{part}"),
    ],
    ids=["weights", "whole model", "Keras's own VGG-16", "Keras 3's legacy file"],
)
def test_a_keras_2_file_goes_in_by_name(vgg, tmp_path, below, weight_name):
    path = write_keras2(tmp_path / "vgg.h5", vgg_arrays(vgg), below=below, weight_name=weight_name)
    report = load(vgg, path)
    assert report[0] == f"backbone weights: 13 layers from {path}, block1_conv1 to block5_conv3"
    assert report[1].startswith(
        "initialised at random: fc6, fc7, conv6, conv7, conv8, conv9, conv4_3_norm"
    )
    assert report[2].startswith("fc6 and fc7 are among them, as the file has no classifier")
    assert np.unique(vgg.get_layer("block1_conv1").kernel) == 1
    assert np.unique(vgg.get_layer("block5_conv3").kernel) == 13
    assert np.unique(vgg.get_layer("block5_conv3").bias) == 13.5


def test_of_loaded_layers_that_are_frozen_nothing_is_to_be_said(vgg, tmp_path, monkeypatch):
    path = write_keras2(tmp_path / "vgg.h5", vgg_arrays(vgg))
    for layer in backbone_layers(vgg, BACKBONES["vgg16"]):
        monkeypatch.setattr(layer, "trainable", False)
    assert len(load(vgg, path)) == 2
    # A layer that is trained could be spoilt.
    monkeypatch.setattr(vgg.get_layer("block5_conv3"), "trainable", True)
    assert len(load(vgg, path)) == 3


def test_the_backbone_may_lie_in_a_nested_model(vgg, tmp_path):
    path = tmp_path / "nested.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"vgg16"]
        names = []
        for layer, parts in vgg_arrays(vgg).items():
            for part, (shape, value) in parts.items():
                names.append(f"{layer}/{part}:0".encode())
                file.create_dataset(f"vgg16/{layer}/{part}:0", shape, "f4", fillvalue=value)
        file["vgg16"].attrs["weight_names"] = names
    load(vgg, path)
    assert np.unique(vgg.get_layer("block4_conv2").kernel) == 9


def test_the_first_convolution_is_turned_from_bgr_to_rgb(vgg, tmp_path):
    path = write_keras2(tmp_path / "vgg.h5", vgg_arrays(vgg))
    with h5py.File(path, "r+") as file:
        kernel = file["block1_conv1/block1_conv1/kernel:0"]
        for channel, value in enumerate("BGR"):
            kernel[:, :, channel] = ord(value)
    load(vgg, path)
    kernel = vgg.get_layer("block1_conv1").kernel.numpy()
    assert "".join(chr(int(value)) for value in kernel[1, 1, :, 0]) == "RGB"


def test_the_classifier_is_subsampled():
    fc1 = np.arange(49 * 2 * 8, dtype=np.float32).reshape(98, 8)
    fc2 = np.arange(8 * 12, dtype=np.float32).reshape(8, 12)
    arrays = subsample_classifier({"fc1": [fc1, np.arange(8.0)], "fc2": [fc2, np.arange(12.0)]})
    kernel, bias = arrays["fc6"]
    assert kernel.shape == (3, 3, 2, 2)
    # Row (y * 7 + x) * 2 + channel of fc1: y = 3, x = 6, channel 1 is row 55; 4 is its column.
    assert kernel[1, 2, 1, 1] == 55 * 8 + 4
    assert kernel[2, 0, 0, 0] == 84 * 8
    np.testing.assert_array_equal(bias, [0, 4])
    kernel, bias = arrays["fc7"]
    np.testing.assert_array_equal(kernel, [[[[0, 4, 8], [48, 52, 56]]]])
    np.testing.assert_array_equal(bias, [0, 4, 8])


def test_fc6_and_fc7_come_from_a_file_with_classifier(vgg, tmp_path):
    classifier = {
        "fc1": {"kernel": ((25088, 4096), 3), "bias": ((4096,), 4)},
        "fc2": {"kernel": ((4096, 4096), 5), "bias": ((4096,), 6)},
        "predictions": {"kernel": ((4096, 1000), 7), "bias": ((1000,), 8)},
    }
    path = write_keras2(tmp_path / "vgg.h5", vgg_arrays(vgg) | classifier)
    report = load(vgg, path)
    assert report[0] == f"backbone weights: 15 layers from {path}, block1_conv1 to fc7"
    assert report[1].startswith("initialised at random: conv6")
    assert len(report) == 2
    values = [np.unique(w) for name in ("fc6", "fc7") for w in vgg.get_layer(name).get_weights()]
    assert values == [3, 4, 5, 6]


def test_a_file_that_this_keras_wrote_goes_in(mobilenet, tmp_path):
    """Both of its formats: .h5 with names, .weights.h5 with numbers."""
    original = keras.applications.MobileNetV2(
        input_shape=(96, 96, 3), alpha=0.35, include_top=True, weights=None, classes=3
    )
    for name in ("mobilenet.h5", "mobilenet.weights.h5"):
        for index, weight in enumerate(original.weights):
            weight.assign(tf.random.stateless_uniform(weight.shape, [index, len(name)]))
        original.save_weights(tmp_path / name)
        report = load(mobilenet, tmp_path / name, "mobilenet_v2", 0.35)
        assert report[0].endswith("Conv1 to Conv_1_bn") and " 104 layers " in report[0]
        assert "Conv1" not in report[1] and "block" not in report[1]
        for layer in backbone_layers(mobilenet, BACKBONES["mobilenet_v2"]):
            for got, expected in zip(layer.weights, original.get_layer(layer.name).weights):
                np.testing.assert_array_equal(got, expected, err_msg=layer.name)


def test_a_file_with_the_names_of_an_earlier_keras_goes_in_by_order(mobilenet, tmp_path):
    layers = {
        f"mobl{index}": {
            str(part): (tuple(weight.shape), index) for part, weight in enumerate(layer.weights)
        }
        for index, layer in enumerate(backbone_layers(mobilenet, BACKBONES["mobilenet_v2"]))
    }
    path = write_keras2(tmp_path / "old.h5", layers)
    load(mobilenet, path, "mobilenet_v2", 0.35)
    assert np.unique(mobilenet.get_layer("bn_Conv1").gamma) == 1
    assert np.unique(mobilenet.get_layer("Conv_1").kernel) == 102


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5"])
def test_names_with_slashes_are_found(tmp_path, suffix):
    """Keras's MobileNetV3 calls layers Conv/BatchNorm; a file may hold more than the backbone."""
    original = keras.Sequential(
        [
            keras.layers.Conv2D(4, 1, use_bias=False, name="Conv"),
            keras.layers.BatchNormalization(name="Conv/BatchNorm"),
            keras.layers.Conv2D(6, 1, use_bias=False, name="expanded_conv_1/expand"),
            keras.layers.BatchNormalization(name="expanded_conv_1/expand/BatchNorm"),
            keras.layers.Conv2D(8, 1, name="expanded_conv_1/squeeze_excite/Conv_1"),
            keras.layers.Conv2D(2, 1, name="Logits"),
        ]
    )
    original.build((None, 1, 1, 3))
    for index, weight in enumerate(original.weights):
        weight.assign(tf.fill(weight.shape, float(index)))
    original.save_weights(tmp_path / f"file{suffix}")
    names = [
        *("Conv", "Conv_BN", "expanded_conv_1_expand", "expanded_conv_1_expand_BN"),
        "expanded_conv_1_squeeze_excite_Conv_1",
    ]
    wanted = [
        keras.layers.BatchNormalization(name=name)
        if name.endswith("BN")
        else keras.layers.Conv2D(1, 1, name=name)
        for name in names
    ]
    layers = read_layers(str(tmp_path / f"file{suffix}"), wanted)
    assert layers.keys() == set(names)
    for layer, name in zip(original.layers, names):
        for got, expected in zip(layers[name], layer.get_weights(), strict=True):
            np.testing.assert_array_equal(got, expected, err_msg=name)


@pytest.mark.parametrize(
    ("name", "wanted", "found"),
    [
        ("Conv/BatchNorm/Conv/BatchNorm", ("Conv", "Conv_BN"), "Conv_BN"),
        ("MobilenetV3large/Conv", ("Conv", "Conv_BN"), "Conv"),
        ("expanded_conv_3_expand_bn", ("expanded_conv_3_expand_BN",), "expanded_conv_3_expand_BN"),
        ("expanded_conv_3/squeeze_excite/Conv", ("Conv",), "Conv"),
        (
            "expanded_conv_3/squeeze_excite/Conv",
            ("Conv", "expanded_conv_3_squeeze_excite_Conv"),
            "expanded_conv_3_squeeze_excite_Conv",
        ),
        ("conv2_block1_1_bn", ("conv2_block1_1_conv", "conv2_block1_1_BN"), "conv2_block1_1_BN"),
        ("Logits", ("Conv",), "Logits"),
    ],
)
def test_names_of_files_and_ours(name, wanted, found):
    assert named_as(wanted, name) == found


@pytest.mark.soak
@pytest.mark.parametrize(
    ("backbone", "size", "num_layers"),
    [("mobilenet_v3_large", 320, 108), ("resnet50", 300, 86)],
)
def test_kerass_whole_networks_go_in(backbone, size, num_layers, tmp_path):
    networks = {
        "mobilenet_v3_large": keras.applications.MobileNetV3Large,
        "resnet50": keras.applications.ResNet50,
    }
    original = networks[backbone](input_shape=(224, 224, 3), weights=None, classes=3)
    options = ModelOptions(backbone=backbone, input_size=size)
    model = build(options, AnchorOptions(), 1)
    wanted = backbone_layers(model, BACKBONES[backbone])
    names = [layer.name for layer in wanted]
    for file in ("network.h5", "network.weights.h5"):
        for index, weight in enumerate(original.weights):
            weight.assign(tf.random.stateless_uniform(weight.shape, [index, len(file)]))
        original.save_weights(tmp_path / file)
        report = load(model, tmp_path / file, backbone)
        assert f" {num_layers} layers " in report[0]
        arrays = {named_as(names, layer.name): layer.get_weights() for layer in original.layers}
        arrays = BACKBONES[backbone].weights.adapt_fn(arrays)
        for layer in wanted:
            for got, expected in zip(layer.weights, arrays[layer.name], strict=True):
                np.testing.assert_array_equal(got, expected, err_msg=layer.name)


def test_none_leaves_everything_as_it_is(vgg):
    before = vgg.get_layer("block1_conv1").kernel.numpy()
    assert load(vgg, "none") == ["backbone weights: none; all layers are initialised at random"]
    np.testing.assert_array_equal(vgg.get_layer("block1_conv1").kernel, before)


def test_imagenet_goes_in_by_name_and_says_what_to_fetch_offline(mobilenet, monkeypatch):
    def offline(**arguments):
        assert arguments["weights"] == "imagenet" and arguments["alpha"] == 0.35
        raise Exception("URL fetch failure:\n no route")

    monkeypatch.setattr(keras.applications, "MobileNetV2", offline)
    with pytest.raises(InputError) as caught:
        load(mobilenet, "imagenet", "mobilenet_v2", 0.35)
    assert str(caught.value) == (
        "--backbone_weights=imagenet: Keras cannot download the weights (URL fetch failure: no "
        "route); fetch https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/"
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5 and pass the path "
        "of the file, or pass none"
    )
    kernel = np.full((3, 3, 3, 16), 5, np.float32)

    conv1 = keras.layers.Conv2D(16, 3, use_bias=False, name="Conv1")
    conv1.build((None, None, None, 3))
    conv1.set_weights([kernel])
    others = [layer for layer in mobilenet.layers if layer.name != "Conv1"]
    pretrained = types.SimpleNamespace(layers=[conv1, *others])
    monkeypatch.setattr(keras.applications, "MobileNetV2", lambda **_: pretrained)
    load(mobilenet, "imagenet", "mobilenet_v2", 0.35)
    np.testing.assert_array_equal(mobilenet.get_layer("Conv1").kernel, kernel)


def test_imagenet_has_not_every_width(mobilenet):
    with pytest.raises(
        InputError, match=r"none for mobilenet_v2 with --width=0.4; --width must be "
    ):
        load(mobilenet, "imagenet", "mobilenet_v2", 0.4)


def wrong_file(tmp_path, kind, vgg):
    path = tmp_path / f"{kind}.h5"
    if kind == "text":
        path.write_text("no weights")
    elif kind == "empty":
        h5py.File(path, "w").close()
    elif kind == "missing layer":
        layers = vgg_arrays(vgg)
        del layers["block3_conv2"]
        write_keras2(path, layers)
    elif kind == "shape":
        conv = {"kernel": ((5, 5, 64, 64), 0), "bias": ((64,), 0)}
        write_keras2(path, vgg_arrays(vgg, block1_conv2=conv))
    elif kind == "classifier":
        small = {"kernel": ((10, 4), 0), "bias": ((4,), 0)}
        write_keras2(path, vgg_arrays(vgg, fc1=small, fc2=small))
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("absent", "no such file; must be imagenet, none, or a Keras .h5 or .weights.h5"),
        ("text", "not an HDF5 file; must be a Keras .h5 or .weights.h5"),
        ("empty", "contains no Keras layers; must be a Keras .h5 or .weights.h5"),
        ("missing layer", "has no layer block3_conv2, which the backbone needs"),
        (
            "shape",
            "layer block1_conv2 has [(5, 5, 64, 64), (64,)]; must be [(3, 3, 64, 64), (64,)]",
        ),
        ("classifier", "layer fc1 has (10, 4); must be (25088, 4096)"),
    ],
)
def test_a_file_that_does_not_fit_is_an_error(vgg, tmp_path, kind, message):
    path = wrong_file(tmp_path, kind, vgg)
    with pytest.raises(InputError) as caught:
        load(vgg, path)
    assert str(caught.value) == f"--backbone_weights={path}: {message}"


@pytest.mark.parametrize("signature", [b"TREE", b"SNOD", b"HEAP"])
def test_a_damaged_file_is_one_line(vgg, tmp_path, signature):
    path = write_keras2(tmp_path / "a.h5", vgg_arrays(vgg))
    # Of the lists of names in all groups: HDF5's Format Specification, III.
    damaged = path.read_bytes().replace(signature, b"none")
    path.write_bytes(damaged)
    for read in (load, lambda _, path: weights_choice.backbone_of(str(path))):
        with pytest.raises(InputError, match=r"a\.h5: (is damaged|not an HDF5 file|contains no)"):
            read(vgg, path)


def test_real_vgg16_weights_compute_the_first_block(vgg, real_weights):
    path = real_weights / "vgg16_imagenet_notop.h5"
    load(vgg, path)
    with h5py.File(path) as file:
        kernel, bias = (
            file[f"block1_conv1/block1_conv1/{part}:0"][()] for part in ("kernel", "bias")
        )
    rgb = np.random.default_rng(0).integers(0, 256, (1, 300, 300, 3)).astype(np.float32)
    mean = np.array((123, 117, 104), np.float32)
    bgr = (rgb - mean)[..., ::-1]
    expected = np.einsum("yxi,yxio->o", bgr[0, 10:13, 20:23], kernel) + bias
    features = keras.Model(vgg.input, vgg.get_layer("block1_conv1").output)(rgb - mean)
    np.testing.assert_allclose(features[0, 11, 21], np.maximum(expected, 0), rtol=1e-4, atol=1e-3)


def test_real_mobilenet_v2_weights_go_in_by_name(real_weights):
    path = real_weights / "mobilenet_v2_person_notop.weights.h5"
    model = build(ModelOptions(backbone="mobilenet_v2"), AnchorOptions(), 1)
    load(model, path, "mobilenet_v2")
    with h5py.File(path) as file:
        # The file's numbers say conv2d_13 and batch_normalization_20; its attributes the names.
        assert file["layers/conv2d_13/vars"].attrs["name"] == "block_6_project"
        np.testing.assert_array_equal(
            model.get_layer("block_6_project").kernel, file["layers/conv2d_13/vars/0"]
        )
        norm = model.get_layer("block_6_project_BN")
        for index, weight in enumerate(norm.weights):
            expected = file[f"layers/batch_normalization_20/vars/{index}"]
            np.testing.assert_array_equal(weight, expected, err_msg=weight.name)
        conv = file["layers/conv2d/vars/0"][()]
        gamma, beta, mean, variance = (
            file[f"layers/batch_normalization/vars/{index}"][()] for index in range(4)
        )
    rgb = np.random.default_rng(0).integers(0, 256, (1, 300, 300, 3)).astype(np.float32)
    # Conv1's cell (10, 20): Keras pads an even input only below and right.
    window = rgb[0, 20:23, 40:43] / 127.5 - 1
    expected = np.einsum("yxi,yxio->o", window, conv)
    expected = np.clip((expected - mean) / np.sqrt(variance + 1e-3) * gamma + beta, 0, 6)
    inputs = rgb - np.array((123, 117, 104), np.float32)
    features = keras.Model(model.input, model.get_layer("Conv1_relu").output)(inputs)
    np.testing.assert_allclose(features[0, 10, 20], expected, rtol=1e-3, atol=1e-4)
