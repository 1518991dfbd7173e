"""One shard: its images become records in a file, in one process."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records import rejects, schema
from ssd_tfrecord.records.annotation import ImageAnnotation
from ssd_tfrecord.records.images.stored_image import read_image
from ssd_tfrecord.records.manifest import FRAME_BYTES, Shard
from ssd_tfrecord.records.rejects import DroppedImage, Reject
from ssd_tfrecord.records.sources.source_set import SourceImage, reject_image
from ssd_tfrecord.records.statistics import Statistics
from ssd_tfrecord.records.writing import ceilings, fingerprint, shards
from ssd_tfrecord.records.writing.box_repair import fit
from ssd_tfrecord.records.writing.journal import FinishedShard, rejects_file
from ssd_tfrecord.records.writing.shards import Recipe, ShardPlan


def make_record(
    source: SourceImage, recipe: Recipe
) -> tuple[bytes | None, ImageAnnotation | None, tuple[str, ...], tuple[Reject, ...]]:
    """Makes the record of one image.

    Returns:
        (serialized record, what it holds, what was done with the image, what was dropped, changed,
        or kept although suspicious); of an image that is dropped, the first two are None.

    Raises:
        InputError: the image or an object has a fault that the recipe's options call an error.
    """
    try:
        image = read_image(source, recipe.images)
    except DroppedImage as error:
        return None, None, (), (reject_image(source, error.reason, detail=error.detail),)
    annotation, rejected = fit(source, image, recipe.labels, recipe.boxes, recipe.pixel_origin)
    return schema.to_example(annotation, image.encoded), annotation, image.notes, rejected


def write(plan: ShardPlan, recipe: Recipe, advance: Callable[[], None]) -> FinishedShard:
    """Writes the shard of ``plan``, which counts as finished once it is complete.

    Args:
        plan: what to write.
        recipe: how; without its ``folder`` nothing is written.
        advance: called after each image.

    Raises:
        InputError: an image or object is refused, or a file cannot be written.
    """
    gathered = fingerprint.Gathered()
    statistics, examples, lengths = Statistics(recipe.labels), ceilings.Examples(), []
    target: _Files | _NoFiles = _Files(recipe.folder, plan.file) if recipe.folder else _NoFiles()
    with target as files:
        for source in plan.images:
            # Before it is read: an image that is changed meanwhile counts as changed on a resume.
            gathered.add(source)
            serialized, annotation, notes, rejected = make_record(source, recipe)
            statistics.add_rejects(rejected)
            examples.add(rejected)
            files.write_rejects(rejected)
            if serialized is not None and annotation is not None:
                statistics.add(annotation, notes)
                files.write_record(serialized)
                lengths.append(len(serialized))
            advance()
    made_from = gathered.result()
    num_bytes = sum(lengths) + FRAME_BYTES * len(lengths)
    finished = FinishedShard(
        shard=Shard(plan.file, len(lengths), num_bytes, files.sha256, tuple(lengths)),
        rejects_sha256=files.rejects_sha256,
        inputs=made_from.inputs,
        content=made_from.content,
        counts=statistics.counts(),
        examples=examples.texts,
    )
    # After the shard has its name: without this the shard does not count.
    if recipe.folder:
        with _named_errors(recipe.folder):
            finished.save(recipe.folder)
    return finished


class _Files:
    """A shard and its rejects, written aside; they get their names if the context ends well.

    The file of rejects is written even if it stays empty: its absence counts as damage.
    """

    def __init__(self, folder: str, file: str) -> None:
        self.sha256 = self.rejects_sha256 = ""
        self._paths = os.path.join(folder, file), os.path.join(folder, rejects_file(file))

    def __enter__(self) -> "_Files":
        shard, rejected = self._paths
        with _named_errors(shard):
            self._records = tf.io.TFRecordWriter(shard + ".partial")
            self._rejects = open(rejected + ".partial", "wb")
        return self

    def write_record(self, serialized: bytes) -> None:
        with _named_errors(self._paths[0]):
            self._records.write(serialized)

    def write_rejects(self, rejected: Sequence[Reject]) -> None:
        if rejected:
            with _named_errors(self._paths[1]):
                self._rejects.write(rejects.to_lines(rejected))

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if kind is not None:
            # On a full disk closing fails too, and would hide the first error.
            with contextlib.suppress(OSError, tf.errors.OpError):
                self._close()
            return
        with _named_errors(self._paths[0]):
            self._close()
            for path in self._paths:
                # On the disk before it has its name, or a crash could leave a name without content.
                shards.sync(path + ".partial")
                os.replace(path + ".partial", path)
            # Read back from the files: TFRecordWriter does not show the bytes that it writes.
            self.sha256, self.rejects_sha256 = map(shards.sha256_of, self._paths)

    def _close(self) -> None:
        self._rejects.close()
        self._records.close()


class _NoFiles:
    """What a dry run writes."""

    sha256 = rejects_sha256 = ""

    def __enter__(self) -> "_NoFiles":
        return self

    def write_record(self, serialized: bytes) -> None:
        pass

    def write_rejects(self, rejected: Sequence[Reject]) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        pass


@contextlib.contextmanager
def _named_errors(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    except tf.errors.OpError as error:
        # TensorFlow's own message is "…/a.tfrecord.partial; No space left on device".
        reason = error.message.rpartition("; ")[2]
        raise InputError(f"{path}: cannot be written: {reason}") from None
