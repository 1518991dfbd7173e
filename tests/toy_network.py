"""A network that is built and traced in a second, for tests of all that is not about networks.

Tracing MobileNetV2's 73 normalised layers is most of a short run: 22 s of CPU time instead of 8.
``--backbone=toy`` has a layer for each map, of SSD300's maps or of two for an input of 64 pixels.
"""

from ssd_tfrecord.backbones import BACKBONES, Backbone, FeatureMaps
from ssd_tfrecord.backbones.backbone import SSD300

SSD64 = FeatureMaps(
    input_size=64,
    sides=(8, 4),
    steps=(8, 16),
    ratios=((2,), (2, 3)),
    sizes={"voc": (13, 32, 58)},
)


def install() -> None:
    """Makes ``toy`` a backbone, in the one place where they are named."""
    BACKBONES["toy"] = Backbone(
        name="toy",
        build_fn=build,
        inputs={300: SSD300, 64: SSD64},
        layers=("toy_",),
        blocks=r"toy_\d+",
        head="separable",
        has_batch_norm=True,
    )


def build(maps, *, width, batch_norm, seed):
    """(input, maps of 8 channels)."""
    from ssd_tfrecord.backbones.conv_blocks import ConvBlocks
    from ssd_tfrecord.keras import keras

    image = keras.Input((maps.input_size, maps.input_size, 3), name="image")
    blocks = ConvBlocks(batch_norm=batch_norm, seed=seed)
    # Of 8 x 8 pixels one is looked at: enough to tell colours.
    x = keras.layers.MaxPooling2D(1, strides=8, padding="same", name="thinned")(image)
    x = keras.layers.Rescaling(1 / 127.5, name="rescaling")(x)
    first, *others = maps.sides
    features = [blocks.pointwise(x, f"toy_{first}", 8)]
    for side in others:
        padding = "same" if side > 1 else "valid"
        features.append(blocks.depthwise(features[-1], f"toy_{side}", strides=2, padding=padding))
    return image, features
