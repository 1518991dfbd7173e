"""From a SourceSet to a record set: shards written by workers, then the manifest, then names.

TensorFlow is imported only where shards are written, after all that can be checked without it.
"""

import contextlib
import dataclasses
import importlib.metadata
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

import ssd_tfrecord
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import (
    BoxOptions,
    ImageOptions,
    RecordSetOptions,
    flag_text,
    names_of_role,
)
from ssd_tfrecord.records import manifest, manifest_fields, rejects
from ssd_tfrecord.records.images import baseline
from ssd_tfrecord.records.manifest import ClassLabel, Manifest
from ssd_tfrecord.records.manifest_fields import FieldError
from ssd_tfrecord.records.processes import workers
from ssd_tfrecord.records.processes.progress import steady_bar
from ssd_tfrecord.records.rejects import Reject
from ssd_tfrecord.records.sources import labels, plausibility
from ssd_tfrecord.records.sources.source_set import SourceSet
from ssd_tfrecord.records.sources.survey import survey
from ssd_tfrecord.records.statistics import Statistics
from ssd_tfrecord.records.writing import journal, shard_workers, shards
from ssd_tfrecord.records.writing.ceilings import Ceiling
from ssd_tfrecord.records.writing.journal import FinishedShard, Journal
from ssd_tfrecord.records.writing.shards import Recipe, ShardPlan

DEFAULT_IMAGES, DEFAULT_BOXES = ImageOptions(), BoxOptions()


def check_output(options: RecordSetOptions, images: ImageOptions = DEFAULT_IMAGES) -> None:
    """Checks that a record set can be written as ``options`` and ``images`` say.

    Worth calling before annotations are read, which may take minutes.

    Raises:
        InputError: ``options.output_dir`` already holds a set, another run is writing to it, the
            name cannot be that of a set, Beam cannot be used as ``options`` say, or a program that
            ``images`` need is not installed.
    """
    _check_name(options)
    if _needs_jpegtran(images):
        baseline.find_jpegtran()
    if options.beam_runner:
        from ssd_tfrecord.records.writing import beam

        beam.check(options)
    journal.refuse_if_held(options.output_dir)
    old_files = shards.files_of_set(options.output_dir, _set_name(options))
    # A run that was stopped while it moved its shards has left some: the same command resumes it.
    allowed = options.overwrite or options.dry_run or journal.is_publishing(options.output_dir)
    if old_files and not allowed:
        raise InputError(
            f"--output_dir={options.output_dir}: already holds a record set ({old_files[0]}): "
            "choose another folder, or pass --overwrite"
        )


def convert_and_report(sources: SourceSet, options: RecordSetOptions, **settings: Any) -> None:
    """Prints the notes of ``sources``, converts them, and prints the summary.

    Args:
        sources: what becomes the record set.
        options: the record set.
        **settings: further arguments of ``convert``.

    Raises:
        InputError: as of ``convert``.
    """
    for note in sources.notes:
        print(note)
    described = convert(sources, options, **settings)
    print(summary(described))
    if options.dry_run:
        print("dry run: nothing was written")
        return
    print(f"{len(described.shards)} shards in {described.directory}, described in manifest.json")
    if described.rejects:
        path = os.path.join(described.directory, manifest.REJECTS_NAME)
        print(
            "images and objects that were dropped, changed or are suspicious are listed in "
            f"{path}, one per line"
        )


def convert(
    sources: SourceSet,
    options: RecordSetOptions,
    *,
    images: ImageOptions = DEFAULT_IMAGES,
    boxes: BoxOptions = DEFAULT_BOXES,
    tool: str,
    flag_lines: Sequence[str],
) -> Manifest:
    """Writes the record set of ``sources``; until it is complete, nothing has a final name.

    Interrupted at any moment, the same call resumes with the shards that are not finished.

    Args:
        sources: what becomes the record set.
        options: the record set.
        images: what to do with images.
        boxes: what to do with objects.
        tool: the name of the program, for the manifest.
        flag_lines: the flags that it was given, for the manifest.

    Returns:
        the manifest that was written; for a dry run, the one that would have been.

    Raises:
        InputError: the output folder is in use, a class is not listed, an image is damaged, too
            much would be dropped, the disk is full, or a worker died.
    """
    # Again: much may have happened while the annotations were read.
    check_output(options, images)
    surveyed = survey(sources)
    ceiling = Ceiling(sources, surveyed, options.max_dropped)
    # Before anything is written, which may take hours.
    ceiling.check_reader()
    if not sources.images:
        raise InputError("no images to convert: the set is empty")
    for note in plausibility.check(sources, surveyed, images, boxes):
        print(note)
    classes = labels.choose_classes(
        options.classes, sources, boxes.unknown_classes, surveyed=surveyed
    )
    names = {item.name: item.id for item in classes}
    recipe = Recipe("", names, images, boxes, sources.pixel_origin)
    describe = _Description(sources, ceiling, options, classes, tool, flag_lines)
    if options.dry_run:
        with _write_errors("$TMPDIR"), tempfile.TemporaryDirectory() as folder:
            plans = _plan(sources, options, folder)
            return describe.manifest(_write(plans, {}, recipe, options))
    identity = _identity(flag_lines, recipe, options)
    place = f"--output_dir={options.output_dir}"
    with _write_errors(place), _opened(options, identity) as opened:
        plans = _plan(sources, options, opened.folder)
        recipe = dataclasses.replace(recipe, folder=opened.folder)
        finished = _write(plans, opened.finished(plans), recipe, options)
        complete = describe.manifest(finished)
        _join_rejects(opened.folder, plans, sources.rejects)
        dataclasses.replace(complete, directory=opened.folder).save()
        # The manifest is the last: a folder without one holds no record set.
        opened.publish(
            [*(item.file for item in plans), manifest.REJECTS_NAME, manifest.FILE_NAME],
            shards.files_of_set(options.output_dir, _set_name(options)),
        )
    return complete


def summary(described: Manifest) -> str:
    """The table that ends a conversion: what was dropped and written adds up to what was found."""
    rows: list[tuple[str, int]] = [
        *_found(described, "images", described.num_records),
        *((f"  {kind} files", count) for kind, count in described.formats.items()),
        *((f"  {note}", count) for note, count in described.notes.items()),
        *_found(described, "objects", described.num_objects),
        *_actions(described, "objects", "clipped"),
        *_actions(described, "objects", "reordered"),
        *_actions(described, "objects", "enclosed"),
        *_actions(described, "objects", "kept"),
        ("  difficult", described.num_difficult),
        ("  crowd", described.num_crowd),
        *((f"class {name}", counts["objects"]) for name, counts in described.per_class.items()),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}} {count:>8}" for name, count in rows)


def _found(described: Manifest, kind: str, num_written: int) -> list[tuple[str, int]]:
    dropped = _actions(described, kind, "dropped")
    total = num_written + sum(count for _, count in dropped)
    return [(f"{kind} found", total), *dropped, (f"{kind} written", num_written)]


def _actions(described: Manifest, kind: str, action: str) -> list[tuple[str, int]]:
    """Rows of what was done with ``images`` or ``objects``, one per reason."""
    begin = f"{kind} {action}: "
    return [
        (f"  {name.removeprefix(kind).strip()}", count)
        for name, count in described.actions.items()
        if name.startswith(begin)
    ]


def _set_name(options: RecordSetOptions) -> str:
    # abspath() also removes a slash at the end, after which there would be no name.
    return options.set_name or os.path.basename(os.path.abspath(options.output_dir))


def _check_name(options: RecordSetOptions) -> None:
    """Checks that the manifest could be read again, and that TensorFlow takes the shards' names."""
    name = _set_name(options)
    try:
        manifest_fields.check({"name": name}, manifest_fields.FIELDS)
    except FieldError:
        given = f"--set_name={name!r}" if options.set_name else f"--output_dir={name!r}"
        raise InputError(
            f"{given}: cannot name a record set: must be the name of a folder, without backslashes "
            "and control characters; --set_name gives another"
        ) from None
    try:
        os.path.join(options.output_dir, name).encode()
    except UnicodeEncodeError:
        raise InputError(f"--output_dir={options.output_dir!r}: must be UTF-8") from None


def _identity(
    flag_lines: Iterable[str], recipe: Recipe, options: RecordSetOptions
) -> dict[str, str]:
    """{flag or library: value} of all that the bytes depend on besides the source."""
    values = {}
    for line in flag_lines:
        name, _, value = line.removeprefix("--").partition("=")
        values[name] = value
    # The options too: a caller of convert() need not have made them from flags.
    for noun in (options, recipe.images, recipe.boxes):
        values.update({name: flag_text(value) for name, value in vars(noun).items()})
    programs = {"jpegtran": baseline.jpegtran_version()} if _needs_jpegtran(recipe.images) else {}
    free = names_of_role(options, "place", "means")
    flags = {f"--{name}": value for name, value in values.items() if name not in free}
    return {
        **flags,
        "--set_name": _set_name(options),
        # The list, not the flag alone: it may name a file, which can change.
        "classes": flag_text(tuple(recipe.labels)),
        "ssd_tfrecord": ssd_tfrecord.__version__,
        # It encodes the images that are not stored as they are.
        "Pillow": importlib.metadata.version("Pillow"),
        **programs,
    }


def _needs_jpegtran(images: ImageOptions) -> bool:
    return images.progressive == "baseline" and not images.recode


def _plan(sources: SourceSet, options: RecordSetOptions, folder: str) -> tuple[ShardPlan, ...]:
    name, seed = _set_name(options), options.shuffle_seed
    return shards.plan(sources.images, name, options.num_shards, seed, folder)


def _opened(options: RecordSetOptions, identity: Mapping[str, str]) -> Journal:
    return Journal(options.output_dir, identity, replace=options.overwrite)


@contextlib.contextmanager
def _write_errors(place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{place}: cannot be written: {error.strerror}") from None


def _write(
    plans: Sequence[ShardPlan],
    finished: Mapping[str, FinishedShard],
    recipe: Recipe,
    options: RecordSetOptions,
) -> dict[str, FinishedShard]:
    """Writes all ``plans`` but the ``finished`` ones; returns {file: shard} of both."""
    finished = dict(finished)
    missing = [item for item in plans if item.file not in finished]
    num_images = sum(item.num_images for item in plans)
    num_missing = sum(item.num_images for item in missing)
    if finished:
        print(
            f"resuming: {len(finished)} of {len(plans)} shards are already finished",
            file=sys.stderr,
        )
    # closing() stops the workers at once if this fails, not when the generator is collected.
    with (
        steady_bar(num_images, " images", done=num_images - num_missing) as progress,
        contextlib.closing(
            _write_shards(missing, num_missing, recipe, options, progress.update)
        ) as written,
    ):
        for item in written:
            finished[item.shard.file] = item
    return finished


def _write_shards(
    plans: Sequence[ShardPlan],
    num_images: int,
    recipe: Recipe,
    options: RecordSetOptions,
    advance: Callable[[int], object],
) -> Generator[FinishedShard, None, None]:
    """Yields each shard, written by the engine that ``options`` name."""
    if options.beam_runner:
        from ssd_tfrecord.records.writing import beam

        return beam.write_shards(plans, recipe, options, advance)
    num_workers = workers.choose_number(options.workers, num_images, len(plans))
    return shard_workers.write_shards(plans, recipe, num_workers, advance)


def _join_rejects(folder: str, plans: Iterable[ShardPlan], of_readers: Iterable[Reject]) -> None:
    """Writes rejects.jsonl: the readers' rejects, then those of the records, in record order."""
    with open(os.path.join(folder, manifest.REJECTS_NAME), "wb") as file:
        # One by one: there may be as many as objects, and they lie on disk.
        file.writelines(rejects.to_lines([item]) for item in of_readers)
        for item in plans:
            with open(os.path.join(folder, journal.rejects_file(item.file)), "rb") as part:
                shutil.copyfileobj(part, file)


class _Description:
    """What is known about the set before its shards are written."""

    def __init__(
        self,
        sources: SourceSet,
        ceiling: Ceiling,
        options: RecordSetOptions,
        classes: tuple[ClassLabel, ...],
        tool: str,
        flag_lines: Sequence[str],
    ) -> None:
        self._sources = sources
        self._ceiling = ceiling
        self._classes = classes
        self._known: dict[str, Any] = {
            "directory": options.output_dir,
            "schema_version": manifest.SCHEMA_VERSION,
            "tool": tool,
            "name": _set_name(options),
            "classes": classes,
            "pixel_origin": sources.pixel_origin,
            "flags": tuple(flag_lines),
        }

    def manifest(self, finished: Mapping[str, FinishedShard]) -> Manifest:
        """The manifest of ``finished``, {file: shard} of all shards.

        Raises:
            InputError: there is no record in them, or too much was dropped.
        """
        # Workers finish in any order; their names sort by the shard's number.
        ordered = [finished[file] for file in sorted(finished)]
        statistics = Statistics(item.name for item in self._classes)
        statistics.add_rejects(self._sources.rejects)
        for item in ordered:
            statistics.merge(item.counts)
        self._ceiling.check(statistics, (item.examples for item in ordered))
        num_records = sum(item.shard.num_records for item in ordered)
        if not num_records:
            raise InputError("no images left: all were dropped; see --bad_images")
        # As fingerprint.Gathered adds up images: the same for any number of shards.
        content = sum(item.content for item in ordered) % 2**256
        return Manifest(
            num_records=num_records,
            num_objects=statistics.total("objects"),
            num_difficult=statistics.total("difficult"),
            num_crowd=statistics.total("crowd"),
            shards=tuple(item.shard for item in ordered),
            source={**self._sources.origin, "fingerprint": f"{content:064x}"},
            **self._known,
            **statistics.counts(),
        )
