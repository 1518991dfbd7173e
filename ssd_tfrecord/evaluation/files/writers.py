"""Detections as files that other tools read: VOC's devkit, COCO's results, Cartucho/mAP's text."""

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
from ssd_tfrecord.runs.run_folder import write_text

if TYPE_CHECKING:
    from ssd_tfrecord.detection.ground_truth import GroundTruth
    from ssd_tfrecord.evaluation.annotated_set import AnnotatedSet

# Of a set's name in a file's, in bytes: 255 less 200 of the class and all between.
_MAX_SET_NAME = 40


def write_detections(
    kind: str,
    folder: str | os.PathLike[str],
    annotated: "AnnotatedSet",
    detections: Sequence[Detections],
) -> pathlib.Path | None:
    """Writes ``detections`` into ``folder``, in place of those of an earlier call.

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
        folder: created if it does not exist; text files of an earlier call are removed.
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
        _write_voc(folder, detections, classes, images, annotated.name)
    else:
        classes, images = word_names(annotated.class_names), image_names(source_ids)
        _write_cartucho(folder, annotated.truths, detections, classes, images)
    return _write_changed(folder, zip(classes, annotated.class_names), zip(images, source_ids))


def _write_voc(
    folder: pathlib.Path,
    detections: Sequence[Detections],
    class_names: Sequence[str],
    names: Sequence[str],
    set_name: str,
) -> None:
    _clear(folder, "comp4_det_*.txt")
    safe_name = file_names([set_name])[0].encode()[:_MAX_SET_NAME].decode(errors="ignore")
    lines: list[list[str]] = [[] for _ in class_names]
    for image, name in zip(detections, names):
        for label, score, box in _devkit_rows(image):
            lines[label - 1].append(f"{name} {score} {box}")
    for class_name, rows in zip(class_names, lines):
        _write_lines(folder / f"comp4_det_{safe_name}_{class_name}.txt", rows)


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


def _write_cartucho(
    folder: pathlib.Path,
    ground_truths: "Sequence[GroundTruth]",
    detections: Sequence[Detections],
    class_names: Sequence[str],
    names: Sequence[str],
) -> None:
    for part in ("detection-results", "ground-truth"):
        (folder / part).mkdir(exist_ok=True)
        _clear(folder / part, "*.txt")
    for truth, image, name in zip(ground_truths, detections, names):
        found = [
            f"{class_names[label - 1]} {score} {box}" for label, score, box in _devkit_rows(image)
        ]
        _write_lines(folder / "detection-results" / f"{name}.txt", found)
        boxes = _devkit_texts(truth)
        # It knows no crowds; both kinds are neither found nor missed.
        objects = [
            f"{class_names[label - 1]} {box}{' difficult' if ignored else ''}"
            for label, box, ignored in zip(truth.labels, boxes, truth.difficult | truth.crowd)
        ]
        _write_lines(folder / "ground-truth" / f"{name}.txt", objects)


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


def _clear(folder: pathlib.Path, pattern: str) -> None:
    # Files of classes or images that are no longer there would be read as part of the result.
    for path in folder.glob(pattern):
        path.unlink()


def _devkit_rows(image: Detections) -> Iterator[tuple[int, str, str]]:
    return zip(image.labels, map(_score_text, image.scores), _devkit_texts(image))


def _score_text(score: np.floating) -> str:
    # As short as tells it from its neighbours among floats: scores that differ must not be tied.
    return np.format_float_positional(np.float32(score), unique=True, min_digits=6)


def _devkit_texts(image: "Detections | GroundTruth") -> list[str]:
    boxes = devkit_boxes(image.boxes, image.height, image.width)
    return [" ".join(f"{edge:.3f}" for edge in box) for box in boxes]


def _write_lines(path: pathlib.Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_json(path: pathlib.Path, content: object) -> None:
    text = json.dumps(content, ensure_ascii=False)
    # A lone surrogate can be spelled in JSON, but not in UTF-8.
    write_text(path, text.encode("utf-8", "backslashreplace").decode() + "\n")
