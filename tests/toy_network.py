"""A network that is built and traced in a second, for tests of all that is not about networks.

Tracing MobileNetV2's 73 normalised layers is most of a short run: 22 s of CPU time instead of 8.
In tests ``--width=0.1`` is this toy, a layer for each map; all other widths are the real ones.
"""

from ssd_tfrecord.model import ssd
from ssd_tfrecord.model.backbones import ConvBlocks, mobilenet_v2
from ssd_tfrecord.model.keras import keras

WIDTH = 0.1


def install() -> None:
    """From now on ``ssd.build`` takes the toy for ``mobilenet_v2`` of width 0.1."""
    ssd.mobilenet_v2 = _mobilenet_v2


def _mobilenet_v2(width, *, batch_norm, seed):
    build = _toy if width == WIDTH else mobilenet_v2
    return build(width, batch_norm=batch_norm, seed=seed)


def _toy(width, *, batch_norm, seed):
    """(input, six maps of SSD300's sides and of 8 channels)."""
    image = keras.Input((300, 300, 3), name="image")
    blocks = ConvBlocks(batch_norm=batch_norm, seed=seed)
    # Of 8 x 8 pixels one is looked at: enough to tell colours.
    x = keras.layers.MaxPooling2D(1, strides=8, padding="same", name="thinned")(image)
    x = keras.layers.Rescaling(1 / 127.5, name="rescaling")(x)
    maps = [blocks.pointwise(x, "toy_38", 8)]
    for side, padding in ((19, "same"), (10, "same"), (5, "same"), (3, "same"), (1, "valid")):
        maps.append(blocks.depthwise(maps[-1], f"toy_{side}", strides=2, padding=padding))
    return image, maps
