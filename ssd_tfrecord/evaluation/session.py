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
    from ssd_tfrecord.detection.ground_truth import GroundTruth
    from ssd_tfrecord.evaluation.image_ids import ImageIds


def run(config: EvalConfig) -> None:
    """Prints the metrics; writes metrics.json, pictures/ and, if asked to, detections/.

    Args:
        config: of the evaluation.

    Raises:
        InputError: the record set or the run is missing, their class lists differ, or there is no
            image.
    """
    manifest = Manifest.load(config.records)
    if not manifest.num_records:
        raise InputError(f"--records={config.records}: the set has no images; convert it again")
    # TensorFlow takes seconds to import, so only once it is known that there are records.
    from ssd_tfrecord.detection import ground_truth, pictures
    from ssd_tfrecord.detection.detector import Detector
    from ssd_tfrecord.devices.strategy import create_strategy
    from ssd_tfrecord.evaluation.image_ids import image_ids

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
    source_ids = [truth.source_id for truth in ground_truths]
    ids = image_ids(source_ids, strings=manifest.has_string_ids)
    if manifest.num_objects:
        _write_metrics(folder, detector.step, manifest, ground_truths, detections, ids)
    else:
        print(f"{config.records} has no annotations: metrics are skipped")
    if config.save_detections:
        _write_detections(
            config.save_detections, folder / "detections", manifest, ground_truths, detections, ids
        )
    if config.num_pictures:
        chosen = pictures.record_pictures(manifest, ground_truths, detections, config.num_pictures)
        pictures.write_pictures(folder / "pictures", chosen)
        print(f"pictures: {folder / 'pictures'}")


def _check_classes(
    config: EvalConfig, record_names: Sequence[str], run_names: Sequence[str]
) -> None:
    """Raises InputError unless label i is the same class for the record set and the run."""
    if tuple(record_names) != tuple(run_names):
        raise InputError(
            f"{config.records}: classes are {', '.join(record_names)}, but {config.run_dir} was "
            f"trained on {', '.join(run_names)}; they must be the same, in the same order: convert "
            "with --classes=<manifest.json of the training set>"
        )


def _write_metrics(
    folder: pathlib.Path,
    step: int,
    manifest: Manifest,
    ground_truths: "Sequence[GroundTruth]",
    detections: "Sequence[Detections]",
    ids: "ImageIds",
) -> None:
    from ssd_tfrecord.evaluation.metrics import compute_metrics, format_metrics
    from ssd_tfrecord.runs.run_folder import write_text

    metrics = compute_metrics(
        ground_truths, detections, manifest.class_names, manifest.original_ids, image_ids=ids
    )
    print(format_metrics(metrics))
    # Python would write NaN, which is not JSON; the metrics use None instead.
    content = json.dumps({**metrics, "step": step}, indent=1, allow_nan=False)
    write_text(folder / "metrics.json", content + "\n")


def _write_detections(
    kind: str,
    folder: pathlib.Path,
    manifest: Manifest,
    ground_truths: "Sequence[GroundTruth]",
    detections: "Sequence[Detections]",
    ids: "ImageIds",
) -> None:
    from ssd_tfrecord.evaluation.files.writers import write_detections

    changed = write_detections(
        kind,
        folder,
        ground_truths=ground_truths,
        detections=detections,
        class_names=manifest.class_names,
        # Not those that the run was trained with: ids belong to the data that they describe.
        original_ids=manifest.original_ids,
        image_ids=ids,
        image_files=_image_files(manifest) if kind == "coco" else (),
    )
    print(f"detections: {folder}")
    if changed:
        print(f"{changed}: names of classes or images that had to be changed for these files")


def _image_files(manifest: Manifest) -> list[str]:
    """The name of the file that each record was made from, "" where it is not known."""
    import tensorflow as tf

    from ssd_tfrecord.records.schema import FILENAME

    feature = {FILENAME: tf.io.FixedLenFeature([], tf.string, "")}
    records = tf.data.TFRecordDataset(list(manifest.shard_paths))
    records = records.map(lambda record: tf.io.parse_single_example(record, feature)[FILENAME])
    # Names on disk need not be UTF-8; bytes that are not are escaped.
    return [name.decode(errors="backslashreplace") for name in records.as_numpy_iterator()]
