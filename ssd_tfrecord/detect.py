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
    from ssd_tfrecord.evaluation import image_files

    paths, folder = image_files.find_images(config.images), pathlib.Path(config.output_dir)
    image_files.check_output_dir(folder, paths)
    if config.annotations_dir and not pathlib.Path(config.annotations_dir).is_dir():
        raise InputError(f"--annotations_dir={config.annotations_dir}: must be a folder")
    detect_and_draw = _detector(config)
    folder.mkdir(parents=True, exist_ok=True)
    names = dict(zip(paths, image_files.output_names(paths)))
    entries, seconds = {}, 0.0
    for start in range(0, len(paths), config.batch_size):
        images, errors = image_files.open_images(paths[start : start + config.batch_size])
        for path, error in errors.items():
            print(f"left out: {error}")
            entries[path] = {"image": str(path), "error": error}
        found, elapsed = detect_and_draw(images)
        seconds += elapsed
        for path, (entry, picture) in zip(images, found):
            picture.save(folder / names[path], quality=92)
            entries[path] = entry
    entries = [entries[path] for path in paths]
    print(_summary(entries, seconds))
    content = json.dumps(entries, indent=1, ensure_ascii=False)
    (folder / "detections.json").write_text(content + "\n", encoding="utf-8")
    print(f"pictures and detections.json: {folder}")


def _detector(config):
    """A function from {path: image} to ([(entry of detections.json, picture)], seconds)."""
    import numpy as np

    from ssd_tfrecord.evaluation import detections, pictures, runner
    from ssd_tfrecord.geometry.anchors import anchor_boxes
    from ssd_tfrecord.training import checkpoints, devices

    with devices.strategy(config.devices).scope():
        run = checkpoints.load_run(config.run_dir, config.checkpoint)
    detect = runner.image_detector(
        run.model,
        anchor_boxes(run.config.anchors, run.config.model.input_size),
        config.detection,
        input_size=run.config.model.input_size,
        batch_size=config.batch_size,
    )

    def detect_and_draw(images):
        start = time.perf_counter()
        found = detect(list(map(str, images)), list(map(np.asarray, images.values())))
        seconds = time.perf_counter() - start
        rows = []
        for image, item in zip(images.values(), found):
            folder = config.annotations_dir
            picture = pictures.file_picture(image, item, run.class_names, folder)
            rows.append((detections.json_entry(item, run.class_names), picture))
        return rows, seconds

    return detect_and_draw


def _summary(entries, seconds):
    """Detections by class and the time an image; InputError if no image could be read."""
    read = [entry for entry in entries if "error" not in entry]
    if not read:
        raise InputError(f"no image could be read: {entries[0]['error']}")
    counts = collections.Counter(row["label"] for entry in read for row in entry["detections"])
    total = f"{len(read)} images, {counts.total()} detections"
    total += f"; {len(entries) - len(read)} images left out" * (len(read) < len(entries))
    width = max(map(len, [*counts, total]))
    rows = [f"{name:<{width}} {count:>6}" for name, count in counts.most_common()]
    time_taken = f"{1000 * seconds / len(read):.1f} ms an image, without opening and drawing it"
    return "\n".join([*rows, total, time_taken])


if __name__ == "__main__":
    sys.exit(flags.run(DetectConfig, main))
