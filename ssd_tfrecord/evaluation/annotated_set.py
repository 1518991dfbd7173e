"""The images of a set with their ground truth, wherever it comes from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.evaluation.evaluated_set import ImageReader
from ssd_tfrecord.evaluation.image_ids import ImageIds, image_ids
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.runs.record_content import RecordContent


@dataclass(frozen=True)
class AnnotatedSet:
    """I images and their objects.

    ``where`` is the folder or file that they were read from, ``digest`` a sha256 of its content.
    Label i is ``class_names[i - 1]``, its id in COCO files ``original_ids[i - 1]``. ``image_ids``
    are COCO's ids of the images, and ``file_names`` those of their files, "" where it is unknown.
    ``manifest`` is that of a record set, None of another source.
    """

    name: str
    where: str
    digest: str
    class_names: tuple[str, ...]
    original_ids: tuple[int, ...]
    truths: Sequence[GroundTruth]
    image_ids: ImageIds
    file_names: Sequence[str]
    read_images: ImageReader | None
    manifest: Manifest | None = None

    def locate_record(self, image: int) -> tuple[str, int]:
        """The shard of an image's record and its number there, from 0; ("", 0) without records."""
        for shard in self.manifest.shards if self.manifest else ():
            if image < shard.num_records:
                return shard.file, image
            image -= shard.num_records
        return "", 0

    @property
    def has_objects(self) -> bool:
        """Whether there is any object; without one there is nothing to score."""
        return any(len(truth.labels) for truth in self.truths)


def from_records(manifest: Manifest) -> AnnotatedSet:
    """The images of a record set; decodes none.

    Args:
        manifest: of the set.
    """
    # Imports TensorFlow, for which sets from annotation files do not have to wait.
    from ssd_tfrecord.detection import recorded

    truths = recorded.read_ground_truths(manifest)

    def read_images(indices: Sequence[int]) -> Iterator[Image.Image | None]:
        return recorded.read_images(manifest, indices)

    return AnnotatedSet(
        name=manifest.name,
        where=manifest.directory,
        digest=RecordContent.of(manifest).digest,
        class_names=manifest.class_names,
        original_ids=manifest.original_ids,
        truths=truths,
        image_ids=image_ids([truth.source_id for truth in truths], strings=manifest.has_string_ids),
        file_names=recorded.read_file_names(manifest),
        read_images=read_images,
        manifest=manifest,
    )
