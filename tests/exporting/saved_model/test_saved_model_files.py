"""What lies in an exported SavedModel."""

import json
import pathlib
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from tensorflow.core.protobuf import saved_model_pb2

from ssd_tfrecord.config import ExportConfig
from ssd_tfrecord.config.export import SIGNATURES
from ssd_tfrecord.exporting.saved_model import saved_model_files, serving_graph
from ssd_tfrecord.exporting.saved_model.label_map_text import label_map_text

# Of the TF Object Detection API: exporter_lib_v2 and its post-processing, all float32.
OUTPUTS = {
    "detection_boxes": (None, 40, 4),
    "detection_scores": (None, 40),
    "detection_classes": (None, 40),
    "detection_multiclass_scores": (None, 40, 4),
    "detection_anchor_indices": (None, 40),
    "num_detections": (None,),
    "raw_detection_boxes": (None, 352, 4),
    "raw_detection_scores": (None, 352, 4),
}


@pytest.fixture(scope="module")
def meta_graph(saved):
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((saved.path / "saved_model.pb").read_bytes())
    (graph,) = model.meta_graphs
    return graph


def shape_of(info):
    sizes = [axis.size for axis in info.tensor_shape.dim]
    return tuple(None if size < 0 else size for size in sizes)


def test_signatures_are_those_of_the_object_detection_api(meta_graph):
    signatures = dict(meta_graph.signature_def)
    del signatures["__saved_model_init_op"]
    assert set(signatures) == {"serving_default", *SIGNATURES}
    for name, signature in signatures.items():
        assert signature.method_name == "tensorflow/serving/predict"
        assert list(signature.inputs) == ["input_tensor"]
        outputs = signature.outputs
        assert {key: shape_of(value) for key, value in outputs.items()} == OUTPUTS, name
        assert {value.dtype for value in outputs.values()} == {tf.float32.as_datatype_enum}
    inputs = {
        name: (tf.as_dtype(info.dtype).name, shape_of(info))
        for name, signature in signatures.items()
        for info in signature.inputs.values()
    }
    assert inputs == {
        "serving_default": ("string", (None,)),
        "encoded": ("string", (None,)),
        "image_tensor": ("uint8", (None, None, None, 3)),
        "float_image_tensor": ("float32", (None, None, None, 3)),
        "tf_example": ("string", (None,)),
    }


@pytest.mark.parametrize("name", ["image_tensor", "tf_example"])
def test_any_signature_can_be_the_default(toy, tmp_path, monkeypatch, name):
    asked, given = [], {}
    graph = SimpleNamespace(signatures=lambda: {key: object() for key in SIGNATURES})
    monkeypatch.setattr(
        saved_model_files, "ServingGraph", lambda *given: asked.append(given) or graph
    )

    def save(module, path, *, signatures, options):
        assert module is graph
        pathlib.Path(path).mkdir()
        given.update(signatures)

    monkeypatch.setattr(tf.saved_model, "save", save)
    config = ExportConfig(run_dir="run", output_dir="exports", serving_default=name)
    (file,) = saved_model_files.export(toy, tmp_path, config)
    assert asked == [(toy, name)]
    assert given["serving_default"] is given[name]
    facts = json.loads((file.path / saved_model_files.THRESHOLDS).read_text())
    assert facts["serving_default"] == name


def test_a_call_with_strings_takes_those_of_the_default(monkeypatch, toy):
    taken = []

    def of_examples(examples, size):
        taken.append(size)
        return tf.zeros([tf.size(examples), size, size, 3])

    monkeypatch.setattr(serving_graph, "_of_examples", of_examples)
    monkeypatch.setattr(
        serving_graph,
        "_outputs",
        lambda _, levels: {"levels": tf.reduce_sum(levels, axis=[1, 2, 3])},
    )
    graph = serving_graph.ServingGraph(toy, "tf_example")
    assert graph(tf.constant(["a", "b"]))["levels"].shape == (2,)
    assert taken == [64]


def test_runs_without_xla_and_without_keras(meta_graph):
    functions = meta_graph.graph_def.library.function
    assert len(functions) > 5
    assert not [f.signature.name for f in functions if f.attr["_XlaMustCompile"].b]
    kinds = {node.WhichOneof("kind") for node in meta_graph.object_graph_def.nodes}
    assert "function" in kinds
    objects = [node.user_object for node in meta_graph.object_graph_def.nodes]
    assert not [item.identifier for item in objects if "keras" in item.identifier]
    # No operation of a converter, a plug-in or another library.
    known = tf.raw_ops.__dict__
    operations = {node.op for function in functions for node in function.node_def}
    assert {"DecodePng", "DecodeJpeg", "NonMaxSuppressionV3"} <= operations
    assert not [op for op in operations - {f.signature.name for f in functions} if op not in known]


def test_thresholds_and_classes_are_inside(saved, toy):
    facts = json.loads((saved.path / "assets.extra/thresholds.json").read_text())
    assert facts == {
        "score_threshold": 0.3,
        "nms_iou": 0.45,
        "nms_candidates": 400,
        "max_detections": 40,
        "serving_default": "encoded",
        "input_size": 64,
        "step": 3,
        "classes": [
            {"id": 1, "name": "cat", "original_id": 1},
            {"id": 2, "name": "dog", "original_id": 2},
            {"id": 3, "name": "person", "original_id": 3},
        ],
    }
    text = (saved.path / "assets.extra/label_map.pbtxt").read_text()
    assert text.startswith("item {\n  id: 1\n  name: 'cat'\n}\nitem {\n  id: 2\n")


def label_map_class():
    """StringIntLabelMap, as string_int_label_map.proto declares the fields used here."""
    file = descriptor_pb2.FileDescriptorProto(name="label_map.proto", package="p", syntax="proto2")
    item, label_map = (file.message_type.add(name=name) for name in ("Item", "LabelMap"))
    field = descriptor_pb2.FieldDescriptorProto
    item.field.add(name="name", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    item.field.add(name="id", number=2, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    label_map.field.add(
        name="item",
        number=1,
        type=field.TYPE_MESSAGE,
        type_name=".p.Item",
        label=field.LABEL_REPEATED,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("p.LabelMap"))


def test_a_label_map_keeps_every_name():
    names = ["person", "it's", 'a "b"', "back\\slash", "two\nlines", "café", "信号", "\t \x01", ""]
    text = label_map_text(names)
    assert text.isascii()
    read = text_format.Parse(text, label_map_class()())
    assert [(item.id, item.name) for item in read.item] == list(enumerate(names, 1))
    assert "name: '?'" in label_map_text(["\ud800"])


def test_the_signatures_are_those_of_the_flag():
    assert tuple(serving_graph.SIGNATURES) == SIGNATURES


def test_variables_are_saved_once(saved, toy):
    held = sum(np.prod(variable.shape) for variable in toy.model.variables)
    (data,) = (saved.path / "variables").glob("variables.data*")
    assert 4 * held <= data.stat().st_size < 4 * held + 20_000
