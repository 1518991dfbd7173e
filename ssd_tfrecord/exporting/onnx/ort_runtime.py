"""Exported ONNX files in onnxruntime."""

import pathlib
from typing import TYPE_CHECKING

import numpy as np

from ssd_tfrecord.detection.detections import Detections, unpad
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting.onnx import extra_packages
from ssd_tfrecord.exporting.onnx.model_facts import RAW, ModelFacts

if TYPE_CHECKING:
    import onnxruntime

    from ssd_tfrecord.exporting.check_set import CheckImage


class OrtRuntime:
    """An exported ONNX file on the CPU, with onnxruntime's own settings.

    Args:
        path: of a file that ``onnx_model.export`` wrote.

    Raises:
        InputError: onnxruntime is not installed, or cannot open the file, or it is another's.
    """

    def __init__(self, path: pathlib.Path) -> None:
        extra_packages.require(extra_packages.TO_RUN)
        import onnxruntime

        self.title = f"onnxruntime {onnxruntime.__version__}"
        self._session = _open(path)
        properties = self._session.get_modelmeta().custom_metadata_map
        self.facts = ModelFacts.from_properties(properties, path)
        self._input = self._session.get_inputs()[0].name

    def detect(self, image: "CheckImage") -> Detections:
        """The detections of one image; raw boxes and scores go through ``geometry.suppression``."""
        results = self._results(image)
        found = self._select(*results) if self.facts.variant == RAW else _first(*results)
        prepared = image.prepared
        return unpad(prepared.source_id, prepared.height, prepared.width, found)

    def run(self, image: "CheckImage") -> None:
        """Runs the file on the image."""
        self._results(image)

    def _results(self, image: "CheckImage") -> list[np.ndarray]:
        pixels = image.prepared.pixels[np.newaxis]
        if self.facts.variant == RAW:
            pixels = pixels.transpose(0, 3, 1, 2).astype(np.float32)
        return self._session.run(None, {self._input: pixels})

    def _select(self, boxes: np.ndarray, scores: np.ndarray) -> dict[str, np.ndarray]:
        """What the Detector makes of raw boxes and scores."""
        from ssd_tfrecord.geometry import suppression

        found = suppression.select(boxes[..., [1, 0, 3, 2]], scores, self.facts.options)
        arrays = {name: tensor.numpy()[0] for name, tensor in found.items()}
        return {**arrays, "boxes": arrays["boxes"].clip(0.0, 1.0)}


def _open(path: pathlib.Path) -> "onnxruntime.InferenceSession":
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as states

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    # All that onnxruntime says of a file; they have no class of their own in common.
    refusals = (
        *(states.Fail, states.InvalidArgument, states.InvalidGraph, states.InvalidProtobuf),
        *(states.NoSuchFile, states.NotImplemented),
    )
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except refusals as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: onnxruntime cannot open it ({reason}); export again") from None


def _first(
    boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """The detections of the first image of a batch, as ``geometry.suppression`` gives them."""
    count = int(counts[0])
    labels = classes[0, :count].astype(np.int32)
    return {"boxes": boxes[0, :count], "scores": scores[0, :count], "labels": labels}
