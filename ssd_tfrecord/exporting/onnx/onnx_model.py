"""A trained model as two ONNX files: detections, and raw boxes and scores."""

import pathlib
from collections.abc import Mapping

import onnx
from onnx import helper

import ssd_tfrecord
from ssd_tfrecord.config.export import ExportConfig
from ssd_tfrecord.exporting.export_formats import FILES
from ssd_tfrecord.exporting.exportable import Exportable
from ssd_tfrecord.exporting.exported_file import ExportedFile
from ssd_tfrecord.exporting.onnx import network_graph
from ssd_tfrecord.exporting.onnx.model_facts import RAW, WITH_NMS, ModelFacts
from ssd_tfrecord.exporting.onnx.ort_runtime import OrtRuntime
from ssd_tfrecord.exporting.onnx.suppression_nodes import GraphWriter, add_suppression

# Opset 17 came with IR version 8; runtimes of its time refuse a later one.
_IR_VERSION = 8
_BATCH = "batch"
_FLOAT = onnx.TensorProto.FLOAT
_DETECTIONS = {
    "detection_boxes": "[ymin, xmin, ymax, xmax] in [0, 1] of the image",
    "detection_scores": "descending; 0 is padding",
    "detection_classes": "from 1, the first of the metadata's class_names; 0 is padding",
    "num_detections": "number of rows that are not padding",
}


def export(model: Exportable, folder: pathlib.Path, config: ExportConfig) -> list[ExportedFile]:
    """Writes model.onnx and model_raw.onnx, opset 17, for any batch size.

    model.onnx takes ``input_tensor``, uint8 [B, S, S, 3] RGB, and gives detection_boxes,
    detection_scores, detection_classes and num_detections, all float32: names, order of corners and
    dtypes of the TF Object Detection API, whose ONNX files (by tf2onnx) clients already read.

    model_raw.onnx takes ``images``, float32 [B, 3, S, S] RGB levels from 0 to 255, as OpenCV's
    blobFromImage and TensorRT's clients make them, and gives ``boxes`` [B, A, 4] as [xmin, ymin,
    xmax, ymax], as DeepStream, torchvision and most code behind such files read them (suppression
    itself, EfficientNMS_TRT included, gives the same for either order), and ``scores`` [B, A, C]
    without the background.

    Args:
        model: the trained model.
        folder: to write into.
        config: of the export; nothing in it is for this format alone.

    Returns:
        The two files.

    Raises:
        onnx.checker.ValidationError: a file would not be valid ONNX, as where a function of the
            network is compiled.
    """
    network = network_graph.convert(model)
    whole, raw = (folder / name for name in FILES["onnx"])
    return [
        _write(_with_nms(network, model), whole, model, WITH_NMS),
        _write(_raw(network, model), raw, model, RAW),
    ]


def open_file(path: pathlib.Path) -> OrtRuntime:
    """Opens a file that ``export`` wrote, in onnxruntime; see ``OrtRuntime``."""
    return OrtRuntime(path)


def _raw(network: onnx.ModelProto, model: Exportable) -> onnx.GraphProto:
    size, num_anchors = model.input_size, len(model.anchors)
    return helper.make_graph(
        network.graph.node,
        "ssd_raw",
        [_value("images", [3, size, size], "RGB levels, 0 to 255")],
        [
            _value("boxes", [num_anchors, 4], "[xmin, ymin, xmax, ymax], [0, 1] is the image"),
            _value("scores", [num_anchors, model.num_classes], "of class_names, no background"),
        ],
        network.graph.initializer,
    )


def _with_nms(network: onnx.ModelProto, model: Exportable) -> onnx.GraphProto:
    size, count = model.input_size, model.options.max_detections
    before, after = GraphWriter("levels"), GraphWriter("suppression")
    # Transposed as bytes: a quarter of what floats take.
    planes = before.add("Transpose", "input_tensor", perm=[0, 3, 1, 2])
    before.add("Cast", planes, to=_FLOAT, output="images")
    shape = (len(model.anchors), model.num_classes)
    add_suppression(after, "boxes", "scores", list(_DETECTIONS), shape, model.options)
    shapes: tuple[list[int], ...] = ([count, 4], [count], [count], [])
    return helper.make_graph(
        [*before.nodes, *network.graph.node, *after.nodes],
        "ssd",
        [_value("input_tensor", [size, size, 3], "RGB", onnx.TensorProto.UINT8)],
        [_value(name, sides, _DETECTIONS[name]) for name, sides in zip(_DETECTIONS, shapes)],
        [*network.graph.initializer, *after.constants],
    )


def _value(name: str, shape: list[int], text: str, dtype: int = _FLOAT) -> onnx.ValueInfoProto:
    """An input or output [B, *shape]."""
    return helper.make_tensor_value_info(name, dtype, [_BATCH, *shape], doc_string=text)


def _write(
    graph: onnx.GraphProto, path: pathlib.Path, model: Exportable, variant: str
) -> ExportedFile:
    proto = helper.make_model(
        graph,
        ir_version=_IR_VERSION,
        opset_imports=[helper.make_opsetid("", network_graph.OPSET)],
        producer_name="ssd_tfrecord",
        producer_version=ssd_tfrecord.__version__,
        model_version=model.step,
    )
    helper.set_model_props(proto, ModelFacts.of(model, variant).to_properties())
    # Finds operators that ONNX lacks, inputs that nothing gives, shapes that contradict others.
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, path)
    return ExportedFile(
        name=path.name,
        kind="onnx",
        precision="float32",
        path=path,
        open_fn=open_file,
        facts=_signature(graph),
    )


def _signature(graph: onnx.GraphProto) -> Mapping[str, str]:
    """{name of an input or output: dtype and shape}."""
    found = {"opset": str(network_graph.OPSET)}
    for value in (*graph.input, *graph.output):
        tensor = value.type.tensor_type
        dims = ", ".join(dim.dim_param or str(dim.dim_value) for dim in tensor.shape.dim)
        dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        found[value.name] = f"{dtype} [{dims}]: {value.doc_string}"
    return found
