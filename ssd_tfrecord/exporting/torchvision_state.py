"""--format=torchvision: the weights as a state dict that torchvision's own model loads."""

import dataclasses
import json
import pathlib
import struct
from collections.abc import Mapping

import numpy as np

import ssd_tfrecord
from ssd_tfrecord.backbones import FeatureMaps
from ssd_tfrecord.config import ExportConfig
from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.detector import Detector
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting.check_set import CheckImage
from ssd_tfrecord.exporting.export_formats import FILES
from ssd_tfrecord.exporting.exportable import Exportable
from ssd_tfrecord.exporting.exported_file import ExportedFile, Runtime
from ssd_tfrecord.geometry.anchors import anchor_boxes, anchors_per_cell
from ssd_tfrecord.model.weights.published.layouts import (
    layer_sources,
    torchvision_ssdlite,
    torchvision_vgg16,
)
from ssd_tfrecord.model.weights.published.layouts.layer_sources import LayerSource
from ssd_tfrecord.model.weights.published.published_model import read_published
from ssd_tfrecord.model.weights.published.published_network import network_of
from ssd_tfrecord.options import CAFFE, TORCHVISION, AnchorOptions, DetectionOptions

KIND = "torchvision"
(FILE,) = FILES[KIND]

# {(--backbone, --input_size): what torchvision calls the model, its --anchor_scales, whether its
# tail is reduced}.
_MODELS = {
    ("vgg16", 300): ("ssd300_vgg16", "coco", False),
    ("mobilenet_v3_large_reduced", 320): ("ssdlite320_mobilenet_v3_large", "ssdlite", True),
    ("mobilenet_v3_large", 320): ("ssdlite320_mobilenet_v3_large", "ssdlite", False),
}
# torchvision builds the tail that is not reduced only beside a backbone of ImageNet's.
_WEIGHTS_BACKBONE = {False: "MobileNet_V3_Large_Weights.IMAGENET1K_V1", True: "None"}


def export(model: Exportable, folder: pathlib.Path, config: ExportConfig) -> list[ExportedFile]:
    """Writes ``model.safetensors``: torchvision's names, shapes and order of channels.

    Args:
        model: to export.
        folder: to write into.
        config: of the export.

    Raises:
        InputError: torchvision has no such model.
    """
    name, scales, reduced = _counterpart(model)
    published = AnchorOptions(anchor_scales=scales, anchor_variant=TORCHVISION)
    state = layer_sources.write_layers(
        _sources(model, name, reduced),
        {layer.name: layer.get_weights() for layer in model.model.layers if layer.weights},
    )
    path = folder / FILE
    _write(path, state, _metadata(model, name))
    file = ExportedFile(
        name=FILE,
        kind=KIND,
        precision="float32",
        path=path,
        open_fn=open_file,
        notes=_notes(model, name, published, reduced),
        facts={"model": name},
    )
    return [file]


def open_file(path: pathlib.Path) -> Runtime:
    """Opens an exported file; its metadata say all that is needed.

    Raises:
        InputError: it is damaged.
    """
    return _ReadBack(path)


class _ReadBack:
    """The file, read as ``--init_checkpoint`` reads torchvision's own, and run as our network.

    Torchvision itself is none of our requirements.
    """

    title = f"ssd_tfrecord {ssd_tfrecord.__version__}, read back"

    def __init__(self, path: pathlib.Path) -> None:
        published = read_published(path)
        anchors = anchor_boxes(published.anchor_options, published.model_options.maps)
        self._detector = Detector(
            network_of(published),
            anchors,
            published.class_names,
            _thresholds(path, published.metadata),
            original_ids=published.original_ids,
        )

    def detect(self, image: CheckImage) -> Detections:
        """The detections of one image."""
        return self._detector.detect_prepared([image.prepared])[0]

    def run(self, image: CheckImage) -> None:
        """Runs the network and its suppression on the image."""
        self._detector.detect_prepared([image.prepared])


def _counterpart(model: Exportable) -> tuple[str, str, bool]:
    options = model.config.model
    found = _MODELS.get((options.backbone, options.input_size))
    if found is None or options.width != 1.0:
        pairs = ", ".join(f"{backbone} at {size}" for backbone, size in _MODELS)
        raise InputError(
            f"--format=torchvision: torchvision has no SSD on {options.backbone} at "
            f"{options.input_size} with --width={options.width:g}; must be one of {pairs}, with "
            "--width=1"
        )
    ratios = model.config.anchors.ratios()
    if ratios is not None and ratios != options.maps.ratios:
        raise InputError(
            f"--format=torchvision: the heads of torchvision's {found[0]} are for the published "
            f"aspect ratios; the run has --aspect_ratios={model.config.anchors.aspect_ratios}"
        )
    return found


def _sources(model: Exportable, name: str, reduced: bool) -> list[LayerSource]:
    depth = model.num_classes + 1
    if name == "ssd300_vgg16":
        anchors = anchors_per_cell(model.config.anchors, model.config.model.maps)
        return torchvision_vgg16.sources(anchors, depth)
    return list(torchvision_ssdlite.sources(depth, reduced=reduced))


def _metadata(model: Exportable, name: str) -> dict[str, str]:
    """What the file says of itself; ``read_published`` reads it."""
    pairs = zip(model.class_names, model.original_ids)
    anchors = model.config.anchors
    return {
        # What other programs ask of a .safetensors for PyTorch.
        "format": "pt",
        "ssd_tfrecord": ssd_tfrecord.__version__,
        "model": name,
        "classes": json.dumps([{"name": text, "original_id": there} for text, there in pairs]),
        "anchor_scales": anchors.anchor_scales,
        "aspect_ratios": anchors.aspect_ratios,
        "anchor_variant": anchors.anchor_variant or CAFFE,
        **{key: repr(value) for key, value in dataclasses.asdict(model.options).items()},
    }


def _thresholds(path: pathlib.Path, metadata: Mapping[str, str]) -> DetectionOptions:
    try:
        return DetectionOptions(
            score_threshold=float(metadata["score_threshold"]),
            nms_iou=float(metadata["nms_iou"]),
            nms_candidates=int(metadata["nms_candidates"]),
            max_detections=int(metadata["max_detections"]),
        )
    except (KeyError, ValueError):
        raise InputError(f"{path}: its metadata lack thresholds; export the model again") from None


def _notes(
    model: Exportable, name: str, published: AnchorOptions, reduced: bool
) -> tuple[str, ...]:
    module = "torchvision.models.detection"
    backbone = _WEIGHTS_BACKBONE[reduced] if name.startswith("ssdlite") else "None"
    notes = [
        f"load with: model = {module}.{name}(weights=None, weights_backbone={backbone}, "
        f"num_classes={model.num_classes + 1}); "
        f'model.load_state_dict(safetensors.torch.load_file("{FILE}"))',
        "checked by reading it back into our network, not by running torchvision",
    ]
    maps = model.config.model.maps
    theirs = anchor_boxes(published, maps)
    count = int((np.abs(model.anchors - theirs).max(axis=1) > 1e-6).sum())
    if count:
        notes.append(
            f"{count} of {len(theirs)} anchors are not those of torchvision's {name}; after loading"
            f", set model.anchor_generator = {module}.anchor_utils.{_generator(model, maps)}"
        )
        variant = model.config.anchors.anchor_variant or CAFFE
        if variant not in (CAFFE, TORCHVISION):
            notes.append(f"torchvision has no anchors of the variant {variant}: some still differ")
    return tuple(notes)


def _generator(model: Exportable, maps: FeatureMaps) -> str:
    """The call that makes torchvision's generator of our anchors."""
    anchors = model.config.anchors
    sizes = anchors.scales()
    if sizes is None:
        sizes = tuple(size / maps.input_size for size in maps.sizes[anchors.anchor_scales])
    scales = [round(size, 6) for size in sizes]
    ratios = [[float(ratio) for ratio in row] for row in maps.ratios]
    clip = (anchors.anchor_variant or CAFFE) != CAFFE
    # Without steps, torchvision divides the image by the cells, as SSDLite's maps do.
    even = all(side * step == maps.input_size for side, step in zip(maps.sides, maps.steps))
    steps = "" if even else f", steps={list(maps.steps)}"
    return f"DefaultBoxGenerator({ratios}, scales={scales}{steps}, clip={clip})"


def _write(
    path: pathlib.Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Writes a .safetensors: https://github.com/huggingface/safetensors#format."""
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    # The data begin at a multiple of 8 bytes.
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array, dtype="<f4").tobytes())
