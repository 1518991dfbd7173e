"""What a folder holds, and whether a model can be made of it: before anything is written."""

import collections
import contextlib
import dataclasses
import hashlib
import os
import pathlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssd_tfrecord.config import FitConfig
from ssd_tfrecord.errors import DiskError, InputError
from ssd_tfrecord.options import SourceOptions
from ssd_tfrecord.records.sources.layouts import recognition
from ssd_tfrecord.records.sources.layouts.layout import Finding
from ssd_tfrecord.records.sources.source_set import SourceSet
from ssd_tfrecord.records.writing import source_parts

# Of fewer images neither training nor a score means anything.
MIN_IMAGES = 10
# How images without splits are divided into train and val.
SPLIT = (0.8, 0.2)
# What lies beside the records in the end: checkpoints with the optimizer's momenta (of VGG-16 at
# most four of 210 MB), exports, logs, pictures.
_BYTES_OF_RUN = 1_500_000_000


@dataclass(frozen=True)
class Found:
    """What a folder holds.

    ``parts`` is {split: number of images}, the splits in order, as they will be converted;
    ``split`` and ``classes`` are flags of the conversion; ``lines`` tell the user.
    """

    parts: Mapping[str, int]
    split: tuple[float, ...]
    classes: str
    lines: tuple[str, ...]

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Found | None":
        """What ``dataclasses.asdict`` has made of it, perhaps by way of JSON; None if it is not."""
        try:
            return cls(
                {str(name): int(count) for name, count in content["parts"].items()},
                tuple(float(share) for share in content["split"]),
                str(content["classes"]),
                tuple(str(line) for line in content["lines"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


def listing(config: FitConfig) -> str:
    """A digest of the names, sizes and times of all files in the folder of ``config``.

    What fit writes is left out, should it lie there, too; and so is what cannot be read.
    """
    own, total = os.path.realpath(config.output_dir), 0
    for folder, folders, files in os.walk(config.input):
        folders[:] = [name for name in folders if os.path.realpath(f"{folder}/{name}") != own]
        for name in files:
            path = os.path.join(folder, name)
            with contextlib.suppress(OSError):
                status = os.stat(path)
                known = os.path.relpath(path, config.input), status.st_size, status.st_mtime_ns
                # A sum, as files may be listed in another order.
                total += int.from_bytes(hashlib.sha256(repr(known).encode()).digest(), "big")
    return f"{total % 2**256:064x}"


def check(config: FitConfig) -> Found:
    """Looks into the folder of ``config``, and reads its annotations once.

    Raises:
        InputError: there is no layout, or several; fewer than ``MIN_IMAGES`` images; none to train
            on, or to evaluate on; a class without objects in training; no room on the disk; or the
            annotations cannot be read as the flags say.
    """
    finding = recognition.recognise(
        config.input, config.source.layout, config.output_dir, config.images.links
    )
    source, how = _divided(config, finding)
    sets = source_parts.read(
        config.input,
        finding,
        source,
        images=config.images,
        boxes=source_parts.boxes_of(finding, config.boxes),
        workers=0,
    )
    counts = {name: len(part.images) for name, part in sets.items()}
    _check_counts(config, counts)
    classes = _check_classes(config, sets)
    _check_room(config, sets)
    listed = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return Found(
        counts,
        source.split,
        classes,
        (recognition.describe(config.input, finding), *how, f"images: {listed}"),
    )


def _divided(config: FitConfig, finding: Finding) -> tuple[SourceOptions, list[str]]:
    """The options that make a training set and one to evaluate on; and a line if they are made."""
    if config.source.split:
        return config.source, []
    names = recognition.names_of_parts(config.input, finding)
    if len(names) == 1 and names[0] in ("", "train"):
        share = ",".join(f"{part:g}" for part in SPLIT)
        what = "no splits" if not names[0] else "no images to evaluate on"
        line = f"{what}: the images are divided, --split={share}"
        return dataclasses.replace(config.source, split=SPLIT), [line]
    if "train" not in names:
        raise InputError(
            f"--input={config.input}: has {' and '.join(names)}, but nothing to train on; must "
            "have train, or pass --split=0.8,0.2 to divide all images"
        )
    return config.source, []


def _check_counts(config: FitConfig, counts: Mapping[str, int]) -> None:
    total = sum(counts.values())
    if total < MIN_IMAGES:
        raise InputError(
            f"--input={config.input}: has {total} annotated images; must be at least {MIN_IMAGES}"
        )
    empty = [name for name, count in counts.items() if not count]
    if empty:
        raise InputError(
            f"--input={config.input}: {empty[0]} has no annotated image; remove that split, or "
            "pass --split=0.8,0.2 to divide all images"
        )


def training_parts(names: Iterable[str], *, hold_out: bool) -> tuple[list[str], str, str]:
    """Which splits are for what.

    Args:
        names: of the splits.
        hold_out: ``--hold_out``.

    Returns:
        (those that are trained on, the one that is looked at in training or "", the one that the
        model is evaluated on in the end).
    """
    names = list(names)
    if "test" not in names:
        return ["train"], "val", "val"
    if "val" not in names:
        return ["train"], "", "test"
    return (["train"], "val", "test") if hold_out else (["train", "val"], "", "test")


def _check_classes(config: FitConfig, sets: Mapping[str, SourceSet]) -> str:
    """Checks that all classes have objects to learn from; returns --classes of the conversion.

    That of a layout without a list of its own is auto, as VOC's 20 would not be learnt from images
    of two of them.
    """
    trained, _, _ = training_parts(sets, hold_out=config.hold_out)
    counts = {name: _objects(part) for name, part in sets.items()}
    anywhere = sum(counts.values(), collections.Counter[str]())
    if not anywhere:
        raise InputError(f"--input={config.input}: no image has an object; nothing can be learnt")
    own = {name for part in sets.values() for name in part.category_ids}
    classes = config.classes
    if classes == "default" and not own:
        classes = "auto"
    if classes not in ("default", "auto"):
        # The conversion checks a list of the user's own.
        return classes
    declared = own if classes == "default" else {*anywhere}
    in_training = sum((counts[name] for name in trained), collections.Counter[str]())
    _check_learnable(config, sorted(declared - {*in_training}), anywhere, trained)
    return classes


def _objects(part: SourceSet) -> collections.Counter[str]:
    """{class name: objects}."""
    return collections.Counter(item.name for image in part.images for item in image.objects)


def _check_learnable(
    config: FitConfig,
    missing: Sequence[str],
    anywhere: collections.Counter[str],
    trained: Sequence[str],
) -> None:
    """Raises an error if classes are ``missing`` in what is trained on."""
    if not missing:
        return
    listed = ", ".join(map(repr, missing[:5])) + (" …" if len(missing) > 5 else "")
    if any(anywhere[name] for name in missing):
        raise InputError(
            f"--input={config.input}: {listed}: no object in {' and '.join(trained)}, so it cannot "
            "be learnt; pass --split=0.8,0.2 to divide all images, or --classes=FILE without it"
        )
    raise InputError(
        f"--input={config.input}: {listed}: a class without objects; pass --classes=auto, which "
        "takes the classes that have some"
    )


def _check_room(config: FitConfig, sets: Mapping[str, SourceSet]) -> None:
    """Checks that records and run fit on the disk; what is there of an earlier start counts."""
    folder = pathlib.Path(config.output_dir).absolute()
    needed = _BYTES_OF_RUN
    for part in sets.values():
        for image in part.images:
            try:
                needed += image.num_bytes or os.path.getsize(image.image_path)
            except OSError:
                # The conversion says so, by name.
                continue
    if folder.is_dir():
        needed -= sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise DiskError(
            f"--output_dir={config.output_dir}: has room for {free / 1e9:.1f} GB; about "
            f"{needed / 1e9:.1f} GB are needed for records, checkpoints and exports"
        )
