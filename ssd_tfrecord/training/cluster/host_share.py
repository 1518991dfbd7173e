"""What one host has found in its share of an evaluation set, on its way to the host that judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.ground_truth import GroundTruth

_ARRAYS = ("boxes", "scores", "labels")


@dataclass(frozen=True)
class HostShare:
    """The detections of a host's records, in record order.

    ``detections`` are those of the weights that count. Where these are averages, ``raw`` are those
    of the weights that are trained, else it is empty.
    """

    detections: Sequence[Detections]
    raw: Sequence[Detections] = ()

    def arrays(self) -> dict[str, np.ndarray]:
        """All boxes, scores and labels, one image behind the other, and their numbers by image.

        Returns:
            {counts int32 [n], boxes float32 [N, 4], scores float32 [N], labels int32 [N]}, where N
            is the sum of counts; and the same with ``raw_`` before the names if there are raw ones.
        """
        return _packed(self.detections, "") | (_packed(self.raw, "raw_") if self.raw else {})


def of_arrays(arrays: Mapping[str, np.ndarray], truths: Sequence[GroundTruth]) -> HostShare:
    """What ``HostShare.arrays`` was made from.

    Args:
        arrays: of another host.
        truths: the ground truths of that host's records: the images' names and sizes.

    Raises:
        RuntimeError: the arrays do not fit the records.
    """
    raw = _unpacked(arrays, "raw_", truths) if "raw_counts" in arrays else ()
    return HostShare(_unpacked(arrays, "", truths), raw)


def joined(shares: Sequence[HostShare], num_records: int) -> HostShare:
    """The share of a host that has all records.

    Args:
        shares: of all hosts, by their index.
        num_records: of the set.

    Raises:
        RuntimeError: they are not of all records.
    """
    detections = [found for share in shares for found in share.detections]
    raw = [found for share in shares for found in share.raw]
    # Otherwise the metrics would change without a word.
    if len(detections) != num_records or len(raw) not in (0, num_records):
        raise RuntimeError(
            f"{len(detections)} and, with raw weights, {len(raw)} of {num_records} images were "
            "evaluated"
        )
    return HostShare(detections, raw)


def _packed(detections: Sequence[Detections], prefix: str) -> dict[str, np.ndarray]:
    packed = {f"{prefix}counts": np.array([len(found.labels) for found in detections], np.int32)}
    # In front, nothing of the right shape and type: a host may have no records.
    nothing = {"boxes": np.zeros((0, 4)), "scores": np.zeros(0), "labels": np.zeros(0)}
    for name, dtype in zip(_ARRAYS, (np.float32, np.float32, np.int32)):
        parts = [nothing[name], *(getattr(found, name) for found in detections)]
        packed[f"{prefix}{name}"] = np.concatenate(parts).astype(dtype)
    return packed


def _unpacked(
    arrays: Mapping[str, np.ndarray], prefix: str, truths: Sequence[GroundTruth]
) -> list[Detections]:
    counts = arrays[f"{prefix}counts"]
    values = [arrays[f"{prefix}{name}"] for name in _ARRAYS]
    if len(counts) != len(truths) or any(len(value) != counts.sum() for value in values):
        raise RuntimeError(f"detections of {len(counts)} images came for {len(truths)} records")
    ends = np.cumsum(counts)[:-1]
    parts = zip(*(np.split(value, ends) for value in values))
    return [
        Detections(truth.source_id, truth.height, truth.width, *part)
        for truth, part in zip(truths, parts)
    ]
