"""``geometry.suppression`` as ONNX nodes, around the operator NonMaxSuppression.

Equal to ``select``, ties included, because of what goes into the operator and what comes out:

- Candidates: TopK takes the ``nms_candidates`` best of each class, of equal scores the lower anchor
  first; the operator has no such limit.
- Each class of each image is an image of its own for the operator, with its candidates as boxes. So
  an index of the result is a rank, and equal scores keep their order.
- IoU: ``select`` compares round(IoU * 2^14), the operator IoU itself. ``iou_bound`` is the IoU from
  which the rounded one is above the threshold.
- The best of all classes: TopK again, over classes one after another: of equal scores the lower
  class comes first.

Legend: B images, A anchors, C classes, K candidates of a class, N = B * C, M kept, D detections.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ssd_tfrecord.options import DetectionOptions

# As in geometry.suppression.
_IOU_STEPS = 2**14


class GraphWriter:
    """Nodes and constants to be added to a graph, with names that begin with ``prefix``."""

    def __init__(self, prefix: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._prefix = prefix

    def add(self, op_type: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Adds a node, and returns the name of its output."""
        return self.add_many(op_type, *inputs, outputs=[output], **attributes)[0]

    def add_many(
        self, op_type: str, *inputs: str, outputs: Sequence[str], **attributes: Any
    ) -> list[str]:
        """Adds a node, and returns the names of its outputs; for "" it makes them up."""
        name = f"{self._prefix}/{op_type}_{len(self.nodes)}"
        names = [given or f"{name}:{place}" for place, given in enumerate(outputs)]
        self.nodes.append(helper.make_node(op_type, inputs, names, name=name, **attributes))
        return names

    def constant(self, value: Any, dtype: type = np.int64) -> str:
        """Adds a constant, and returns its name."""
        name = f"{self._prefix}/constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name


def add_suppression(
    graph: GraphWriter,
    boxes: str,
    scores: str,
    outputs: Sequence[str],
    shape: tuple[int, int],
    options: DetectionOptions,
) -> None:
    """Adds the nodes from boxes and scores to the best detections.

    Args:
        graph: to add them to.
        boxes: name of float32 [B, A, 4] as [xmin, ymin, xmax, ymax].
        scores: name of float32 [B, A, C], without the background.
        outputs: names of the results: boxes [B, D, 4] as [ymin, xmin, ymax, xmax], clipped to
            [0, 1], scores [B, D], classes [B, D] from 1, and counts [B]; all float32. Rows of zeros
            fill up the end.
        shape: (A, C).
        options: thresholds and counts.
    """
    num_anchors, num_classes = shape
    per_class = min(options.nms_candidates, num_anchors)
    boxes_BKC, scores_BCK = _candidates(graph, boxes, scores, num_classes, per_class)
    total = num_classes * per_class
    kept_NK = _suppress(graph, boxes_BKC, scores_BCK, per_class, options)
    kept = graph.add("Reshape", kept_NK, graph.constant([-1, total]))
    _write_best(graph, boxes_BKC, kept, outputs, (total, per_class, options.max_detections))


def _candidates(
    graph: GraphWriter, boxes: str, scores: str, num_classes: int, per_class: int
) -> tuple[str, str]:
    """Boxes [B, C * K, 4] and scores [B, C, K] of the best of each class."""
    scores_BCA = graph.add("Transpose", scores, perm=[0, 2, 1])
    scores_BCK, anchors_BCK = graph.add_many(
        "TopK", scores_BCA, graph.constant([per_class]), outputs=["", ""], axis=2
    )
    rows = graph.add("Reshape", anchors_BCK, graph.constant([-1, num_classes * per_class, 1]))
    return graph.add("GatherND", boxes, rows, batch_dims=1), scores_BCK


def _suppress(
    graph: GraphWriter, boxes: str, scores_BCK: str, per_class: int, options: DetectionOptions
) -> str:
    """Scores [N, K], 0 where a candidate was discarded."""
    scores_NK = graph.add("Reshape", scores_BCK, graph.constant([-1, per_class]))
    # [M, 3]: image, class (always 0), candidate.
    found = graph.add(
        "NonMaxSuppression",
        graph.add("Reshape", boxes, graph.constant([-1, per_class, 4])),
        graph.add("Unsqueeze", scores_NK, graph.constant([1])),
        graph.constant([per_class]),
        graph.constant([iou_bound(options.nms_iou)], np.float32),
        graph.constant([options.score_threshold], np.float32),
    )
    places_M2 = graph.add("Gather", found, graph.constant([0, 2]), axis=1)
    zeros_NK = graph.add(
        "ConstantOfShape",
        graph.add("Shape", scores_NK),
        value=numpy_helper.from_array(np.zeros(1, np.float32)),
    )
    scores_M = graph.add("GatherND", scores_NK, places_M2)
    return graph.add("ScatterND", zeros_NK, places_M2, scores_M)


def _write_best(
    graph: GraphWriter, boxes: str, scores: str, outputs: Sequence[str], sizes: tuple[int, int, int]
) -> None:
    """The outputs, from boxes [B, C * K, 4] and scores [B, C * K]; sizes are C * K, K and D."""
    total, per_class, num_detections = sizes
    boxes_out, scores_out, classes_out, counts_out = outputs
    padding = num_detections - min(total, num_detections)
    zero = graph.constant(0.0, np.float32)

    def pad(value: str, after: Sequence[int], output: str) -> str:
        pads = graph.constant([0] * len(after) + list(after))
        return graph.add("Pad", value, pads, zero, output=output)

    best_BD, places_BD = graph.add_many(
        "TopK", scores, graph.constant([num_detections - padding]), outputs=["", ""], axis=1
    )
    found_BD = graph.add("Greater", best_BD, zero)
    column = graph.constant([2])
    boxes_BD4 = graph.add(
        "GatherND", boxes, graph.add("Unsqueeze", places_BD, column), batch_dims=1
    )
    boxes_BD4 = graph.add("Gather", boxes_BD4, graph.constant([1, 0, 3, 2]), axis=2)
    boxes_BD4 = graph.add("Clip", boxes_BD4, zero, graph.constant(1.0, np.float32))
    boxes_BD4 = graph.add("Where", graph.add("Unsqueeze", found_BD, column), boxes_BD4, zero)
    classes_BD = graph.add("Div", places_BD, graph.constant(per_class))
    classes_BD = graph.add("Add", classes_BD, graph.constant(1))
    classes_BD = graph.add("Cast", classes_BD, to=onnx.TensorProto.FLOAT)
    classes_BD = graph.add("Where", found_BD, classes_BD, zero)
    pad(boxes_BD4, [0, padding, 0], boxes_out)
    pad(best_BD, [0, padding], scores_out)
    pad(classes_BD, [0, padding], classes_out)
    ones_BD = graph.add("Cast", found_BD, to=onnx.TensorProto.FLOAT)
    graph.add("ReduceSum", ones_BD, graph.constant([1]), keepdims=0, output=counts_out)


def iou_bound(nms_iou: float) -> float:
    """The float32 IoU above which round(IoU * 2^14) > ``nms_iou`` * 2^14, halves to even."""
    steps = np.floor(np.float32(nms_iou * _IOU_STEPS))
    bound = np.float32((steps + 0.5) / _IOU_STEPS)
    # A half is rounded up to an even number, and so is above the threshold itself.
    if steps % 2:
        bound = np.nextafter(bound, np.float32(0))
    # The operator takes no more than 1, which no IoU exceeds.
    return float(min(bound, np.float32(1)))
