"""python -m ssd_tfrecord.evaluate --run_dir=runs/a --records=records/voc07_test"""

import json
import pathlib
import sys
import time

from ssd_tfrecord import flags
from ssd_tfrecord.config import EvalConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import Manifest


def main(config: EvalConfig):
    """Prints the metrics, writes metrics.json, pictures/ and, if asked, detections/."""
    manifest = Manifest.load(config.records)
    from ssd_tfrecord.evaluation import ground_truth, pictures, writers
    from ssd_tfrecord.training import checkpoints, devices

    strategy = devices.strategy(config.devices)
    with strategy.scope():
        run = checkpoints.load_run(config.run_dir, config.checkpoint)
    _check_classes(config, manifest.class_names, run.class_names)
    folder = pathlib.Path(config.output_dir or config.run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{config.run_dir} at step {run.step} on {config.records}")
    ground_truths = ground_truth.read_ground_truths(manifest)
    detections = _detect(config, run, manifest, ground_truths, strategy)
    if manifest.num_objects:
        _write_metrics(folder, run, ground_truths, detections)
    else:
        print(f"{config.records} has no annotations: metrics are skipped")
    if config.save_detections:
        writers.write_detections(
            config.save_detections,
            folder / "detections",
            ground_truths=ground_truths,
            detections=detections,
            class_names=run.class_names,
            original_ids=run.original_ids,
        )
        print(f"detections: {folder / 'detections'}")
    if config.num_pictures:
        chosen = pictures.record_pictures(manifest, ground_truths, detections, config.num_pictures)
        pictures.write_pictures(folder / "pictures", chosen)
        print(f"pictures: {folder / 'pictures'}")


def _check_classes(config, record_names, run_names):
    """Raises InputError unless the record set's class list is the run's."""
    if tuple(record_names) != tuple(run_names):
        raise InputError(
            f"{config.records}: classes are {', '.join(record_names)}, but {config.run_dir} was "
            f"trained on {', '.join(run_names)}: must be the same; convert with "
            "--classes=<manifest.json of the training set>"
        )


def _detect(config, run, manifest, ground_truths, strategy):
    from ssd_tfrecord.evaluation.runner import detect_records
    from ssd_tfrecord.geometry.anchors import anchor_boxes

    start, input_size = time.perf_counter(), run.config.model.input_size
    detections = detect_records(
        run.model,
        anchor_boxes(run.config.anchors, input_size),
        manifest,
        ground_truths,
        detection=config.detection,
        num_workers=config.num_workers,
        batch_size=config.batch_size,
        input_size=input_size,
        strategy=strategy,
    )
    print(f"{1000 * (time.perf_counter() - start) / len(detections):.1f} ms an image")
    return detections


def _write_metrics(folder, run, ground_truths, detections):
    from ssd_tfrecord.evaluation.metrics import compute_metrics, format_metrics
    from ssd_tfrecord.training.run_folder import write_text

    metrics = compute_metrics(ground_truths, detections, run.class_names, run.original_ids)
    print(format_metrics(metrics))
    content = json.dumps({**metrics, "step": run.step}, indent=1, allow_nan=False)
    write_text(folder / "metrics.json", content + "\n")


if __name__ == "__main__":
    sys.exit(flags.run(EvalConfig, main))
