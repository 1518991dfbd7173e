"""The files of a SavedModel: the graph, the label map, and what it was exported with."""

import dataclasses
import json
import logging
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from ssd_tfrecord.config.export import ExportConfig
from ssd_tfrecord.exporting.export_formats import FILES
from ssd_tfrecord.exporting.exportable import Exportable
from ssd_tfrecord.exporting.exported_file import ExportedFile
from ssd_tfrecord.exporting.saved_model.label_map_text import label_map_text
from ssd_tfrecord.exporting.saved_model.saved_model_runtime import SavedModelRuntime
from ssd_tfrecord.exporting.saved_model.serving_graph import ServingGraph

(_NAME,) = FILES["saved_model"]
# Where clients look for what TensorFlow itself does not read.
_EXTRA = "assets.extra"
LABEL_MAP = f"{_EXTRA}/label_map.pbtxt"
THRESHOLDS = f"{_EXTRA}/thresholds.json"


def export(model: Exportable, folder: pathlib.Path, config: ExportConfig) -> list[ExportedFile]:
    """Writes the SavedModel of a trained model.

    Args:
        model: the trained model.
        folder: what it is written into.
        config: ``serving_default`` is the signature of that name.
    """
    path = folder / _NAME
    graph = ServingGraph(model, config.serving_default)
    signatures = graph.signatures()
    signatures["serving_default"] = signatures[config.serving_default]
    # Gradients of our own operations are for training.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    with _quiet():
        tf.saved_model.save(graph, str(path), signatures=signatures, options=options)
    (path / _EXTRA).mkdir()
    (path / LABEL_MAP).write_text(label_map_text(model.class_names), encoding="ascii")
    (path / THRESHOLDS).write_text(json.dumps(_facts(model, config), indent=2) + "\n")
    file = ExportedFile(
        name=_NAME,
        kind="saved_model",
        precision="float32",
        path=path,
        open_fn=open_file,
        notes=(
            f"serving_default takes {config.serving_default}; classes in {LABEL_MAP}, thresholds "
            f"in {THRESHOLDS}",
            "as evaluate, it does not turn photographs by their EXIF orientation; detect does",
        ),
    )
    return [file]


def open_file(path: pathlib.Path) -> SavedModelRuntime:
    """Opens a SavedModel where it is fed with the files of images."""
    return SavedModelRuntime(path)


def _facts(model: Exportable, config: ExportConfig) -> dict[str, object]:
    classes = zip(model.class_names, model.original_ids)
    return {
        **dataclasses.asdict(model.options),
        "serving_default": config.serving_default,
        "input_size": model.input_size,
        "step": model.step,
        "classes": [
            {"id": label, "name": name, "original_id": original_id}
            for label, (name, original_id) in enumerate(classes, 1)
        ],
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Without TensorFlow's line that says where it has written to: it is a folder aside."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
