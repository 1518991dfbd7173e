"""An evaluation from its flags to numbers, answers and a page that shows them."""

import contextlib
import json
import os
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ssd_tfrecord.config import EvalConfig
from ssd_tfrecord.detection.best_thresholds import EVALUATIONS
from ssd_tfrecord.detection.detections import file_names
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.runs.record_content import RecordContent

if TYPE_CHECKING:
    from ssd_tfrecord.evaluation.annotated_set import AnnotatedSet
    from ssd_tfrecord.evaluation.evaluated_set import EvaluatedSet
    from ssd_tfrecord.evaluation.origins import Origin, Outcome

METRICS_FILE = "metrics.json"
# What is written in folders of their own.
_PICTURES, _DETECTIONS = "pictures", "detections"
# Sub-folders of the detections; the first is read, too.
_PARTS = ("detection-results", "ground-truth")


def run(config: EvalConfig) -> None:
    """Writes the metrics of each set, the report, pictures and detections; then prints the metrics.

    Args:
        config: of the evaluation.

    Raises:
        InputError: a set, the run or the detections are missing or do not fit, or there is no
            image.
    """
    manifests = [_manifest(path) for path in config.records]
    for path in filter(None, (config.run_dir, config.detections, config.compare)):
        if not os.path.exists(path):
            raise InputError(f"{path}: no such file or folder")
    _check_images_dir(config)
    _check_reads(config, manifests)
    # TensorFlow takes seconds to import, so only once it is known that there are records.
    origin = _origin(config.run_dir or config.detections, config)
    other = _origin(config.compare, config) if config.compare else None
    for annotated in _annotated_sets(config, manifests):
        folder = _folder(config, annotated)
        # Before the work, so that a folder that cannot be made costs none.
        folder.mkdir(parents=True, exist_ok=True)
        try:
            outcome = origin.detect(annotated)
        except InputError:
            # If it is new: rmdir leaves a folder that holds anything.
            with contextlib.suppress(OSError):
                folder.rmdir()
            raise
        evaluated, lines = None, [*outcome.lines]
        try:
            if outcome.annotated.has_objects:
                evaluated = _score(config, folder, outcome, lines)
            else:
                lines.append(f"{annotated.where} has no annotations: metrics are skipped")
            _write_boxes(config, folder, outcome, lines)
        finally:
            # After the files, which must not be lost because a terminal cannot print something.
            _say(lines)
        if evaluated is not None and other is not None:
            _say(_compare(config, folder, evaluated, other, annotated))


def _say(lines: Sequence[str]) -> None:
    if lines:
        print(*lines, sep="\n")


def _check_images_dir(config: EvalConfig) -> None:
    place = os.path.join(config.output_dir, _PICTURES)
    # Compared as files: links and .. lead to one folder by several names.
    if not config.records and _is_one_file(config.images_dir, place):
        raise InputError(
            f"--images_dir={config.images_dir}: is {place}, which the drawn pictures are written "
            "to; must be another folder, or else --output_dir"
        )


def _check_reads(config: EvalConfig, manifests: Sequence[Manifest]) -> None:
    """Checks that no file that is read may be replaced by one of --save_detections."""
    if not config.save_detections:
        return
    places = [pathlib.Path(config.output_dir)]
    if manifests:
        sets = [(manifest.name, RecordContent.of(manifest).digest) for manifest in manifests]
        places = [place for name, digest in sets for place in _places(config, name, digest)]
    written = [place / _DETECTIONS / part for place in places for part in ("", *_PARTS)]
    for flag in ("detections", "compare", "annotations", "annotations_dir"):
        path = getattr(config, flag)
        # Of a folder that contains one of these, nothing else is read; of another, all below it.
        alone = [os.path.join(path, name) for name in (_PARTS[0], "results.json", "flags.txt")]
        reads_all = bool(path) and not any(map(os.path.exists, alone))
        for place in written if path else ():
            lies_in = any(_lies_in(read, place) for read in (path, alone[0]))
            if lies_in or (reads_all and place.is_dir() and _lies_in(place, path)):
                raise InputError(
                    f"--{flag}={path}: {'lies in' if lies_in else 'contains'} {place}, which "
                    f"--save_detections={config.save_detections} writes to; must lie elsewhere, "
                    "or else --output_dir"
                )


def _lies_in(path: str | pathlib.Path, folder: str | pathlib.Path) -> bool:
    try:
        real = pathlib.Path(os.path.realpath(path))
    # A null character, which is told where the file is read.
    except ValueError:
        return False
    return any(_is_one_file(above, folder) for above in (real, *real.parents))


def _is_one_file(path: str | pathlib.Path, other: str | pathlib.Path) -> bool:
    try:
        return os.path.samefile(path, other)
    # ValueError: a null character.
    except (OSError, ValueError):
        return False


def _manifest(path: str) -> Manifest:
    manifest = Manifest.load(path)
    if not manifest.num_records:
        raise InputError(f"--records={path}: the set has no images; convert it again")
    return manifest


def _origin(path: str, config: EvalConfig) -> "Origin":
    """The model of a run folder, or else files of detections."""
    from ssd_tfrecord.devices import onednn
    from ssd_tfrecord.evaluation.origins import DetectionFiles
    from ssd_tfrecord.runs.run_folder import FLAGS_FILE, read_config

    if path != config.run_dir and not os.path.exists(os.path.join(path, FLAGS_FILE)):
        return DetectionFiles(
            path,
            kind=config.detections_format,
            classes_file=config.detections_classes,
            classes=config.classes,
        )
    run = read_config(path)
    onednn.set_up(config.devices.onednn, run.devices.onednn)
    # They import TensorFlow, for which files of detections do not have to wait.
    from ssd_tfrecord.devices.strategy import create_strategy
    from ssd_tfrecord.evaluation.trained_model import Model

    return Model(
        path,
        config.checkpoint,
        create_strategy(config.devices),
        options=config.detection,
        classes=config.classes,
        batch_size=config.batch_size,
        num_workers=config.num_workers,
        with_loss=config.loss,
    )


def _annotated_sets(config: EvalConfig, manifests: list[Manifest]) -> "Iterator[AnnotatedSet]":
    """The sets, each read when it is its turn."""
    from ssd_tfrecord.evaluation.annotated_set import from_records
    from ssd_tfrecord.evaluation.files.truth_files import read_coco_truths, read_voc_truths

    for manifest in manifests:
        yield from_records(manifest)
    if not manifests:
        read = read_coco_truths if config.annotations else read_voc_truths
        annotated, lines = read(config.annotations or config.annotations_dir, config.images_dir)
        _say(lines)
        yield annotated


def _folder(config: EvalConfig, annotated: "AnnotatedSet") -> pathlib.Path:
    """Where the results of a set go, so that they replace those of the same set only."""
    *others, last = _places(config, annotated.name, annotated.digest)
    free = (place for place in others if _digest_of(place) in ("", annotated.digest))
    return next(free, last)


def _places(config: EvalConfig, name: str, digest: str) -> list[pathlib.Path]:
    """Where the results of a set may go: to the second if another set of its name has the first."""
    if config.output_dir and len(config.records) < 2:
        return [pathlib.Path(config.output_dir)]
    folder = pathlib.Path(config.output_dir or os.path.join(config.run_dir, EVALUATIONS))
    (name,) = file_names([name])
    return [folder / name, folder / f"{name}-{digest[:8]}"]


def _digest_of(folder: pathlib.Path) -> str:
    """The digest of the set whose results lie in ``folder``; "" if there are none."""
    try:
        measured = json.loads((folder / METRICS_FILE).read_bytes())["measured"]
        digest = measured["records_sha256"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return ""
    return digest if isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{64}", digest) else ""


def _score(
    config: EvalConfig, folder: pathlib.Path, outcome: "Outcome", lines: list[str]
) -> "EvaluatedSet":
    """Writes the metrics and, if asked to, the report; appends to ``lines`` what is to be said."""
    from ssd_tfrecord.evaluation.judging import judge
    from ssd_tfrecord.evaluation.metrics import coco_summary, format_metrics
    from ssd_tfrecord.evaluation.report import report
    from ssd_tfrecord.runs.run_folder import write_text

    evaluated = judge(outcome, bootstrap=config.bootstrap)
    curves = evaluated.answers.curves
    best = dict(zip(evaluated.scored.class_names, curves.best))
    lines.append(format_metrics(evaluated.metrics, best, curves.overall_best))
    if outcome.loss is not None:
        lines.append(f"loss {outcome.loss:.4f}")
    if config.verbose:
        lines.append(coco_summary(evaluated.metrics))
    # Python would write NaN, which is not JSON; the metrics use None instead.
    content = json.dumps(evaluated.metrics, indent=1, ensure_ascii=False, allow_nan=False)
    text = content.encode("utf-8", "backslashreplace").decode()
    write_text(folder / METRICS_FILE, text + "\n")
    lines.append(f"metrics: {folder / METRICS_FILE}")
    if config.report:
        lines += report.write(folder, evaluated, num_pictures=config.num_pictures)
    return evaluated


def _compare(
    config: EvalConfig,
    folder: pathlib.Path,
    evaluated: "EvaluatedSet",
    other: "Origin",
    annotated: "AnnotatedSet",
) -> list[str]:
    """Writes the page of two evaluations of one set; returns what is to be said."""
    from ssd_tfrecord.evaluation.analysis.intervals import differences
    from ssd_tfrecord.evaluation.judging import judge
    from ssd_tfrecord.evaluation.report import comparison_page

    outcome = other.detect(annotated)
    second = judge(outcome, bootstrap=config.bootstrap)
    if evaluated.scored.class_names != second.scored.class_names:
        raise InputError(
            f"--compare={config.compare}: is scored on other classes than "
            f"{config.run_dir or config.detections}; both must have the same classes"
        )
    changes = differences(
        (evaluated.scored, evaluated.overlaps),
        (second.scored, second.overlaps),
        num_samples=config.bootstrap,
    )
    return [*outcome.lines, *comparison_page.write(folder, evaluated, second, changes)]


def _write_boxes(
    config: EvalConfig, folder: pathlib.Path, outcome: "Outcome", lines: list[str]
) -> None:
    """Writes detections and pictures, as far as asked; appends to ``lines`` what is to be said."""
    from ssd_tfrecord.detection import pictures
    from ssd_tfrecord.evaluation.files.writers import write_detections

    annotated = outcome.annotated
    if config.save_detections:
        place = folder / _DETECTIONS
        changed = write_detections(config.save_detections, place, annotated, outcome.detections)
        lines.append(f"detections: {place}")
        if changed:
            lines.append(
                f"{changed}: names of classes or images that had to be changed for these files"
            )
    if config.num_pictures and annotated.read_images:
        drawn = pictures.beside_truth(
            annotated.read_images,
            annotated.truths,
            outcome.detections,
            annotated.class_names,
            config.num_pictures,
        )
        pictures.write_pictures(folder / _PICTURES, drawn)
        lines.append(f"pictures: {folder / _PICTURES}")
