"""One evaluated set: its boxes, its numbers and answers, and where they come from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from PIL import Image

from ssd_tfrecord.evaluation.analysis.answers import Answers
from ssd_tfrecord.evaluation.overlaps import Overlaps
from ssd_tfrecord.evaluation.scored_set import ScoredSet

# Indices of images -> their pixels, RGB, in that order; None for one that cannot be had.
ImageReader: TypeAlias = Callable[[Sequence[int]], Iterator[Image.Image | None]]
# Index of an image -> (file that holds its record, number of the record in it, from 0).
RecordLocator: TypeAlias = Callable[[int], tuple[str, int]]


@dataclass(frozen=True)
class EvaluatedSet:
    """What the report shows.

    ``name`` is that of the set; ``metrics`` are those of metrics.json; ``facts`` say what was
    measured: {title: text}, in the order in which they are shown (records, checkpoint, step,
    thresholds, versions, date); ``read_images`` is None where there are no pictures, and
    ``locate_record`` where there are no records.
    """

    name: str
    scored: ScoredSet
    overlaps: Overlaps
    metrics: Mapping[str, Any]
    answers: Answers
    facts: Mapping[str, str]
    read_images: ImageReader | None = None
    locate_record: RecordLocator | None = None
