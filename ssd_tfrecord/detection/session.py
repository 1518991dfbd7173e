"""The detect command: from its config to pictures, detections.json and a summary."""

import collections
import json
import pathlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from ssd_tfrecord.config import DetectConfig
from ssd_tfrecord.detection import image_files
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.images.stored_image import MAX_JPEG_SIDE

if TYPE_CHECKING:
    from ssd_tfrecord.detection.detections import Detections
    from ssd_tfrecord.detection.detector import Detector
    from ssd_tfrecord.records.sources.source_set import SourceObject


def run(config: DetectConfig) -> None:
    """Writes a picture with boxes for each image, and detections.json; prints a summary.

    Raises:
        InputError: there is no image, none can be read, or the output folder contains one of them.
    """
    # Everything that needs no TensorFlow is checked before _load imports it.
    paths, folder = image_files.find_images(config.images), pathlib.Path(config.output_dir)
    image_files.check_output_dir(folder, paths)
    if config.annotations_dir and not pathlib.Path(config.annotations_dir).is_dir():
        raise InputError(f"--annotations_dir={config.annotations_dir}: must be a folder")
    detector = _load(config)
    folder.mkdir(parents=True, exist_ok=True)
    # Of all images at once, because images in different folders may have the same stem.
    names = dict(zip(paths, image_files.output_names(paths)))
    entries: dict[pathlib.Path, dict[str, Any]] = {}
    seconds = 0.0
    # In batches, so that no more than batch_size images are in memory.
    for start in range(0, len(paths), config.batch_size):
        batch = paths[start : start + config.batch_size]
        images, errors = image_files.open_images(batch, stretch=config.stretch)
        for path, error in errors.items():
            print(f"skipped: {error}")
            entries[path] = {"image": str(path), "error": error}
        begin = time.perf_counter()
        found = detector.detect(images.values(), batch_size=config.batch_size)
        seconds += time.perf_counter() - begin
        for (path, image), detections in zip(images.items(), found):
            entries[path], picture = _shown(path, image, detections, detector, config)
            # Only if a side is longer than a JPEG's may be, as of two long images side by side.
            picture.thumbnail((MAX_JPEG_SIDE, MAX_JPEG_SIDE))
            picture.save(folder / names[path], quality=92)
    # In the order of the images: unreadable ones were entered before the others of their batch.
    in_order = [entries[path] for path in paths]
    print(_summary(in_order, seconds))
    content = json.dumps(in_order, indent=1, ensure_ascii=False)
    (folder / "detections.json").write_text(content + "\n", encoding="utf-8")
    print(f"wrote pictures and detections.json to {folder}")


def _load(config: DetectConfig) -> "Detector":
    """The run's Detector, with its graph traced so that this does not count as an image's time."""
    import numpy as np

    from ssd_tfrecord.detection.detector import Detector
    from ssd_tfrecord.devices.strategy import create_strategy

    detector = Detector.load(
        config.run_dir,
        config.checkpoint,
        config.detection,
        strategy=create_strategy(config.devices),
    )
    detector.detect([np.zeros([1, 1, 3], np.uint8)])
    return detector


def _shown(
    path: pathlib.Path,
    image: Image.Image,
    detections: "Detections",
    detector: "Detector",
    config: DetectConfig,
) -> tuple[dict[str, Any], Image.Image]:
    """The image's entry of detections.json, and its picture, beside the ground truth if any."""
    from ssd_tfrecord.detection import ground_truth, pictures
    from ssd_tfrecord.detection.detections import json_entry

    entry = {**json_entry(detections, detector.class_names), "image": str(path)}
    picture = pictures.draw_detections(image, detections, detector.class_names)
    objects = _annotated(path, config)
    if objects is not None:
        truth, names = ground_truth.from_objects(
            objects, image.height, image.width, detector.class_names
        )
        picture = pictures.side_by_side(picture, pictures.draw_ground_truth(image, truth, names))
    return entry, picture


def _annotated(path: pathlib.Path, config: DetectConfig) -> "Sequence[SourceObject] | None":
    """The objects of the image's XML; None if there is none, or if it cannot be read."""
    from ssd_tfrecord.records.sources.voc_files.voc_xml import parse_voc_xml

    xml = pathlib.Path(config.annotations_dir, f"{path.stem}.xml")
    if not (config.annotations_dir and xml.is_file()):
        return None
    try:
        # VOC's pixels count from 1.
        return parse_voc_xml(str(xml), pixel_origin=1).objects
    except InputError as error:
        print(f"drawn without ground truth: {error}")
        return None


def _summary(entries: Sequence[dict[str, Any]], seconds: float) -> str:
    """Detections per class and the time per image.

    Raises:
        InputError: no image could be read.
    """
    read = [entry for entry in entries if "error" not in entry]
    if not read:
        raise InputError(f"no image could be read: {entries[0]['error']}")
    counts = collections.Counter(row["label"] for entry in read for row in entry["detections"])
    total = f"{_count(len(read), 'image')}, {_count(counts.total(), 'detection')}"
    if skipped := len(entries) - len(read):
        total += f"; {_count(skipped, 'image')} skipped"
    width = max(map(len, [*counts, total]))
    rows = [f"{name:<{width}} {count:>6}" for name, count in counts.most_common()]
    time_taken = f"{1000 * seconds / len(read):.1f} ms per image, excluding opening and drawing"
    return "\n".join([*rows, total, time_taken])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
