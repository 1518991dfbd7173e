"""Detections as files that other tools read: VOC's devkit, COCO's results, Cartucho/mAP's text."""

import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ssd_tfrecord.detection.detections import Detections, devkit_boxes, image_names
from ssd_tfrecord.evaluation.coco_metrics import image_ids, result_rows

if TYPE_CHECKING:
    from ssd_tfrecord.detection.ground_truth import GroundTruth


def write_detections(
    kind: str,
    folder: str | os.PathLike[str],
    *,
    ground_truths: "Sequence[GroundTruth]",
    detections: Sequence[Detections],
    class_names: Sequence[str],
    original_ids: Sequence[int],
) -> None:
    """Writes ``detections`` into ``folder``, in place of those of an earlier call.

    Args:
        kind: voc: comp4_det_test_<class>.txt for each class, with lines ``image score xmin ymin
            xmax ymax`` in VOC's pixels (from 1, both ends inside). coco: results.json with COCO's
            image and category ids, boxes [x, y, width, height]. cartucho: detection-results/ and
            ground-truth/ with one text file per image, lines ``class [score] left top right bottom
            [difficult]`` in VOC's pixels; spaces in class names become underscores.
        folder: created if it does not exist; text files of an earlier call are removed.
        ground_truths: one per image; only cartucho writes them.
        detections: of the same images, in the same order.
        class_names: the name of each class, in label order.
        original_ids: COCO's category id of each class, in label order.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "voc":
        _write_voc(folder, detections, class_names)
    elif kind == "coco":
        _write_coco(folder, detections, original_ids)
    else:
        _write_cartucho(folder, ground_truths, detections, class_names)


def _write_voc(
    folder: pathlib.Path, detections: Sequence[Detections], class_names: Sequence[str]
) -> None:
    _clear(folder, "comp4_det_test_*.txt")
    lines: dict[str, list[str]] = {name: [] for name in class_names}
    for image, name in zip(detections, _names(detections)):
        for label, score, box in _devkit_rows(image):
            lines[class_names[label - 1]].append(f"{name} {score:.6f} {box}")
    for name, rows in lines.items():
        # A slash would lead into another folder.
        _write_lines(folder / f"comp4_det_test_{name.replace('/', '_')}.txt", rows)


def _write_coco(
    folder: pathlib.Path, detections: Sequence[Detections], original_ids: Sequence[int]
) -> None:
    ids = image_ids([image.source_id for image in detections])
    with open(folder / "results.json", "w", encoding="utf-8") as file:
        json.dump(result_rows(detections, ids, original_ids), file)


def _write_cartucho(
    folder: pathlib.Path,
    ground_truths: "Sequence[GroundTruth]",
    detections: Sequence[Detections],
    class_names: Sequence[str],
) -> None:
    # Its lines are split at spaces.
    class_names = [name.replace(" ", "_") for name in class_names]
    for part in ("detection-results", "ground-truth"):
        (folder / part).mkdir(exist_ok=True)
        _clear(folder / part, "*.txt")
    for truth, image, name in zip(ground_truths, detections, _names(detections)):
        found = [f"{class_names[label - 1]} {s:.6f} {box}" for label, s, box in _devkit_rows(image)]
        _write_lines(folder / "detection-results" / f"{name}.txt", found)
        boxes = _devkit_texts(truth)
        # It knows no crowds; both kinds are neither found nor missed.
        objects = [
            f"{class_names[label - 1]} {box}{' difficult' if ignored else ''}"
            for label, box, ignored in zip(truth.labels, boxes, truth.difficult | truth.crowd)
        ]
        _write_lines(folder / "ground-truth" / f"{name}.txt", objects)


def _clear(folder: pathlib.Path, pattern: str) -> None:
    # Files of classes or images that are no longer there would be read as part of the result.
    for path in folder.glob(pattern):
        path.unlink()


def _names(images: Iterable[Detections]) -> list[str]:
    return image_names([image.source_id for image in images])


def _devkit_rows(image: Detections) -> Iterator[tuple[int, float, str]]:
    return zip(image.labels, image.scores, _devkit_texts(image))


def _devkit_texts(image: "Detections | GroundTruth") -> list[str]:
    boxes = devkit_boxes(image.boxes, image.height, image.width)
    return [" ".join(f"{edge:.3f}" for edge in box) for box in boxes]


def _write_lines(path: pathlib.Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
