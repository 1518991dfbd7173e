"""The formats of exports: the module of each, and the packages that it needs."""

import importlib
import pathlib
from typing import TYPE_CHECKING, Protocol, cast

from ssd_tfrecord.exporting.onnx import extra_packages

if TYPE_CHECKING:
    from ssd_tfrecord.config import ExportConfig
    from ssd_tfrecord.exporting.exportable import Exportable
    from ssd_tfrecord.exporting.exported_file import ExportedFile, Runtime

MODULES = {
    "saved_model": "ssd_tfrecord.exporting.saved_model.saved_model_files",
    "tflite": "ssd_tfrecord.exporting.tflite.tflite_model",
    "onnx": "ssd_tfrecord.exporting.onnx.onnx_model",
    "torchvision": "ssd_tfrecord.exporting.torchvision_state",
}

TFLITE_FILES = {
    "float32": "model.tflite",
    "float16": "model_float16.tflite",
    "int8": "model_int8.tflite",
}
# {format: what it writes}, but for tflite, which writes a file for each precision.
FILES = {
    "saved_model": ("saved_model",),
    "onnx": ("model.onnx", "model_raw.onnx"),
    "torchvision": ("model.safetensors",),
}


class Format(Protocol):
    """What the module of a format has."""

    def export(
        self, model: "Exportable", folder: pathlib.Path, config: "ExportConfig"
    ) -> "list[ExportedFile]":
        """Writes the files of the format into ``folder``."""

    def open_file(self, path: pathlib.Path) -> "Runtime":
        """Opens a file of the format in its own runtime; needs nothing but the file."""


def module(kind: str) -> Format:
    """The module of a format; imports TensorFlow."""
    return cast(Format, importlib.import_module(MODULES[kind]))


def file_names(config: "ExportConfig") -> list[str]:
    """The names in --output_dir of the files that an export writes."""
    found: list[str] = []
    for kind in dict.fromkeys(config.format):
        if kind == "tflite":
            found += [TFLITE_FILES[precision] for precision in dict.fromkeys(config.quantize)]
        else:
            found += FILES[kind]
    return found


def require(kind: str, *, to_run: bool = False) -> None:
    """Checks, without importing anything, that the packages of a format are installed.

    Args:
        kind: the format.
        to_run: what runs its files is enough.

    Raises:
        InputError: one is not; the message says how to install it.
    """
    if kind == "onnx":
        extra_packages.require(extra_packages.TO_RUN if to_run else extra_packages.TO_EXPORT)
