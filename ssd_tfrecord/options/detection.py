"""The options of post-processing."""

from dataclasses import dataclass

from ssd_tfrecord.options.option import Options, option


@dataclass(frozen=True)
class DetectionOptions(Options):
    """From the network's outputs to detections."""

    # The defaults are Caffe SSD's: a low threshold for the metrics, which need the whole
    # precision-recall curve; ``detect`` has defaults of its own.
    score_threshold: float = option(
        0.01,
        "discard detections with this score or less",
        minimum=0.0,
        maximum=1.0,
        role="view",
    )
    nms_iou: float = option(
        0.45,
        "non-maximum suppression: if two detections of a class overlap by more than this IoU, "
        "discard the one with the lower score",
        minimum=0.0,
        maximum=1.0,
        role="view",
    )
    nms_candidates: int = option(
        400,
        "number of best-scoring detections per class and image that enter non-maximum suppression",
        minimum=1,
        role="view",
    )
    max_detections: int = option(
        200, "number of best-scoring detections to keep per image", minimum=1, role="view"
    )
