"""The feature extractors: a new Keras input [B, S, S, 3] and the maps that the heads look at.

The input is RGB minus (123, 117, 104); the sides of the maps are ``geometry.anchors.map_sizes``.
Layers carry the names of keras.applications, by which ``model.weights`` finds them in a file; the
added ones those of SSD's Caffe code.
"""

from ssd_tfrecord.model.keras import keras
from ssd_tfrecord.model.layers import ChannelL2Norm, batch_norm_layer, xavier
from ssd_tfrecord.pixels.color import MEAN_RGB

_VGG16_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))

# (1x1 channels, channels, kernel, stride) of conv6, conv7, …: the authors' ssd_pascal.py.
_VGG16_EXTRAS = {
    300: ((256, 512, 3, 2), (128, 256, 3, 2), (128, 256, 3, 1), (128, 256, 3, 1)),
    512: ((256, 512, 3, 2), (128, 256, 3, 2), (128, 256, 3, 2), (128, 256, 3, 2), (128, 256, 4, 1)),
}


def vgg16(input_size: int, *, seed: int):
    """VGG-16 as SSD300 or SSD512 extends it: (input, six or seven maps).

    Its own convolutions start with Caffe's Xavier like the added ones: that halves the variance
    in each of the 13, which suits an input in units of ±128.
    """
    image = keras.Input((input_size, input_size, 3), name="image")
    x = image
    for block, (num_convs, filters) in enumerate(_VGG16_BLOCKS, start=1):
        for index in range(1, num_convs + 1):
            x = _conv(x, f"block{block}_conv{index}", filters, 3, seed=seed)
        if block == 4:
            conv4_3 = ChannelL2Norm(name="conv4_3_norm")(x)
        # "same" rounds pool3 up as Caffe does (75 -> 38): the missing row is added at the end.
        pool = (3, 1) if block == 5 else (2, 2)
        x = keras.layers.MaxPooling2D(*pool, padding="same", name=f"block{block}_pool")(x)
    x = _conv(x, "fc6", 1024, 3, seed=seed, dilation_rate=6)
    x = _conv(x, "fc7", 1024, 1, seed=seed)
    maps = [conv4_3, x]
    for number, (squeezed, filters, kernel, strides) in enumerate(_VGG16_EXTRAS[input_size], 6):
        x = _conv(x, f"conv{number}_1", squeezed, 1, seed=seed)
        if strides == 2 or kernel == 4:
            # Caffe pads both sides; "same" pads an even map only below and right.
            x = keras.layers.ZeroPadding2D(1, name=f"conv{number}_2_pad")(x)
        shape = {"strides": strides, "padding": "valid"}
        x = _conv(x, f"conv{number}_2", filters, kernel, seed=seed, **shape)
        maps.append(x)
    return image, maps


def _conv(x, name, filters, kernel, *, seed, padding="same", **shape):
    return keras.layers.Conv2D(
        filters,
        kernel,
        padding=padding,
        activation="relu",
        kernel_initializer=xavier(seed, name),
        name=name,
        **shape,
    )(x)


def mobilenet_v2(width: float, *, batch_norm: str, seed: int):
    """MobileNetV2 for an input of 300: (input, six maps of SSD300's sides).

    38, 19 and 10 come from its body, SSDLite's two taps (Sandler et al., arXiv 1801.04381,
    section 6.2) after a finer one; 5, 3 and 1 from added layers.
    """
    body = _mobilenet_v2_body(width, batch_norm=batch_norm, seed=seed)
    taps = ("block_6_expand_relu", "block_13_expand_relu", "out_relu")
    maps = [body.get_layer(name).output for name in taps]
    block = ConvBlocks(batch_norm=batch_norm, seed=seed)
    for number, filters, shape in (
        (1, 512, {"strides": 2, "padding": "same"}),
        (2, 256, {"strides": 2, "padding": "same"}),
        (3, 256, {"strides": 1, "padding": "valid"}),
    ):
        channels = max(32, round(filters * width / 16) * 16)
        x = block.pointwise(maps[-1], f"extra_{number}_squeeze", channels // 2)
        x = block.depthwise(x, f"extra_{number}_depthwise", **shape)
        maps.append(block.pointwise(x, f"extra_{number}_expand", channels))
    return body.input, maps


def _mobilenet_v2_body(width, *, batch_norm, seed):
    image = keras.Input((300, 300, 3), name="image")
    # From RGB minus mean to the [-1, 1] that MobileNetV2's published weights take.
    offset = [mean / 127.5 - 1 for mean in MEAN_RGB]
    rescaling = keras.layers.Rescaling(1 / 127.5, offset, dtype="float32", name="rescaling")
    body = keras.applications.MobileNetV2(
        input_tensor=rescaling(image),
        input_shape=(300, 300, 3),
        alpha=width,
        include_top=False,
        weights=None,
    )

    def clone(layer):
        config = layer.get_config()
        if isinstance(layer, keras.layers.BatchNormalization):
            return batch_norm_layer(layer.name, batch_norm)
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            config["depthwise_initializer"] = xavier(seed, layer.name)
        elif isinstance(layer, keras.layers.Conv2D):
            config["kernel_initializer"] = xavier(seed, layer.name)
        return type(layer).from_config(config)

    return keras.models.clone_model(body, clone_function=clone)


class ConvBlocks:
    """Convolution, batch normalisation and ReLU6, as MobileNetV2 is made of."""

    def __init__(self, *, batch_norm: str, seed: int):
        self._batch_norm = batch_norm
        self._seed = seed

    def pointwise(self, x, name: str, filters: int):
        """A 1x1 convolution to ``filters`` channels."""
        conv = keras.layers.Conv2D(
            filters, 1, use_bias=False, kernel_initializer=xavier(self._seed, name), name=name
        )
        return self._finish(conv(x), name)

    def depthwise(self, x, name: str, *, strides: int = 1, padding: str = "same"):
        """A 3x3 convolution of each channel by itself."""
        conv = keras.layers.DepthwiseConv2D(
            3,
            strides=strides,
            padding=padding,
            use_bias=False,
            depthwise_initializer=xavier(self._seed, name),
            name=name,
        )
        return self._finish(conv(x), name)

    def _finish(self, x, name):
        x = batch_norm_layer(f"{name}_BN", self._batch_norm)(x)
        return keras.layers.ReLU(6.0, name=f"{name}_relu")(x)
