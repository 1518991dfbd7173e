"""Detection from its flags to pictures, detections.json and a summary."""

import collections
import json
import pathlib
import time

from ssd_tfrecord.config import DetectConfig
from ssd_tfrecord.detection import image_files
from ssd_tfrecord.errors import InputError


def run(config: DetectConfig) -> None:
    """Writes a picture with boxes for each image, and detections.json; prints a summary.

    Raises:
        InputError: no image is named, none can be read, or the output would mix with them.
    """
    paths, folder = image_files.find_images(config.images), pathlib.Path(config.output_dir)
    image_files.check_output_dir(folder, paths)
    if config.annotations_dir and not pathlib.Path(config.annotations_dir).is_dir():
        raise InputError(f"--annotations_dir={config.annotations_dir}: must be a folder")
    detector = _load(config)
    folder.mkdir(parents=True, exist_ok=True)
    names = dict(zip(paths, image_files.output_names(paths)))
    entries, seconds = {}, 0.0
    for start in range(0, len(paths), config.batch_size):
        images, errors = image_files.open_images(paths[start : start + config.batch_size])
        for path, error in errors.items():
            print(f"left out: {error}")
            entries[path] = {"image": str(path), "error": error}
        begin = time.perf_counter()
        found = detector.detect(images.values(), batch_size=config.batch_size)
        seconds += time.perf_counter() - begin
        for (path, image), detections in zip(images.items(), found):
            entries[path], picture = _shown(path, image, detections, detector, config)
            picture.save(folder / names[path], quality=92)
    entries = [entries[path] for path in paths]
    print(_summary(entries, seconds))
    content = json.dumps(entries, indent=1, ensure_ascii=False)
    (folder / "detections.json").write_text(content + "\n", encoding="utf-8")
    print(f"pictures and detections.json: {folder}")


def _load(config):
    """The run's Detector, its graph traced, so that no image's time holds that."""
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


def _shown(path, image, detections, detector, config):
    """The image's entry of detections.json, and its picture, beside its ground truth if any."""
    from ssd_tfrecord.detection import ground_truth, pictures
    from ssd_tfrecord.detection.detections import json_entry
    from ssd_tfrecord.records.sources.voc_xml import parse_voc_xml

    entry = {**json_entry(detections, detector.class_names), "image": str(path)}
    picture = pictures.draw_detections(image, detections, detector.class_names)
    xml = pathlib.Path(config.annotations_dir, f"{path.stem}.xml")
    if config.annotations_dir and xml.is_file():
        objects = parse_voc_xml(str(xml), pixel_origin=1).objects
        truth, names = ground_truth.from_objects(
            objects, image.height, image.width, detector.class_names
        )
        picture = pictures.side_by_side(picture, pictures.draw_ground_truth(image, truth, names))
    return entry, picture


def _summary(entries, seconds):
    """Detections by class and the time per image; InputError if no image could be read."""
    read = [entry for entry in entries if "error" not in entry]
    if not read:
        raise InputError(f"no image could be read: {entries[0]['error']}")
    counts = collections.Counter(row["label"] for entry in read for row in entry["detections"])
    total = f"{len(read)} images, {counts.total()} detections"
    total += f"; {len(entries) - len(read)} images left out" * (len(read) < len(entries))
    width = max(map(len, [*counts, total]))
    rows = [f"{name:<{width}} {count:>6}" for name, count in counts.most_common()]
    time_taken = f"{1000 * seconds / len(read):.1f} ms per image, without opening and drawing it"
    return "\n".join([*rows, total, time_taken])
