"""The table that ends an export."""

import dataclasses

from ssd_tfrecord.exporting.export_table import Row, table
from ssd_tfrecord.exporting.parity import Parity

PARITY = Parity(7, 1000, 1000, 3, 1.2e-6, 2e-5, 0.75, 0.7499)
ROW = Row("model.onnx", "onnxruntime 1.20.1", 12_400_000, 0.125, 7.04, PARITY)


def test_rows_and_what_they_are_compared_with():
    integer = dataclasses.replace(
        ROW,
        name="model_int8.tflite",
        compared=False,
        parity=dataclasses.replace(PARITY, ap_reference=0.7, ap=None),
    )
    head, first, second, legend = table([ROW, integer]).splitlines()
    assert head.split() == [
        *("file", "runs", "in", "MB", "load", "s", "ms/image", "boxes", "scores", "only", "one"),
        "VOC07",
    ]
    cells = "model.onnx onnxruntime 1.20.1 12.4 0.12 7.0 1.2e-06 2.0e-05 3 of 2,000 0.7499"
    assert first.split() == cells.split()
    # Its boxes are not compared; it has no mAP.
    assert " - " in second and second.endswith("-")
    assert "(VOC07 mAP 0.7500)" in legend
