"""VGG-16 as SSD extends it (Liu et al., SSD, arXiv 1512.02325; the authors' ssd_pascal.py).

Layers are named as in keras.applications, by which weights are found in a file; the added layers
have the names of SSD's Caffe code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ssd_tfrecord.backbones.backbone import (
    SSD300,
    SSD512,
    Arrays,
    Backbone,
    Cost,
    FeatureMaps,
    PublishedWeights,
)
from ssd_tfrecord.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf

    from ssd_tfrecord.keras import keras

# (convolutions, channels) of block1 to block5.
_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))

# (1x1 channels, channels, kernel, stride) of conv6, conv7, …, from the authors' ssd_pascal.py.
_EXTRAS = {
    300: ((256, 512, 3, 2), (128, 256, 3, 2), (128, 256, 3, 1), (128, 256, 3, 1)),
    512: ((256, 512, 3, 2), (128, 256, 3, 2), (128, 256, 3, 2), (128, 256, 3, 2), (128, 256, 4, 1)),
}

# The layers of the classifier of Keras's VGG-16 from which fc6 and fc7 are made.
CLASSIFIER = ("fc1", "fc2")
_FC1_SHAPE = (7 * 7 * 512, 4096)


def build(maps: FeatureMaps, *, seed: int, **_: object) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """VGG-16 as extended by SSD300 or SSD512: (input, six or seven maps).

    Its own convolutions are initialised with Caffe's Xavier, like the added ones. That halves the
    variance in each of the 13, which suits an input in units of ±128.

    Args:
        maps: SSD300's or SSD512's.
        seed: of the initial weights.
        **_: options that VGG-16 does not have.
    """
    from ssd_tfrecord.backbones.layers import ChannelL2Norm
    from ssd_tfrecord.keras import keras

    image = keras.Input((maps.input_size, maps.input_size, 3), name="image")
    x = image
    for block, (num_convs, filters) in enumerate(_BLOCKS, start=1):
        for index in range(1, num_convs + 1):
            x = _conv(x, f"block{block}_conv{index}", filters, 3, seed=seed)
        if block == 4:
            # Its features are on another scale than those of the other maps (SSD, section 3.1).
            conv4_3 = ChannelL2Norm(name="conv4_3_norm")(x)
        # "same" rounds pool3 up as Caffe does (75 -> 38), and pads the missing row at the end.
        # pool5 keeps the resolution, so that fc7 is a map of stride 16.
        pool = (3, 1) if block == 5 else (2, 2)
        x = keras.layers.MaxPooling2D(*pool, padding="same", name=f"block{block}_pool")(x)
    # 3 for every third pixel of fc1's window, times 2 for pool5's stride of 1 instead of 2.
    x = _conv(x, "fc6", 1024, 3, seed=seed, dilation_rate=6)
    x = _conv(x, "fc7", 1024, 1, seed=seed)
    features = [conv4_3, x]
    for number, (squeezed, filters, kernel, strides) in enumerate(_EXTRAS[maps.input_size], 6):
        x = _conv(x, f"conv{number}_1", squeezed, 1, seed=seed)
        if strides == 2 or kernel == 4:
            # Caffe pads all sides; "same" would pad an even map only at the bottom and right.
            x = keras.layers.ZeroPadding2D(1, name=f"conv{number}_2_pad")(x)
        x = _conv(
            x, f"conv{number}_2", filters, kernel, seed=seed, strides=strides, padding="valid"
        )
        features.append(x)
    return image, features


def subsample_classifier(arrays: Arrays) -> Arrays:
    """Converts the classifier's fc1 and fc2 to the convolutions fc6 and fc7 ("fc-reduced").

    Every 4th channel and every 3rd pixel of the 7x7 window is kept; fc6's dilation of 6 puts the
    pixels back in place. Source: Chen et al., DeepLab, arXiv 1412.7062, section 4.1.

    Args:
        arrays: ``fc1`` kernel [49 * C, N] and bias [N]; ``fc2`` kernel [N, M] and bias [M].

    Returns:
        ``fc6`` kernel [3, 3, C, N / 4] and bias [N / 4], ``fc7`` kernel [1, 1, N / 4, M / 4] and
        bias [M / 4].
    """
    (fc1_kernel, fc1_bias), (fc2_kernel, fc2_bias) = (arrays[name] for name in CLASSIFIER)
    # fc1 reads the flattened map: rows, columns, then channels.
    fc6_kernel = fc1_kernel.reshape(7, 7, -1, fc1_kernel.shape[1])[::3, ::3, :, ::4]
    fc7_kernel = fc2_kernel[::4, ::4][None, None]
    return {"fc6": [fc6_kernel, fc1_bias[::4]], "fc7": [fc7_kernel, fc2_bias[::4]]}


def adapt(arrays: Arrays) -> Arrays:
    """Converts Keras's VGG-16 to ours: BGR to RGB, and the classifier, if any, to convolutions.

    Raises:
        InputError: the classifier is not VGG-16's; the message does not name the file.
    """
    arrays = dict(arrays)
    if "block1_conv1" in arrays:
        # Keras's weights were converted from Caffe's, whose images are BGR.
        kernel, *bias = arrays["block1_conv1"]
        arrays["block1_conv1"] = [kernel[:, :, ::-1], *bias]
    if all(name in arrays for name in CLASSIFIER):
        shape = arrays["fc1"][0].shape
        if shape != _FC1_SHAPE:
            raise InputError(f"layer fc1 has {shape}; must be {_FC1_SHAPE}")
        arrays |= subsample_classifier(arrays)
    return arrays


def _url(width: float) -> str:
    return (
        "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
        "vgg16_weights_tf_dim_ordering_tf_kernels.h5"
    )


def _download(width: float) -> keras.Model:
    from ssd_tfrecord.keras import keras

    return keras.applications.VGG16(weights="imagenet")


def _conv(
    x: tf.Tensor,
    name: str,
    filters: int,
    kernel: int,
    *,
    seed: int,
    padding: str = "same",
    **shape: Any,
) -> tf.Tensor:
    from ssd_tfrecord.backbones.cpu_convolution import Conv3x3
    from ssd_tfrecord.backbones.layers import xavier
    from ssd_tfrecord.keras import keras

    is_3x3 = (kernel, padding, shape.get("strides", 1)) == (3, "same", 1)
    return (Conv3x3 if is_3x3 else keras.layers.Conv2D)(
        filters,
        kernel,
        padding=padding,
        activation="relu",
        kernel_initializer=xavier(seed, name),
        name=name,
        **shape,
    )(x)


VGG16 = Backbone(
    name="vgg16",
    build_fn=build,
    inputs={300: SSD300, 512: SSD512},
    layers=("block",),
    blocks=r"block\d+|conv\d+(?=_[12])",
    head="conv",
    has_batch_norm=False,
    weights=PublishedWeights(
        url_fn=_url, keras_fn=_download, classifier=CLASSIFIER, adapt_fn=adapt
    ),
    purpose="the published SSD, which results are compared with",
    costs={300: Cost(26.29, 31.4, 1900, 580), 512: Cost(27.19, 90.2, 5200, 1700)},
)
