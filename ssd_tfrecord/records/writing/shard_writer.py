"""One shard: its images become records in a file, in one process."""

import contextlib
import os
from collections.abc import Callable

import tensorflow as tf

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records import rejects, schema
from ssd_tfrecord.records.images.stored_image import read_image
from ssd_tfrecord.records.manifest import FRAME_BYTES, Shard
from ssd_tfrecord.records.rejects import DroppedImage
from ssd_tfrecord.records.sources.source_set import SourceImage, reject_image
from ssd_tfrecord.records.statistics import Statistics
from ssd_tfrecord.records.writing import fingerprint, shards
from ssd_tfrecord.records.writing.box_repair import fit
from ssd_tfrecord.records.writing.journal import FinishedShard, rejects_file
from ssd_tfrecord.records.writing.shards import Recipe, ShardPlan


def make_record(source: SourceImage, recipe: Recipe):
    """The record of one image.

    Returns:
        (serialized, ImageAnnotation, the image's notes, tuple of Reject); of an image that is
        dropped, the first two are None.

    Raises:
        InputError for what the recipe's options call an error.
    """
    try:
        image = read_image(source, recipe.images)
    except DroppedImage as error:
        return None, None, (), (reject_image(source, error.reason, detail=error.detail),)
    annotation, rejected = fit(source, image, recipe.labels, recipe.boxes)
    return schema.to_example(annotation, image.encoded), annotation, image.notes, rejected


def write(plan: ShardPlan, recipe: Recipe, advance: Callable[[], None]) -> FinishedShard:
    """Writes the shard of ``plan``, which counts as finished once it is whole.

    ``advance`` is called after each image. Without ``recipe.folder`` nothing is written.

    Raises:
        InputError for an image or object that is refused, and where writing fails.
    """
    gathered = fingerprint.Gathered()
    statistics, lengths = Statistics(recipe.labels), []
    with _Files(recipe.folder, plan.file) if recipe.folder else _NoFiles() as files:
        for source in plan.images:
            gathered.add(source)
            serialized, annotation, notes, rejected = make_record(source, recipe)
            statistics.add_rejects(rejected)
            files.write_rejects(rejected)
            if serialized is not None:
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
    )
    if recipe.folder:
        with _named_errors(recipe.folder):
            finished.save(recipe.folder)
    return finished


class _Files:
    """A shard and its rejects, written aside; a context that ends well gives them their names."""

    def __init__(self, folder, file):
        self.sha256 = self.rejects_sha256 = ""
        self._paths = os.path.join(folder, file), os.path.join(folder, rejects_file(file))

    def __enter__(self):
        shard, rejected = self._paths
        with _named_errors(shard):
            self._records = tf.io.TFRecordWriter(shard + ".partial")
            self._rejects = open(rejected + ".partial", "wb")
        return self

    def write_record(self, serialized):
        with _named_errors(self._paths[0]):
            self._records.write(serialized)

    def write_rejects(self, rejected):
        if rejected:
            with _named_errors(self._paths[1]):
                self._rejects.write(rejects.to_lines(rejected))

    def __exit__(self, kind, *exception):
        if kind is not None:
            with contextlib.suppress(OSError, tf.errors.OpError):
                self._close()
            return
        with _named_errors(self._paths[0]):
            self._close()
            for path in self._paths:
                shards.sync(path + ".partial")
                os.replace(path + ".partial", path)
            self.sha256, self.rejects_sha256 = map(shards.sha256_of, self._paths)

    def _close(self):
        self._rejects.close()
        self._records.close()


class _NoFiles(contextlib.AbstractContextManager):
    """What a dry run writes."""

    sha256 = rejects_sha256 = ""

    def write_record(self, serialized):
        pass

    def write_rejects(self, rejected):
        pass

    def __exit__(self, *exception):
        pass


@contextlib.contextmanager
def _named_errors(path):
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    except tf.errors.OpError as error:
        # "…/a.tfrecord.partial; No space left on device"
        reason = error.message.rpartition("; ")[2]
        raise InputError(f"{path}: cannot be written: {reason}") from None
