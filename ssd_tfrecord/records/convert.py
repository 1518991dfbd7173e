"""From a SourceSet to a record set: read, verify by decoding, fit the boxes, write, count."""

import collections
import contextlib
import hashlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import tqdm

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import RecordSetOptions
from ssd_tfrecord.records import labels, schema, shards
from ssd_tfrecord.records.annotation import SourceSet, fit
from ssd_tfrecord.records.images import read_image
from ssd_tfrecord.records.manifest import FILE_NAME, SCHEMA_VERSION, Manifest
from ssd_tfrecord.records.statistics import Statistics

REJECTS_NAME = "rejects.jsonl"
# Images in memory: those being read and decoded, and those waiting to be written.
LOOKAHEAD = 16


def convert_and_report(sources: SourceSet, options: RecordSetOptions, *, tool: str, flag_lines):
    """``convert`` between the notes of ``sources`` and the summary, both printed."""
    for note in sources.notes:
        print(note)
    print(summary(convert(sources, options, tool=tool, flag_lines=flag_lines)))


def convert(sources: SourceSet, options: RecordSetOptions, *, tool: str, flag_lines) -> Manifest:
    """Writes the record set of ``sources``; until it is whole, nothing has a final name.

    Args:
      tool: name of the program, for the manifest.
      flag_lines: the flags it was given, for the manifest.

    Raises: InputError for an output folder in use, a class not listed, a broken image.
    """
    set_name = options.set_name or os.path.basename(os.path.abspath(options.output_dir))
    old_files = shards.files_of_set(options.output_dir, set_name)
    if old_files and not options.overwrite:
        raise InputError(
            f"--output_dir={options.output_dir}: holds a record set already ({old_files[0]}): "
            "choose another folder, or pass --overwrite"
        )
    if not sources.images:
        raise InputError("no images to convert: the set is empty")
    classes = labels.choose_classes(options.classes, sources)
    writing = _Writing(classes, len(sources.images))
    with shards.partial_folder(options.output_dir) as folder:
        images = _shuffled(sources.images, options.shuffle_seed)
        with (
            open(os.path.join(folder, REJECTS_NAME), "w", encoding="utf-8") as rejects_file,
            contextlib.closing(writing.records(images, rejects_file)) as records,
        ):
            written = shards.write_shards(
                folder, set_name, options.num_shards, len(images), records
            )
        shards.publish(folder, options.output_dir, old_files)
    manifest = Manifest(
        directory=options.output_dir,
        schema_version=SCHEMA_VERSION,
        tool=tool,
        name=set_name,
        classes=classes,
        pixel_origin=sources.pixel_origin,
        num_records=len(sources.images),
        shards=written,
        flags=tuple(flag_lines),
        source={**sources.origin, "reencoded_images": writing.num_reencoded},
        **writing.counts(),
    )
    manifest.save()
    return manifest


def _shuffled(images, seed):
    # By a hash rather than a generator: the order depends on no listing order and no library.
    def key(image):
        return hashlib.sha256(f"{seed}/{image.source_id}".encode()).digest()

    return sorted(images, key=key)


class _Writing:
    """The stream of serialized records, and what was counted while it ran."""

    def __init__(self, classes, num_images):
        self.num_reencoded = 0
        self._num_images = num_images
        self._labels = {item.name: item.id for item in classes}
        self._statistics = Statistics(self._labels)

    def records(self, images, rejects_file):
        """Yields the serialized record of each image, in order, under a progress bar."""
        with (
            ThreadPoolExecutor() as pool,
            tqdm.tqdm(total=self._num_images, unit=" images", file=sys.stderr) as progress,
        ):
            for serialized, annotation, rejects, reencoded in _ahead(pool, self._record, images):
                self.num_reencoded += reencoded
                self._statistics.add(annotation, rejects)
                for item in rejects:
                    rejects_file.write(json.dumps(_reject_line(item), ensure_ascii=False) + "\n")
                progress.update()
                yield serialized

    def counts(self):
        """The manifest's fields that are counted."""
        statistics = self._statistics
        return {
            "num_objects": statistics.total("objects"),
            "num_difficult": statistics.total("difficult"),
            "num_crowd": statistics.total("crowd"),
            "max_objects": statistics.max_objects,
            "num_pixels": statistics.num_pixels,
            "per_class": statistics.per_class,
            "histograms": statistics.histograms,
            "rejects": dict(sorted(statistics.rejects.items())),
        }

    def _record(self, source):
        image = read_image(source.image_path)
        annotation, rejects = fit(source, image.height, image.width, self._labels)
        return schema.to_example(annotation, image.encoded), annotation, rejects, image.reencoded


def _ahead(pool, function, items):
    """``map`` on the pool, in order, with LOOKAHEAD results in memory at most."""
    pending = collections.deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) == LOOKAHEAD:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _reject_line(item):
    return {
        "file": item.file,
        "source_id": item.source_id,
        "object": item.object,
        "class": item.name,
        "reason": item.reason,
        "box": item.box,
    }


def summary(manifest: Manifest) -> str:
    """The table that ends a conversion."""
    rows = [
        ("images", manifest.num_records),
        ("objects", manifest.num_objects),
        ("  difficult", manifest.num_difficult),
        ("  crowd", manifest.num_crowd),
        *((f"{reason} boxes", count) for reason, count in manifest.rejects.items()),
        ("images re-encoded as JPEG", manifest.source["reencoded_images"]),
        *((f"class {name}", counts["objects"]) for name, counts in manifest.per_class.items()),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}} {count:>8}" for name, count in rows]
    lines.append(f"{len(manifest.shards)} shards in {manifest.directory}, described in {FILE_NAME}")
    if manifest.rejects:
        path = os.path.join(manifest.directory, REJECTS_NAME)
        lines.append(f"clipped and dropped boxes, one a line, are in {path}")
    return "\n".join(lines)
