"""ResNet-50 as NVIDIA's SSD extends it (DeepLearningExamples, PyTorch/Detection/SSD, SSD300 v1.1).

Layers of the body are named as in keras.applications, with "BN" for "bn", by which weights are
found in a file; of the added layers, conv6 to conv10 or conv11, as in VGG-16's SSD.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from ssd_tfrecord.backbones.backbone import (
    SSD300,
    SSD512,
    Arrays,
    Backbone,
    Cost,
    FeatureMaps,
    PublishedWeights,
)

if TYPE_CHECKING:
    import tensorflow as tf

    from ssd_tfrecord.backbones.conv_blocks import ConvBlocks, Padding
    from ssd_tfrecord.keras import keras

# (number of residual blocks, channels of their 3x3 convolutions, stride) of conv2 to conv4 (He et
# al., arXiv 1512.03385, table 1). NVIDIA's stride of 1 in conv4 leaves a map of stride 8, from
# which the first head reads; conv5 is left out.
_STAGES = ((3, 64, 1), (4, 128, 2), (6, 256, 1))

# (1x1 channels, channels, stride of the 3x3 convolution) of conv6, conv7, …: for 300 NVIDIA's
# model.py, where the last two are not padded (5 -> 3 -> 1 cells); for 512, as VGG-16's SSD.
_EXTRAS = {
    300: ((256, 512, 2), (256, 512, 2), (128, 256, 2), (128, 256, 1), (128, 256, 1)),
    512: ((256, 512, 2), (256, 512, 2), *((128, 256, 2),) * 4),
}

# PyTorch's, which NVIDIA leaves as it is, and Keras's ResNet-50's.
_MOMENTUM, _EPSILON = 0.9, 1.001e-5


def build(
    maps: FeatureMaps, *, batch_norm: str, seed: int, **_: object
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """ResNet-50 up to conv4, and added layers: (input, six or seven maps).

    Where conv3 halves its map, the first 1x1 convolution does so, as in Keras, for which the
    weights were trained; torchvision's network, and so NVIDIA's, leaves it to the 3x3 convolution.

    Args:
        maps: SSD300's or SSD512's.
        batch_norm: ``--batch_norm``.
        seed: of the initial weights.
        **_: options that ResNet-50 does not have.
    """
    from ssd_tfrecord.backbones.conv_blocks import ConvBlocks
    from ssd_tfrecord.keras import keras

    image = keras.Input((maps.input_size, maps.input_size, 3), name="image")
    blocks = ConvBlocks(batch_norm=batch_norm, seed=seed, momentum=_MOMENTUM, epsilon=_EPSILON)
    conv = functools.partial(blocks.conv, activation="relu")
    x = conv(image, "conv1_conv", 64, 7, strides=2, padding="symmetric")
    # The pixels that pad it are 0, which no activation is below.
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = keras.layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for stage, (num_blocks, channels, strides) in enumerate(_STAGES, start=2):
        x = _residual(blocks, x, f"conv{stage}_block1", channels, strides=strides, projects=True)
        for number in range(2, num_blocks + 1):
            x = _residual(blocks, x, f"conv{stage}_block{number}", channels)
    features = [x]
    for number, (squeezed, filters, strides) in enumerate(_EXTRAS[maps.input_size], start=6):
        x = conv(features[-1], f"conv{number}_1", squeezed, 1)
        padding: Padding = "symmetric" if strides == 2 else "valid"
        features.append(conv(x, f"conv{number}_2", filters, 3, strides=strides, padding=padding))
    return image, features


def _residual(
    blocks: ConvBlocks,
    x: tf.Tensor,
    name: str,
    channels: int,
    *,
    strides: int = 1,
    projects: bool = False,
) -> tf.Tensor:
    """A bottleneck of three convolutions beside a shortcut, which may have one, too."""
    from ssd_tfrecord.keras import keras

    shortcut = x
    if projects:
        shortcut = blocks.pointwise(
            x, f"{name}_0_conv", 4 * channels, strides=strides, activation="none"
        )
    x = blocks.pointwise(x, f"{name}_1_conv", channels, strides=strides, activation="relu")
    x = blocks.conv(x, f"{name}_2_conv", channels, 3, activation="relu")
    x = blocks.pointwise(x, f"{name}_3_conv", 4 * channels, activation="none")
    x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
    return keras.layers.ReLU(name=f"{name}_out")(x)


def adapt(arrays: Arrays) -> Arrays:
    """Converts Keras's ResNet-50 to ours: BGR to RGB, and convolutions without biases.

    Keras's convolutions have biases, torchvision's do not. A bias before batch normalisation is
    the same as a moving mean that is smaller by it.
    """
    adapted = dict(arrays)
    for name in arrays:
        norm = f"{name.removesuffix('_conv')}_BN"
        if not name.endswith("_conv") or norm not in arrays:
            continue
        kernel, *biases = arrays[name]
        gamma, beta, mean, variance = arrays[norm]
        if name == "conv1_conv":
            # Keras's weights were converted from Caffe's, whose images are BGR.
            kernel = kernel[:, :, ::-1]
        adapted[name] = [kernel]
        adapted[norm] = [gamma, beta, mean - sum(biases), variance]
    return adapted


def _url(width: float) -> str:
    return (
        "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
        "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    )


def _download(width: float) -> keras.Model:
    from ssd_tfrecord.keras import keras

    return keras.applications.ResNet50(weights="imagenet", include_top=False)


RESNET50 = Backbone(
    name="resnet50",
    build_fn=build,
    inputs={300: SSD300, 512: SSD512},
    layers=("conv1_", "conv2_", "conv3_", "conv4_"),
    blocks=r"conv\d_block\d+|conv\d+(?=_)",
    head="conv",
    has_batch_norm=True,
    weights=PublishedWeights(url_fn=_url, keras_fn=_download, adapt_fn=adapt),
    purpose="NVIDIA's SSD, with half the arithmetic of vgg16 and the same published COCO AP",
    costs={300: Cost(15.43, 16.0, 1000, 330), 512: Cost(16.10, 45.5, 3000, 900)},
)
