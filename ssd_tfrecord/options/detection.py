"""What post-processing can be told."""

from dataclasses import dataclass

from ssd_tfrecord.options.option import Options, option


@dataclass(frozen=True)
class DetectionOptions(Options):
    """From logits to detections."""

    score_threshold: float = option(
        0.01, "smallest score of a detection", minimum=0.0, maximum=1.0, role="view"
    )
    nms_iou: float = option(
        0.45,
        "IoU above which the lower of two detections of a class goes",
        minimum=0.0,
        maximum=1.0,
        role="view",
    )
    nms_candidates: int = option(
        400, "detections of a class that enter NMS", minimum=1, role="view"
    )
    max_detections: int = option(200, "detections kept of an image", minimum=1, role="view")
