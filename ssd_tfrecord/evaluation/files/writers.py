"""Detections as files that other tools read: VOC's devkit, COCO's results, Cartucho/mAP's text."""

import fnmatch
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ssd_tfrecord.detection.detections import (
    Detections,
    devkit_boxes,
    file_names,
    image_names,
    image_words,
    word_names,
)
from ssd_tfrecord.evaluation.files.changed_names import CHANGED_NAMES
from ssd_tfrecord.evaluation.files.coco_rows import result_rows, truth_rows
from ssd_tfrecord.runs.run_files import write_bytes, write_text

if TYPE_CHECKING:
    from ssd_tfrecord.detection.ground_truth import GroundTruth
    from ssd_tfrecord.evaluation.annotated_set import AnnotatedSet

WRITTEN_FILES = "written_files.json"
# Cartucho/mAP's folders.
_FOUND, _TRUTH = "detection-results", "ground-truth"
# Text files of ours.
_TEXTS = ("comp4_det_*.txt", f"{_FOUND}/*.txt", f"{_TRUTH}/*.txt")
# Of a set's name in a file's, in bytes: 255 less 200 of the class and all between.
_MAX_SET_NAME = 40


def write_detections(
    kind: str,
    folder: str | os.PathLike[str],
    annotated: "AnnotatedSet",
    detections: Sequence[Detections],
) -> pathlib.Path | None:
    """Writes ``detections`` into ``folder``, in place of those of an earlier call.

    written_files.json lists the text files there that are ours; the next call of the same kind
    removes them, and no others.

    Two classes never share a file or a word, nor do two images. If that, or a file system, takes
    another name than a class or an image has, changed_names.json holds {classes: {name in the
    files: class}, images: {name in the files: source_id}} of all that were changed. Scores have
    enough digits to tell any two apart, and boxes those of ``pixel_boxes``, so that
    ``read_detections`` gives back what was written.

    Args:
        kind: voc: comp4_det_<set>_<class>.txt for each class, with lines ``image score xmin ymin
            xmax ymax`` in VOC's pixels (from 1, both ends inside). coco: results.json with boxes
            [x, y, width, height], and ground_truth.json, the instances JSON that it belongs to;
            pycocotools gives them the numbers of ``coco_metrics``. cartucho: detection-results/
            and ground-truth/ with one text file per image, lines ``class [score] left top right
            bottom [difficult]`` in VOC's pixels; spaces in class names become underscores.
        folder: created if it does not exist.
        annotated: the set. Its name is in those of VOC's files, with an underscore for what a file
            system may refuse.
        detections: one per image of it, in its order, with its labels.

    Returns:
        The path of changed_names.json; None if there is no need for it.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CHANGED_NAMES).unlink(missing_ok=True)
    if kind == "coco":
        results = result_rows(detections, annotated.image_ids, annotated.original_ids)
        _write_json(folder / "ground_truth.json", _instances(annotated))
        _write_json(folder / "results.json", results)
        return None
    source_ids = [image.source_id for image in detections]
    if kind == "voc":
        classes, images = file_names(annotated.class_names), image_words(source_ids)
        set_name = file_names([annotated.name])[0].encode()[:_MAX_SET_NAME]
        prefix = f"comp4_det_{set_name.decode(errors='ignore')}"
        _replace(
            folder,
            _TEXTS[0],
            [f"{prefix}_{class_name}.txt" for class_name in classes],
            _voc_lines(detections, len(classes), images),
        )
    else:
        classes, images = word_names(annotated.class_names), image_names(source_ids)
        for part, pattern, lines in (
            (_FOUND, _TEXTS[1], _found_lines(detections, classes)),
            (_TRUTH, _TEXTS[2], _truth_lines(annotated.truths, classes)),
        ):
            (folder / part).mkdir(exist_ok=True)
            _replace(folder, pattern, [f"{part}/{name}.txt" for name in images], lines)
    return _write_changed(folder, zip(classes, annotated.class_names), zip(images, source_ids))


def _voc_lines(
    detections: Sequence[Detections], num_classes: int, names: Sequence[str]
) -> list[list[str]]:
    """The lines of each class's file, with the images' ``names``."""
    lines: list[list[str]] = [[] for _ in range(num_classes)]
    for image, name in zip(detections, names):
        for label, score, box in _devkit_rows(image):
            lines[label - 1].append(f"{name} {score} {box}")
    return lines


def _instances(annotated: "AnnotatedSet") -> dict[str, object]:
    """COCO's instances JSON. It has difficult objects like any other, as ``coco_metrics`` does."""
    images = [
        {
            "id": image_id,
            # Left out where it is unknown: "" would be the folder.
            **({"file_name": file} if file else {}),
            "width": truth.width,
            "height": truth.height,
        }
        for truth, image_id, file in zip(
            annotated.truths, annotated.image_ids, annotated.file_names
        )
    ]
    names = zip(annotated.original_ids, annotated.class_names)
    return {
        "images": images,
        "annotations": truth_rows(annotated.truths, annotated.image_ids, annotated.original_ids),
        "categories": [{"id": own, "name": name} for own, name in names],
    }


def _found_lines(
    detections: Sequence[Detections], class_names: Sequence[str]
) -> Iterator[list[str]]:
    """The lines of each image's file in detection-results."""
    for image in detections:
        rows = _devkit_rows(image)
        yield [f"{class_names[label - 1]} {score} {box}" for label, score, box in rows]


def _truth_lines(
    ground_truths: "Sequence[GroundTruth]", class_names: Sequence[str]
) -> Iterator[list[str]]:
    """The lines of each image's file in ground-truth."""
    for truth in ground_truths:
        # It knows no crowds; both kinds are neither found nor missed.
        ignored = truth.difficult | truth.crowd
        yield [
            f"{class_names[label - 1]} {box}{' difficult' if is_ignored else ''}"
            for label, box, is_ignored in zip(truth.labels, _devkit_texts(truth), ignored)
        ]


def _write_changed(
    folder: pathlib.Path, classes: Iterable[tuple[str, str]], images: Iterable[tuple[str, str]]
) -> pathlib.Path | None:
    """Writes which names were changed, of (name in the files, name) pairs, and returns the path."""
    changed = {
        "classes": {new: old for new, old in classes if new != old},
        # 000001 for VOC2007/000001 is the image's own name.
        "images": {new: old for new, old in images if new != old.rsplit("/", 1)[-1]},
    }
    if not any(changed.values()):
        return None
    _write_json(folder / CHANGED_NAMES, changed)
    return folder / CHANGED_NAMES


def _replace(
    folder: pathlib.Path, pattern: str, names: Sequence[str], lines: Iterable[Iterable[str]]
) -> None:
    """Writes text files in place of those of the same ``pattern`` that an earlier call wrote.

    Args:
        folder: must exist, with the sub-folders of ``names``.
        pattern: of the names of such files.
        names: of the files, relative to ``folder``.
        lines: of each.
    """
    listed = _listed(folder)
    earlier = {path.relative_to(folder).as_posix(): path for path in folder.glob(pattern)}
    # Files of classes or images that are no longer there would be read as part of the result.
    for name in listed & {*earlier}:
        earlier[name].unlink()
    # Before them, so that a call that is killed leaves no file that is not listed.
    others = {name for name in listed if not fnmatch.fnmatchcase(name, pattern)}
    _write_json(folder / WRITTEN_FILES, {"files": sorted({*others, *names})})
    for name, rows in zip(names, lines):
        write_bytes(folder / name, "".join(f"{row}\n" for row in rows).encode())


def _listed(folder: pathlib.Path) -> set[str]:
    """The names in written_files.json; of a damaged one, none."""
    try:
        names = json.loads((folder / WRITTEN_FILES).read_bytes())["files"]
        return {name for name in names if any(fnmatch.fnmatchcase(name, p) for p in _TEXTS)}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return set()


def _devkit_rows(image: Detections) -> Iterator[tuple[int, str, str]]:
    return zip(image.labels, map(_score_text, image.scores), _devkit_texts(image))


def _score_text(score: np.floating) -> str:
    # As short as tells it from its neighbours among floats: scores that differ must not be tied.
    return np.format_float_positional(np.float32(score), unique=True, min_digits=6)


def _devkit_texts(image: "Detections | GroundTruth") -> list[str]:
    boxes = devkit_boxes(image.boxes, image.height, image.width)
    return [" ".join(f"{edge:.3f}" for edge in box) for box in boxes]


def _write_json(path: pathlib.Path, content: object) -> None:
    text = json.dumps(content, ensure_ascii=False)
    # A lone surrogate can be spelled in JSON, but not in UTF-8.
    write_text(path, text.encode("utf-8", "backslashreplace").decode() + "\n")
