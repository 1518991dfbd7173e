"""python -m ssd_tfrecord.detect --run_dir=runs/a --images='photos/*.jpg' --output_dir=out"""

import collections
import json
import pathlib
import sys
import time

from ssd_tfrecord import flags
from ssd_tfrecord.config import DetectConfig
from ssd_tfrecord.errors import InputError


def main(config: DetectConfig):
    """Writes a picture with boxes for each image, and detections.json; prints a summary."""
    from ssd_tfrecord.evaluation.detections import json_entry
    from ssd_tfrecord.evaluation.image_files import find_images, output_names

    paths, folder = find_images(config.images), pathlib.Path(config.output_dir)
    if config.annotations_dir and not pathlib.Path(config.annotations_dir).is_dir():
        raise InputError(f"--annotations_dir={config.annotations_dir}: must be a folder")
    class_names, detect = _detector(config)
    folder.mkdir(parents=True, exist_ok=True)
    entries, seconds = [], 0.0
    for start in range(0, len(paths), config.batch_size):
        batch = paths[start : start + config.batch_size]
        found, elapsed = _detect_and_draw(batch, detect, config.annotations_dir, class_names)
        seconds += elapsed
        for name, (item, picture) in zip(output_names(paths)[start:], found):
            picture.save(folder / name, quality=92)
            entries.append(json_entry(item, class_names))
    content = json.dumps(entries, indent=1, ensure_ascii=False)
    (folder / "detections.json").write_text(content + "\n", encoding="utf-8")
    print(_summary(entries))
    print(f"{1000 * seconds / len(paths):.1f} ms an image, without opening and drawing it")
    print(f"pictures and detections.json: {folder}")


def _detector(config):
    """The run's class names, and its function from names and arrays to detections."""
    from ssd_tfrecord.evaluation.runner import image_detector
    from ssd_tfrecord.geometry.anchors import anchor_boxes
    from ssd_tfrecord.training import checkpoints, devices

    with devices.strategy(config.devices).scope():
        run = checkpoints.load_run(config.run_dir, config.checkpoint)
    size = run.config.model.input_size
    return run.class_names, image_detector(
        run.model,
        anchor_boxes(run.config.anchors, size),
        config.detection,
        input_size=size,
        batch_size=config.batch_size,
    )


def _detect_and_draw(paths, detect, annotations_dir, class_names):
    """([(Detections, picture)], seconds of detection) of the images at ``paths``."""
    import numpy as np

    from ssd_tfrecord.evaluation import pictures
    from ssd_tfrecord.evaluation.ground_truth import read_voc_xml
    from ssd_tfrecord.evaluation.image_files import open_image

    images = [open_image(path) for path in paths]
    start = time.perf_counter()
    detections = detect([str(path) for path in paths], [np.asarray(image) for image in images])
    seconds = time.perf_counter() - start
    found = []
    for path, image, item in zip(paths, images, detections):
        picture = pictures.draw_detections(image, item, class_names)
        xml = pathlib.Path(annotations_dir, f"{path.stem}.xml")
        if annotations_dir and xml.is_file():
            truth, names = read_voc_xml(xml, image.height, image.width, class_names)
            truth = pictures.draw_ground_truth(image, truth, names)
            picture = pictures.side_by_side(picture, truth)
        found.append((item, picture))
    return found, seconds


def _summary(entries):
    counts = collections.Counter(row["label"] for entry in entries for row in entry["detections"])
    total = f"{len(entries)} images, {counts.total()} detections"
    width = max(map(len, [*counts, total]))
    rows = [f"{name:<{width}} {count:>6}" for name, count in counts.most_common()]
    return "\n".join([*rows, total])


if __name__ == "__main__":
    sys.exit(flags.run(DetectConfig, main))
