"""The detect command: from its config to pictures, detections.json and a summary."""

import io
import os
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ssd_tfrecord.config import DetectConfig
from ssd_tfrecord.detection import best_thresholds, interruption
from ssd_tfrecord.detection.interruption import Interruption
from ssd_tfrecord.detection.outputs import output_folder
from ssd_tfrecord.detection.sources import source_list, video_reader
from ssd_tfrecord.detection.sources.source_list import Source
from ssd_tfrecord.errors import DiskError, InputError
from ssd_tfrecord.options.detection import MAX_DETECTIONS
from ssd_tfrecord.records.processes import lock
from ssd_tfrecord.records.processes.progress import steady_bar

if TYPE_CHECKING:
    from ssd_tfrecord.detection.best_thresholds import BestThresholds
    from ssd_tfrecord.detection.detector import Detector
    from ssd_tfrecord.detection.outputs.delivery import Delivery
    from ssd_tfrecord.detection.outputs.image_outputs import Finished
    from ssd_tfrecord.detection.stream import Stream
    from ssd_tfrecord.records.sources.source_set import SourceObject

# A score that says little of a trained network, and is much for one that has learnt nothing.
_WEAK = 0.05


def run(config: DetectConfig) -> None:
    """Writes a picture with boxes for each image, and detections.json; prints a summary.

    Ctrl-C, SIGTERM and a full disk end it early, and what was found until then is kept.

    Raises:
        InputError: there is no image, none can be read, the output folder contains one of them, or
            another detect is writing there.
        DiskError: the output folder cannot be written to any more.
        KeyboardInterrupt: it was stopped by Ctrl-C.
        SystemExit: it was stopped by SIGTERM; the code is 143.
    """
    # Everything that needs no TensorFlow is checked before _load imports it.
    stdin = sys.stdin
    # Names on disk need not be UTF-8.
    if isinstance(stdin, io.TextIOWrapper):
        stdin.reconfigure(errors="surrogateescape")
    sources = source_list.find_sources(config.images, recursive=config.recursive, stdin=stdin)
    if any(source.kind != "image" for source in sources):
        video_reader.opencv()
    if config.annotations_dir and not os.path.isdir(config.annotations_dir):
        raise InputError(f"--annotations_dir={config.annotations_dir}: must be a folder")
    is_best = config.detection.threshold is None
    best = best_thresholds.find(config.run_dir) if is_best else None
    folder = pathlib.Path(config.output_dir)
    output_folder.prepare(folder, sources, crops=config.save_crops)
    with lock.alone_in(folder, "detect"):
        detector = _load(config, best)
        _detect(config, sources, detector, best)


def _load(config: DetectConfig, best: "BestThresholds | None") -> "Detector":
    """The run's Detector, with its graph traced so that this does not count as an image's time."""
    from ssd_tfrecord.devices import onednn
    from ssd_tfrecord.runs import run_folder

    run = run_folder.read_config(config.run_dir)
    onednn.set_up(config.devices.onednn, run.devices.onednn)
    from ssd_tfrecord.detection.detector import Detector
    from ssd_tfrecord.devices.strategy import create_strategy
    from ssd_tfrecord.runs import checkpoint_files
    from ssd_tfrecord.runs.checkpoint_names import CHECKPOINTS

    shown = config.detection
    if best is None:
        options = shown.at(shown.threshold or 0.0)
    else:
        classes = checkpoint_files.read_classes(pathlib.Path(config.run_dir) / CHECKPOINTS)
        thresholds = best.of([item.name for item in classes])
        # All that could be among the best once each class has its threshold.
        everything = min(len(classes) * shown.nms_candidates, MAX_DETECTIONS)
        options = shown.at(best_thresholds.lowest(thresholds), everything)
    detector = Detector.load(
        config.run_dir, config.checkpoint, options, strategy=create_strategy(config.devices)
    )
    if best and best.step not in (None, detector.step):
        print(
            f"--score_threshold=best: {best.path} is of step {best.step}, but the checkpoint is of "
            f"step {detector.step}; evaluate again for thresholds of its own"
        )
    detector.trace()
    return detector


def _detect(
    config: DetectConfig,
    sources: Sequence[Source],
    detector: "Detector",
    best: "BestThresholds | None",
) -> None:
    from ssd_tfrecord.detection.outputs.coco_rows_files import CocoRowsFiles
    from ssd_tfrecord.detection.outputs.delivery import DETECTIONS, Delivery
    from ssd_tfrecord.detection.outputs.image_outputs import ImageOutputs, Kinds
    from ssd_tfrecord.detection.outputs.json_rows import PART
    from ssd_tfrecord.detection.outputs.output_names import OutputNames
    from ssd_tfrecord.detection.sources.frame_readers import frames
    from ssd_tfrecord.detection.stream import Stream, num_workers

    folder, names = pathlib.Path(config.output_dir), OutputNames(sources)
    total = _total(sources)
    failure: DiskError | None = None
    with steady_bar(total, " images") as progress, interruption.watched() as stop:

        def say(line: str) -> None:
            # Above the bar, in whose middle it would stand.
            progress.write(line, file=sys.stdout)

        kinds = Kinds(config.pictures, config.save_txt, config.save_voc, config.save_crops)
        outputs = ImageOutputs(
            folder,
            names,
            detector.class_names,
            kinds=kinds,
            annotated=lambda path: _annotated(path, config, say),
            thresholds=(best.of(detector.class_names), config.detection.max_detections)
            if best
            else None,
        )
        is_live = any(source.kind == "camera" for source in sources)
        stream = Stream(
            detector,
            outputs.finish,
            batch_size=1 if is_live else min(config.batch_size, total or config.batch_size),
            workers=num_workers(config.workers),
            keeps_images=kinds.need_images,
        )
        coming = frames(
            sources,
            stretch=config.stretch,
            max_pixels=config.max_pixels,
            animated=config.frames == "all",
        )
        with output_folder.disk_errors(folder):
            coco = (
                CocoRowsFiles(folder, sources, detector.class_names, detector.original_ids)
                if config.save_coco
                else None
            )
        delivery = Delivery(folder, names, _head(config, detector, best), coco, say)
        try:
            try:
                for item in stream.run(coming, lambda: bool(stop.signal)):
                    delivery.take(item)
                    if progress.total and _is_further(item):
                        progress.total += 1
                    progress.update()
            finally:
                delivery.close()
        except DiskError as error:
            failure = error
        taken = f"{progress.n:,} of {progress.total:,}" if progress.total else f"{progress.n:,}"
    part = folder / (DETECTIONS + PART)
    kept = part if os.path.exists(part) else folder / DETECTIONS
    _end(delivery, stream, f"stopped after {taken} images", kept, failure, stop)
    if not delivery.num_detections:
        print(_why_nothing(config.detection.threshold))
    written = "pictures and detections.json" if config.pictures else "detections.json"
    print(f"wrote {written} to {folder}")


def _total(sources: Sequence[Source]) -> int | None:
    """The number of images as far as it is known before they are read; None with a camera."""
    total = 0
    for source in sources:
        if source.kind == "camera":
            return None
        total += 1 if source.kind == "image" else max(1, video_reader.facts(source)[0])
    return total


def _is_further(item: "Finished") -> bool:
    """Whether it shows that a file, which counts as one image, is several."""
    return item.frame.source.kind == "image" and item.frame.number > 1


def _head(
    config: DetectConfig, detector: "Detector", best: "BestThresholds | None"
) -> dict[str, Any]:
    """What detections.json says before its images."""
    shown = config.detection
    names = detector.class_names
    score: Any = dict(zip(names, best.of(names).tolist())) if best else shown.threshold
    ids = enumerate(zip(names, detector.original_ids), 1)
    return {
        "run": config.run_dir,
        "checkpoint": config.checkpoint,
        "step": detector.step,
        "thresholds": {
            "score_threshold": score,
            **({"evaluation": str(best.path)} if best else {}),
            "nms_iou": shown.nms_iou,
            "nms_candidates": shown.nms_candidates,
            "max_detections": shown.max_detections,
        },
        "classes": [{"id": i, "name": name, "original_id": own} for i, (name, own) in ids],
    }


def _annotated(
    path: pathlib.Path, config: DetectConfig, say: Callable[[str], None]
) -> "Sequence[SourceObject] | None":
    """The objects of the image's XML; None if there is none, or if it cannot be read."""
    from ssd_tfrecord.records.sources.voc_files.voc_xml import parse_voc_xml

    xml = pathlib.Path(config.annotations_dir, f"{path.stem}.xml")
    if not (config.annotations_dir and os.path.isfile(xml)):
        return None
    try:
        # VOC's pixels count from 1.
        return parse_voc_xml(str(xml), pixel_origin=1).objects
    except InputError as error:
        say(f"drawn without ground truth: {error}")
        return None


def _end(
    delivery: "Delivery",
    stream: "Stream[Finished]",
    stopped: str,
    kept: pathlib.Path,
    failure: DiskError | None,
    stop: Interruption,
) -> None:
    """Prints the summary, and ends the program if it was stopped.

    Raises:
        InputError: no image could be read.
        DiskError: ``failure``.
        KeyboardInterrupt: it was stopped by Ctrl-C.
        SystemExit: it was stopped by SIGTERM.
    """
    if not delivery.num_read and delivery.first_error:
        raise InputError(f"no image could be read: {delivery.first_error}")
    print(_summary(delivery, stream))
    if failure:
        raise DiskError(f"{failure}; {stopped}; {kept} has those that are finished")
    if stop.signal:
        print(f"{stopped} by {stop.name}; {kept} has those", flush=True)
        stop.end()


def _summary(delivery: "Delivery", stream: "Stream[Finished]") -> str:
    """Detections per class and the time per image."""
    counts = delivery.num_detections
    total = f"{_count(delivery.num_read, 'image')}, {_count(counts.total(), 'detection')}"
    if delivery.num_skipped:
        total += f"; {_count(delivery.num_skipped, 'image')} skipped"
    width = max(map(len, [*counts, total]))
    rows = [f"{name:<{width}} {count:>6}" for name, count in counts.most_common()]
    return "\n".join([*rows, total, stream.timing()])


def _why_nothing(threshold: float | None) -> str:
    """What to do where no image has a detection; None is each class's own threshold."""
    limit = "its class's threshold" if threshold is None else f"{threshold:g}"
    weaker = _WEAK if threshold is None or threshold > _WEAK else threshold / 10
    return f"none scored more than {limit}; --score_threshold={weaker:g} draws weaker ones, too"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
