"""The options of post-processing."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options.option import Options, option

BEST = "best"
# Far more than a network finds: 400 candidates of each of COCO's 80 classes are 32,000, and SSD512
# has 24,564 anchors. The results of an image, filled up to so many, are 24 MB.
MAX_DETECTIONS = 1_000_000


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
        maximum=MAX_DETECTIONS,
        role="view",
    )
    max_detections: int = option(
        200,
        "number of best-scoring detections to keep per image",
        minimum=1,
        maximum=MAX_DETECTIONS,
        role="view",
    )


_OPTIONS = {field.name: field for field in dataclasses.fields(DetectionOptions)}


def _as_there(name: str, default: Any = None) -> Any:
    """A field like that of ``DetectionOptions``, perhaps with another default."""
    there = _OPTIONS[name]
    value = there.default if default is None else default
    return dataclasses.field(default=value, metadata=there.metadata)


@dataclass(frozen=True)
class ShownOptions(Options):
    """From the network's outputs to the detections that people look at."""

    # Surer boxes than the metrics need, and no more of them than anybody looks at.
    score_threshold: str = option(
        "0.4",
        "discard detections with this score or less; or best: with less than the score at which "
        "`evaluate` found the best F1, class by class (thresholds.json of the run's newest "
        "evaluation)",
        role="view",
    )
    nms_iou: float = _as_there("nms_iou")
    nms_candidates: int = _as_there("nms_candidates")
    max_detections: int = _as_there("max_detections", 100)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.score_threshold != BEST:
            self.at(self._number())

    def _number(self) -> float:
        try:
            return float(self.score_threshold)
        except ValueError:
            raise InputError(
                f"--score_threshold={self.score_threshold}: must be best, or a number from 0 to 1"
            ) from None

    @property
    def threshold(self) -> float | None:
        """The score threshold; None if it is to be the best of each class."""
        return None if self.score_threshold == BEST else self._number()

    def at(self, score_threshold: float, max_detections: int = 0) -> DetectionOptions:
        """These options with one threshold for all classes.

        Args:
            score_threshold: the threshold.
            max_detections: number of detections to keep per image; 0: as here.
        """
        return DetectionOptions(
            score_threshold=score_threshold,
            nms_iou=self.nms_iou,
            nms_candidates=self.nms_candidates,
            max_detections=max_detections or self.max_detections,
        )
