"""An evaluation from its flags to metrics.json, pictures and detections."""

import json
import pathlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ssd_tfrecord.config import EvalConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import Manifest

if TYPE_CHECKING:
    from ssd_tfrecord.detection.detections import Detections
    from ssd_tfrecord.detection.detector import Detector
    from ssd_tfrecord.detection.ground_truth import GroundTruth


def run(config: EvalConfig) -> None:
    """Prints the metrics; writes metrics.json, pictures/ and, if asked to, detections/.

    Args:
        config: of the evaluation.

    Raises:
        InputError: the record set or the run is missing, or their class lists differ.
    """
    manifest = Manifest.load(config.records)
    # TensorFlow takes seconds to import, so only once it is known that there are records.
    from ssd_tfrecord.detection import ground_truth, pictures
    from ssd_tfrecord.detection.detector import Detector
    from ssd_tfrecord.devices.strategy import create_strategy
    from ssd_tfrecord.evaluation import writers

    strategy = create_strategy(config.devices)
    detector = Detector.load(config.run_dir, config.checkpoint, config.detection, strategy=strategy)
    _check_classes(config, manifest.class_names, detector.class_names)
    folder = pathlib.Path(config.output_dir or config.run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    print(f"evaluating {config.run_dir} at step {detector.step} on {config.records}")
    ground_truths = ground_truth.read_ground_truths(manifest)
    start = time.perf_counter()
    detections = detector.detect_records(
        manifest, ground_truths, batch_size=config.batch_size, num_workers=config.num_workers
    )
    # Includes tracing the graph, which makes small sets look slow.
    print(f"{1000 * (time.perf_counter() - start) / len(detections):.1f} ms per image")
    if manifest.num_objects:
        _write_metrics(folder, detector, ground_truths, detections)
    else:
        print(f"{config.records} has no annotations: metrics are skipped")
    if config.save_detections:
        writers.write_detections(
            config.save_detections,
            folder / "detections",
            ground_truths=ground_truths,
            detections=detections,
            class_names=detector.class_names,
            original_ids=detector.original_ids,
        )
        print(f"detections: {folder / 'detections'}")
    if config.num_pictures:
        chosen = pictures.record_pictures(manifest, ground_truths, detections, config.num_pictures)
        pictures.write_pictures(folder / "pictures", chosen)
        print(f"pictures: {folder / 'pictures'}")


def _check_classes(
    config: EvalConfig, record_names: Sequence[str], run_names: Sequence[str]
) -> None:
    """Raises InputError unless the class lists of the record set and the run are the same."""
    if tuple(record_names) != tuple(run_names):
        raise InputError(
            f"{config.records}: classes are {', '.join(record_names)}, but {config.run_dir} was "
            f"trained on {', '.join(run_names)}; they must be the same: convert with "
            "--classes=<manifest.json of the training set>"
        )


def _write_metrics(
    folder: pathlib.Path,
    detector: "Detector",
    ground_truths: "Sequence[GroundTruth]",
    detections: "Sequence[Detections]",
) -> None:
    from ssd_tfrecord.evaluation.metrics import compute_metrics, format_metrics
    from ssd_tfrecord.runs.run_folder import write_text

    metrics = compute_metrics(
        ground_truths, detections, detector.class_names, detector.original_ids
    )
    print(format_metrics(metrics))
    # Python would write NaN, which is not JSON; the metrics use None instead.
    content = json.dumps({**metrics, "step": detector.step}, indent=1, allow_nan=False)
    write_text(folder / "metrics.json", content + "\n")
