"""Several record sets of one conversion: the splits of a data set, with one class list."""

import contextlib
import dataclasses
import json
import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import BoxOptions, ImageOptions, RecordSetOptions, flag_text
from ssd_tfrecord.records.known_classes import VOC_CLASSES
from ssd_tfrecord.records.manifest import FILE_NAME, SCHEMA_VERSION, ClassLabel, Manifest
from ssd_tfrecord.records.sources import labels, spool
from ssd_tfrecord.records.sources.layouts.joined import joined_ids
from ssd_tfrecord.records.sources.source_set import SourceSet
from ssd_tfrecord.records.sources.spool import Spool
from ssd_tfrecord.records.writing import convert, fingerprint

# Beside the parts: has their class list in the form of a manifest, which --classes accepts.
CLASSES_NAME = "classes.json"


@dataclass(frozen=True)
class Conversion:
    """What all parts have in common.

    ``record_set`` is of all of them: a part has its own folder in ``output_dir``, unless it is the
    only one. ``default_classes`` is what --classes=default stands for if the source has no list of
    its own: auto, or voc. ``flag_lines`` are the flags of the program ``tool``, and ``free`` the
    names of those that do not matter to the result.
    """

    record_set: RecordSetOptions
    images: ImageOptions
    boxes: BoxOptions
    tool: str
    flag_lines: Sequence[str]
    free: frozenset[str]
    default_classes: str = "auto"

    def options_of(self, name: str, names: Sequence[str]) -> RecordSetOptions:
        """Returns the options of the part ``name`` of ``names``."""
        if len(names) == 1:
            return self.record_set
        set_name = self.record_set.set_name
        return dataclasses.replace(
            self.record_set,
            output_dir=os.path.join(self.record_set.output_dir, name),
            set_name=f"{set_name}_{name}" if set_name else "",
        )

    def is_complete(self, name: str, names: Sequence[str]) -> bool:
        """Returns whether a part has been written by the same command."""
        options = self.options_of(name, names)
        if options.overwrite or options.dry_run:
            return False
        try:
            flags = Manifest.load(options.output_dir).flags
        except InputError:
            return False
        return self._matter(flags) == self._matter(self.flag_lines)

    def _matter(self, lines: Sequence[str]) -> list[str]:
        # In whatever order --help has them.
        return sorted(line for line in lines if line[2:].partition("=")[0] not in self.free)


def has_work(conversion: Conversion, names: Sequence[str]) -> bool:
    """Checks that the parts ``names`` can be written, before annotations are read.

    Returns:
        whether a part is not complete yet; those that are, are named.

    Raises:
        InputError: a folder is in use or holds another record set.
    """
    missing = False
    for name in names:
        options = conversion.options_of(name, names)
        if conversion.is_complete(name, names):
            print(
                f"{options.output_dir} is complete: the same command has written it; if the input "
                "has changed since, pass --overwrite"
            )
        else:
            convert.check_output(options, conversion.images)
            missing = True
    return missing


def convert_parts(sources: Mapping[str, SourceSet], conversion: Conversion) -> None:
    """Converts each part that is not complete yet, and prints what was written.

    Args:
        sources: {name of the part: its images}, at least one.
        conversion: what they have in common.

    Raises:
        InputError: as of ``convert.convert``; or the parts have no common class list.
    """
    names = list(sources)
    classes = _class_flag(sources, conversion)
    if len(sources) == 1:
        _convert(sources[names[0]], conversion, conversion.record_set, classes)
        return
    chosen = _choose(sources, conversion, classes)
    missing = {}
    for name, source in sources.items():
        options = conversion.options_of(name, names)
        if conversion.is_complete(name, names):
            _check_same(options.output_dir, source, chosen)
        else:
            missing[name] = source, options
    with _class_file(chosen, conversion.record_set) as path:
        for name, (source, options) in missing.items():
            print(f"{name}:")
            try:
                _convert(source, conversion, options, path)
            except InputError as error:
                raise InputError(f"{name}: {error}") from None


def train_command(conversion: Conversion, names: Sequence[str]) -> str:
    """Returns the command that trains on what was written."""
    folders = {name: conversion.options_of(name, names).output_dir for name in names}
    train = folders.get("train", folders[names[0]])
    held_out = folders.get("val", folders.get("test", train))
    words = ["ssd-tfrecord", "train", f"--train_records={flag_text((train,))}"]
    words += [f"--eval_records={held_out}"] if held_out != train else []
    run = os.path.basename(os.path.abspath(conversion.record_set.output_dir))
    return shlex.join([*words, f"--run_dir=runs/{run}"])


def _convert(
    source: SourceSet, conversion: Conversion, options: RecordSetOptions, classes: str
) -> None:
    convert.convert_and_report(
        source,
        dataclasses.replace(options, classes=classes),
        images=conversion.images,
        boxes=conversion.boxes,
        tool=conversion.tool,
        flag_lines=conversion.flag_lines,
    )


def _class_flag(sources: Mapping[str, SourceSet], conversion: Conversion) -> str:
    """--classes, or what default stands for."""
    if conversion.record_set.classes != "default" or joined_ids(sources):
        return conversion.record_set.classes
    if conversion.default_classes != "voc":
        return "auto"
    images = (image for part in sources.values() for image in part.images)
    names = {item.name for image in images for item in image.objects}
    # A folder may be called VOC2007 and have classes of its own.
    return "voc" if names <= {*VOC_CLASSES} else "auto"


def _choose(
    sources: Mapping[str, SourceSet], conversion: Conversion, classes: str
) -> tuple[ClassLabel, ...]:
    """The class list of all parts together."""
    examples, seen = Spool(spool.IMAGES), set[str]()
    for name, part in sources.items():
        for image in part.images:
            new = {item.name for item in image.objects} - seen
            if new:
                # One image for each class: names are all that matters here, and where they occur.
                examples.append(dataclasses.replace(image, file=f"{name}: {image.file}"))
                seen |= new
    try:
        ids = joined_ids(sources)
    except InputError:
        # Ids that differ do not matter if names decide.
        if classes == "default":
            raise
        ids = {}
    union = SourceSet(examples, {}, category_ids=ids)
    return labels.choose_classes(classes, union, conversion.boxes.unknown_classes)


@contextlib.contextmanager
def _class_file(chosen: Sequence[ClassLabel], options: RecordSetOptions) -> Iterator[str]:
    """Writes the class list beside the parts, or for a dry run where it is removed again."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "classes": [dataclasses.asdict(item) for item in chosen],
    }
    with contextlib.ExitStack() as stack:
        folder = options.output_dir
        if options.dry_run:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
        path = os.path.join(folder, CLASSES_NAME)
        try:
            os.makedirs(folder, exist_ok=True)
            # Under its name it is complete: another part may be read with it at any time.
            with open(path + ".tmp", "w", encoding="utf-8") as file:
                json.dump(content, file, indent=1, ensure_ascii=False)
            os.replace(path + ".tmp", path)
        except OSError as error:
            raise InputError(
                f"--output_dir={options.output_dir}: cannot be written: {error.strerror}"
            ) from None
        yield path


def _check_same(folder: str, source: SourceSet, chosen: Sequence[ClassLabel]) -> None:
    """Checks that a complete part has the classes of the others, and the images of now.

    Others would mix the parts: divided anew, an image could be in two of them.
    """
    path, described = os.path.join(folder, FILE_NAME), Manifest.load(folder)
    names = [item.name for item in described.classes]
    if names != [item.name for item in chosen]:
        raise InputError(
            f"{path}: has the classes {', '.join(names)}, but the annotations now have "
            f"{', '.join(item.name for item in chosen)}; pass --overwrite"
        )
    now = fingerprint.of_images(source.images).text
    if described.source.get("fingerprint", now) != now:
        raise InputError(
            f"{path}: was made from other images or annotations than are there now; pass "
            "--overwrite, which makes all parts again"
        )
