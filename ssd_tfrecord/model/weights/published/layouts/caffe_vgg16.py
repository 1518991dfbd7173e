"""The layout of the authors' Caffe models, and that of ssd_keras, which kept their names.

Sources: examples/ssd/ssd_pascal.py of weiliu89/caffe, branch ssd; models/keras_ssd300.py and
keras_ssd512.py of pierluigiferrari/ssd_keras.
"""

import dataclasses

from ssd_tfrecord.model.weights.published.layouts import vgg16_layers
from ssd_tfrecord.model.weights.published.layouts.layer_sources import FileEntries, FoundNetwork
from ssd_tfrecord.model.weights.published.layouts.vgg16_layers import Vgg16Facts, Vgg16Names
from ssd_tfrecord.options import CAFFE

# Names that only these layouts have: of a blob of Caffe, and of an array of Keras.
MARKER = "conv4_3_norm_mbox_loc/0"
KERAS_MARKER = "conv4_3_norm_mbox_loc/kernel"

_MAPS = ("conv4_3_norm", "fc7", *(f"conv{number}_2" for number in range(6, 11)))
# ssd_keras's README; sizes of SSD512 are not truncated there.
_KERAS_512 = {
    "voc": "0.07,0.15,0.3,0.45,0.6,0.75,0.9,1.05",
    "coco": "0.04,0.1,0.26,0.42,0.58,0.74,0.9,1.06",
}


def _blob(layer: str, kind: str) -> str:
    return f"{layer}/1" if kind == "bias" else f"{layer}/0"


def _keras_array(layer: str, kind: str) -> str:
    return f"{layer}/gamma" if kind == "scale" else f"{layer}/{kind}"


NAMES = Vgg16Names(
    layers={
        **{
            f"block{block}_conv{index}": f"conv{block}_{index}"
            for block, count in enumerate((2, 2, 3, 3, 3), start=1)
            for index in range(1, count + 1)
        },
        **{name: name for name in ("fc6", "fc7", vgg16_layers.NORM)},
        **{
            f"conv{number}_{index}": f"conv{number}_{index}"
            for number in range(6, 11)
            for index in (1, 2)
        },
    },
    logits=[f"{name}_mbox_conf" for name in _MAPS],
    offsets=[f"{name}_mbox_loc" for name in _MAPS],
    array_fn=_blob,
    bgr=True,
)
KERAS_NAMES = dataclasses.replace(NAMES, array_fn=_keras_array, height_first=True)


def find(entries: FileEntries) -> FoundNetwork:
    """The network in a .caffemodel.

    Args:
        entries: of the file; ``MARKER`` is among them.

    Raises:
        InputError: its heads are not those of such a network.
    """
    facts = vgg16_layers.facts_of(NAMES, entries, "caffe SSD")
    title = f"caffe SSD_{facts.input_size}x{facts.input_size}"
    return _network(title, NAMES, facts, vgg16_layers.scales_by_classes(facts))


def find_keras(entries: FileEntries) -> FoundNetwork:
    """The network in an .h5 of ssd_keras.

    Args:
        entries: of the file; ``KERAS_MARKER`` is among them.

    Raises:
        InputError: its heads are not those of such a network.
    """
    facts = vgg16_layers.facts_of(KERAS_NAMES, entries, "ssd_keras")
    scales = vgg16_layers.scales_by_classes(facts)
    if facts.input_size == 512:
        scales = _KERAS_512[scales]
    return _network(f"ssd_keras ssd{facts.input_size}", KERAS_NAMES, facts, scales)


def _network(title: str, names: Vgg16Names, facts: Vgg16Facts, scales: str) -> FoundNetwork:
    return FoundNetwork(
        title=title,
        backbone="vgg16",
        input_size=facts.input_size,
        anchor_scales=scales,
        aspect_ratios=facts.aspect_ratios,
        anchor_variant=CAFFE,
        depth=facts.depth,
        sources=tuple(vgg16_layers.sources(names, facts)),
    )
