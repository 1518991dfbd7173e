"""A trained model as TensorFlow Lite files, one for each precision."""

import pathlib

from ssd_tfrecord.backbones.layers import ChannelL2Norm
from ssd_tfrecord.config import ExportConfig
from ssd_tfrecord.exporting.export_formats import TFLITE_FILES
from ssd_tfrecord.exporting.exportable import Exportable
from ssd_tfrecord.exporting.exported_file import ExportedFile, Tolerance
from ssd_tfrecord.exporting.tflite import (
    conversion,
    detection_op,
    flat_layout,
    tflite_metadata,
    tflite_network,
)
from ssd_tfrecord.exporting.tflite.calibration_images import load_calibration
from ssd_tfrecord.exporting.tflite.conversion import Source
from ssd_tfrecord.exporting.tflite.half_weights import with_half_weights
from ssd_tfrecord.exporting.tflite.tflite_runtime import TFLiteRuntime

_TOLERANCES = {
    "float32": Tolerance(),
    # Weights of 11 bits move the scores in the third digit.
    "float16": Tolerance(box=None, score=None, ap=0.003),
    "int8": Tolerance(box=None, score=None, ap=0.01),
}
# Beside the layers of ``_float_layers``.
_AFTER = "what follows the heads (softmax, decoding, suppression)"


def export(model: Exportable, folder: pathlib.Path, config: ExportConfig) -> list[ExportedFile]:
    """Writes a file for each of ``--quantize``.

    Args:
        model: the trained model.
        folder: where to write.
        config: precisions and the images to calibrate on.

    Raises:
        InputError: TensorFlow Lite cannot convert the network, or the images for int8 cannot be
            read.
    """
    precisions = tuple(dict.fromkeys(config.quantize))
    # Before minutes of conversion.
    calibration = load_calibration(model, config) if "int8" in precisions else None
    source = Source(*tflite_network.network_function(model))
    float_layers = _float_layers(model)
    plain = conversion.convert(source) if {*precisions} - {"int8"} else b""
    files = []
    for precision in precisions:
        content = plain
        notes: tuple[str, ...] = ()
        if precision == "float16":
            content = with_half_weights(plain)
        elif precision == "int8" and calibration is not None:
            content = conversion.convert_to_int8(source, calibration, float_layers)
            notes = (calibration.note, f"left in float: {', '.join([*float_layers, _AFTER])}")
        path = folder / TFLITE_FILES[precision]
        path.write_bytes(_for_clients(model, content, precision))
        files.append(
            ExportedFile(
                name=path.name,
                kind="tflite",
                precision=precision,
                path=path,
                open_fn=open_file,
                tolerance=_TOLERANCES[precision],
                notes=notes,
            )
        )
    return files


def open_file(path: pathlib.Path) -> TFLiteRuntime:
    """Opens a file in TensorFlow Lite.

    Raises:
        InputError: it is not a TensorFlow Lite detector.
    """
    return TFLiteRuntime(path)


def _for_clients(model: Exportable, content: bytes, precision: str) -> bytes:
    metadata = tflite_metadata.build(
        model.class_names,
        (0.0, 255.0) if precision == "int8" else (-1.0, 1.0),
        f"{model.model.name}, step {model.step:,}: a detector of {model.num_classes} classes",
    )
    attributes = detection_op.attributes(model.options.max_detections, model.num_classes)
    content = flat_layout.for_clients(content, attributes=attributes, metadata=metadata)
    return tflite_metadata.with_labels(content, model.class_names)


def _float_layers(model: Exportable) -> list[str]:
    """Layers whose squares int8 cannot hold."""
    return [layer.name for layer in model.model.layers if isinstance(layer, ChannelL2Norm)]
