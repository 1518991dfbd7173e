"""Pretrained weights of a backbone, put into a network."""

import numpy as np

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.model.keras import keras
from ssd_tfrecord.model.summary import block_of
from ssd_tfrecord.model.weight_files import VGG16_CLASSIFIER, read_layers
from ssd_tfrecord.options import ModelOptions

_DOWNLOADS = "https://storage.googleapis.com/tensorflow/keras-applications"
_MOBILENET_V2_WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
_VGG16_FC1_SHAPE = (7 * 7 * 512, 4096)


def load_backbone(model: keras.Model, options: ModelOptions) -> list[str]:
    """Puts ``--backbone_weights`` into a network made by ``ssd.build`` and says what it did.

    VGG-16's fc6 and fc7 are made from the classifier where the file has one. The rest of the
    network stays as it is.

    Returns:
      Lines for the start of a run: what was loaded, what starts fresh.

    Raises:
      InputError: the weights cannot be had, or a layer is missing or of another shape.
    """
    source = options.backbone_weights
    if source == "none":
        return ["backbone weights: none, every layer starts fresh"]
    wanted = backbone_layers(model, options.backbone)
    arrays = _download(options) if source == "imagenet" else read_layers(source, wanted)
    if options.backbone == "vgg16":
        arrays = _for_ssd(arrays, f"--backbone_weights={source}")
        if "fc6" in arrays:
            wanted = [*wanted, model.get_layer("fc6"), model.get_layer("fc7")]
    for layer in wanted:
        _assign(layer, arrays, source)
    loaded = {layer.name for layer in wanted}
    fresh = [layer.name for layer in model.layers if layer.weights and layer.name not in loaded]
    blocks = dict.fromkeys(map(block_of, fresh))
    return [
        f"backbone weights: {len(loaded)} layers from {source}, {wanted[0].name} to "
        f"{wanted[-1].name}",
        f"start fresh: {', '.join(blocks)}",
    ]


def backbone_layers(model: keras.Model, backbone: str) -> list[keras.layers.Layer]:
    """The layers with weights that ``backbone`` has in keras.applications, without classifier."""
    prefixes = {
        "vgg16": ("block",),
        "mobilenet_v2": ("block_", "expanded_conv", "Conv", "bn_Conv1"),
    }[backbone]
    return [layer for layer in model.layers if layer.weights and layer.name.startswith(prefixes)]


def subsample_classifier(arrays: dict[str, list[np.ndarray]]) -> dict[str, list[np.ndarray]]:
    """fc6 and fc7 as convolutions from the classifier's fc1 and fc2: "fc-reduced".

    Every 4th channel, and every 3rd pixel of the 7x7 window, which fc6's dilation of 6 puts back
    in place. Source: Chen et al., DeepLab, arXiv 1412.7062, section 4.1.

    Args:
      arrays: ``fc1`` kernel [49 * C, N] and bias [N]; ``fc2`` kernel [N, M] and bias [M].

    Returns:
      ``fc6`` kernel [3, 3, C, N / 4] and bias [N / 4], ``fc7`` kernel [1, 1, N / 4, M / 4] and
      bias [M / 4].
    """
    (fc1_kernel, fc1_bias), (fc2_kernel, fc2_bias) = (arrays[name] for name in VGG16_CLASSIFIER)
    fc6_kernel = fc1_kernel.reshape(7, 7, -1, fc1_kernel.shape[1])[::3, ::3, :, ::4]
    fc7_kernel = fc2_kernel[::4, ::4][None, None]
    return {"fc6": [fc6_kernel, fc1_bias[::4]], "fc7": [fc7_kernel, fc2_bias[::4]]}


def _for_ssd(arrays, what):
    """Keras's VGG-16 as ours: RGB instead of BGR, and the classifier as convolutions."""
    arrays = dict(arrays)
    if "block1_conv1" in arrays:
        kernel, *bias = arrays["block1_conv1"]
        arrays["block1_conv1"] = [kernel[:, :, ::-1], *bias]
    if all(name in arrays for name in VGG16_CLASSIFIER):
        shape = arrays["fc1"][0].shape
        if shape != _VGG16_FC1_SHAPE:
            raise InputError(f"{what}: layer fc1 has {shape}; must be {_VGG16_FC1_SHAPE}")
        arrays |= subsample_classifier(arrays)
    return arrays


def _assign(layer, arrays, source):
    what = f"--backbone_weights={source}"
    if layer.name not in arrays:
        raise InputError(f"{what}: has no layer {layer.name}, which the backbone needs")
    got = [array.shape for array in arrays[layer.name]]
    expected = [tuple(weight.shape) for weight in layer.weights]
    if got != expected:
        raise InputError(f"{what}: layer {layer.name} has {got}; must be {expected}")
    layer.set_weights(arrays[layer.name])


def _download(options):
    if options.backbone == "vgg16":
        file = f"{_DOWNLOADS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels.h5"
        make, arguments = keras.applications.VGG16, {}
    else:
        if options.width not in _MOBILENET_V2_WIDTHS:
            raise InputError(
                f"--backbone_weights=imagenet: there is no mobilenet_v2 of --width="
                f"{options.width:g}; must be one of {', '.join(map(str, _MOBILENET_V2_WIDTHS))}"
            )
        kernels = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{options.width}_224_no_top.h5"
        file = f"{_DOWNLOADS}/mobilenet_v2/{kernels}"
        make = keras.applications.MobileNetV2
        arguments = {
            "input_shape": (224, 224, 3),
            "alpha": options.width,
            "include_top": False,
        }
    try:
        pretrained = make(weights="imagenet", **arguments)
    except Exception as error:  # Keras raises a bare Exception where a download fails.
        raise InputError(
            f"--backbone_weights=imagenet: Keras cannot download it "
            f"({' '.join(str(error).split())}); fetch {file} and pass its path, or pass none"
        ) from None
    return {layer.name: layer.get_weights() for layer in pretrained.layers}
