"""The images on which exported files are checked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ssd_tfrecord.errors import InputError

if TYPE_CHECKING:
    from ssd_tfrecord.detection.detector import Detector, Prepared
    from ssd_tfrecord.detection.ground_truth import GroundTruth
    from ssd_tfrecord.records.manifest import Manifest


@dataclass(frozen=True)
class CheckImage:
    """An image to run an exported file on.

    ``encoded`` is its JPEG; ``prepared`` has its size in pixels and ``pixels``, uint8 [S, S, 3], as
    the network takes it; ``truth`` are its objects, for AP.
    """

    encoded: bytes
    prepared: "Prepared"
    truth: "GroundTruth"


class CheckSet:
    """Some images of a record set, evenly spread over it; read whenever they are gone through.

    Args:
        manifest: of the set.
        count: number of images; 0: all.
        detector: prepares the images.

    Raises:
        InputError: the set has other classes than the model, or no images.
    """

    def __init__(self, manifest: "Manifest", count: int, detector: "Detector") -> None:
        if manifest.class_names != detector.class_names:
            raise InputError(
                f"--records={manifest.directory}: has the classes "
                f"{', '.join(manifest.class_names)}; must have the model's, "
                f"{', '.join(detector.class_names)}"
            )
        if not manifest.num_records:
            raise InputError(f"--records={manifest.directory}: the set has no images")
        self.manifest = manifest
        self.indices = spread(manifest.num_records, count)
        self._detector = detector

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[CheckImage]:
        yield from read_check_images(self.manifest, self.indices, self._detector)


def spread(total: int, count: int) -> list[int]:
    """At most ``count`` of the indices 0 to ``total`` - 1, evenly spread; 0: all of them."""
    count = min(count, total) or total
    return np.linspace(0, total - 1, count).round().astype(int).tolist()


def read_check_images(
    manifest: "Manifest", indices: Sequence[int], detector: "Detector"
) -> Iterator[CheckImage]:
    """Reads some records, seen as ``evaluate`` sees them.

    Args:
        manifest: of the record set.
        indices: of the records, from 0 over all shards.
        detector: prepares the images.
    """
    import tensorflow as tf

    from ssd_tfrecord.data.reading import RecordReader
    from ssd_tfrecord.data.rendering import decode_whole
    from ssd_tfrecord.detection.image_files import LoadedImage
    from ssd_tfrecord.detection.recorded import ground_truth_of
    from ssd_tfrecord.records.schema import parse_example

    reader = RecordReader((manifest,))
    for index in indices:
        record = parse_example(reader.read(tf.constant(index, tf.int64))[1])
        truth = ground_truth_of(record)
        pixels = decode_whole(record["encoded"], tf.stack([record["height"], record["width"]]))
        prepared = detector.prepare(LoadedImage(pixels), truth.source_id)
        yield CheckImage(record["encoded"].numpy(), prepared, truth)
