"""The programs: the command ``ssd-tfrecord``, and what ``python -m`` and ``tools/`` run.

Each is a config, from which the flags are made, and a function that is called with it. A program
imports what it needs when it runs, so that ``--help`` and errors in flags do not have to wait for
TensorFlow.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ssd_tfrecord import flags
from ssd_tfrecord.config import (
    BenchmarkConfig,
    CompareCurveConfig,
    ConvertCocoConfig,
    ConvertConfig,
    ConvertVocConfig,
    DataServiceConfig,
    DemoConfig,
    DetectConfig,
    DownloadConfig,
    EvalConfig,
    ExportConfig,
    FitConfig,
    ImportConfig,
    InspectConfig,
    TrainConfig,
)
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import Options

if TYPE_CHECKING:
    from ssd_tfrecord.training.cluster.crew import Crew
    from ssd_tfrecord.training.stopping.signals import StopRequest


def fit(config: FitConfig) -> None:
    """Makes a model of a folder: converts, checks, trains, evaluates, exports, and shows it."""
    from ssd_tfrecord.fitting import session

    session.run(config)


def convert_voc(config: ConvertVocConfig) -> None:
    """Converts Pascal VOC XML to a record set (TFRecords and a manifest)."""
    from ssd_tfrecord.records.writing import session

    session.convert_voc(config)


def convert_coco(config: ConvertCocoConfig) -> None:
    """Converts a COCO instances JSON to a record set."""
    from ssd_tfrecord.records.writing import session

    session.convert_coco(config)


def convert(config: ConvertConfig) -> None:
    """Converts a folder of any layout (YOLO, CSV, labelme …), split by split, to record sets."""
    from ssd_tfrecord.records.writing import session

    session.convert_any(config)


def inspect(config: InspectConfig) -> None:
    """Verifies, counts, draws or searches record sets; writes manifests for other tools' sets."""
    from ssd_tfrecord.inspection import session

    session.run(config)


def train(config: TrainConfig) -> None:
    """Trains an SSD, or resumes a stopped run."""
    from ssd_tfrecord.training.stopping import signals

    with signals.watched() as stop:
        if config.replay:
            with stop.interruptible():
                _replay(config.replay)
        else:
            _train(config, stop)


def _train(config: TrainConfig, stop: "StopRequest") -> None:
    from ssd_tfrecord.devices import gpu_threads, onednn
    from ssd_tfrecord.devices.cluster import cluster_resolver

    gpu_threads.set_up()
    group = cluster_resolver.resolve(config.cluster)
    if group is None:
        _lead(config, stop)
        return
    from ssd_tfrecord.training import preflight
    from ssd_tfrecord.training.cluster import crew, orders

    preflight.check_for_several(config)
    with stop.interruptible():
        sets = preflight.record_sets(config)
        if group.is_chief:
            others = crew.Crew(group, config, orders.hello(config, *sets))
        else:
            link = orders.join(config, *sets, group)
            # From here on the leader decides what a signal does.
            orders.hand_on(stop, link)
    if group.is_chief:
        # Whatever ends it, the others end, too.
        with others.ending(stop):
            _lead(config, stop, others)
    else:
        # Not the leader's choice, which may be that of its run folder: rounding differs, no more.
        onednn.set_up(config.devices.onednn)
        from ssd_tfrecord.training.cluster import follower

        follower.run(config, *sets, link, group, stop)


def _replay(path: str) -> None:
    from ssd_tfrecord.devices import onednn
    from ssd_tfrecord.runs import run_folder

    # Only with the run's kernels is it the step that failed. What is wrong with the folder is said
    # by the replay.
    with contextlib.suppress(InputError):
        run = run_folder.read_config(os.path.dirname(os.path.abspath(path)))
        onednn.set_up(run.devices.onednn)
    from ssd_tfrecord.training.nonfinite import replay

    replay.run(path)


def _lead(config: TrainConfig, stop: "StopRequest", crew: "Crew | None" = None) -> None:
    """Trains alone, or as the first of several workers."""
    from ssd_tfrecord.runs import checkpoint_files, identity, run_folder, run_lock
    from ssd_tfrecord.training import preflight

    checkpoint_files.check_path(config.run_dir)
    with run_lock.held(config.run_dir) as lines:
        print(*lines, sep="\n", end="\n" if lines else "")
        # Checked first: importing the session imports TensorFlow, which takes seconds.
        with stop.interruptible():
            config = preflight.resolved(config)
            train_sets, evaluation_set = preflight.check(config)
            made = identity.identify(config, train_sets, evaluation_set)
            run_folder.check(config, made)
            from ssd_tfrecord.training import session

        session.run(config, train_sets, evaluation_set, made, stop, crew)


def evaluate(config: EvalConfig) -> None:
    """Evaluates a trained model, or detections of any tool, with the VOC and COCO metrics."""
    from ssd_tfrecord.evaluation import session

    session.run(config)


def detect(config: DetectConfig) -> None:
    """Detects objects in images and videos, and draws them."""
    from ssd_tfrecord.detection import session

    session.run(config)


def export(config: ExportConfig) -> None:
    """Exports a trained model to SavedModel, TFLite, ONNX or torchvision, and checks each file."""
    from ssd_tfrecord.exporting import session

    session.run(config)


def import_weights(config: ImportConfig) -> None:
    """Converts a published SSD (.pth, .caffemodel …) to a run folder, and evaluates it."""
    from ssd_tfrecord.records.manifest import Manifest

    # Before the work, as a path may be misspelt.
    for folder in config.records:
        Manifest.load(folder)
    from ssd_tfrecord.runs import imported_run

    detection = imported_run.write(config)
    if config.records:
        evaluate(config.evaluation(detection))


def compare_curve(config: CompareCurveConfig) -> None:
    """Compares the scores of a run with those that its recipe is known to reach."""
    from ssd_tfrecord.runs import run_folder
    from ssd_tfrecord.runs.course import history_file, reference_curve

    run = run_folder.read_config(config.run_dir)
    points = reference_curve.read(reference_curve.find(config.curve, run))
    path = f"{config.run_dir}/history.csv"
    found = history_file.read(path, run.num_steps)
    if not found.rows:
        raise InputError(f"{path}: {found.problem or 'has no row'}; must be the history of a run")
    verdicts = reference_curve.judge(points, found.rows.values(), config.tolerance)
    print(reference_curve.table(verdicts))
    if any(verdict.word == "below" for verdict in verdicts):
        sys.exit(1)


def benchmark(config: BenchmarkConfig) -> None:
    """Measures what conversion and each part of training cost."""
    from ssd_tfrecord.benchmark import session

    session.run(config)


def data_service(config: DataServiceConfig) -> None:
    """Makes training batches on other machines, and serves them to the trainer."""
    # TensorFlow would take all of a GPU's memory for nothing.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from ssd_tfrecord.data import service

    if config.role == "dispatcher":
        service.serve_dispatcher(config.port, config.work_dir)
    else:
        service.serve_worker(config.dispatcher, config.address, config.port)


def demo_data(config: DemoConfig) -> None:
    """Draws a demo data set in the layout of Pascal VOC."""
    from ssd_tfrecord.datasets.demo import session

    session.run(config)


def download(config: DownloadConfig) -> None:
    """Downloads VOC2007, VOC2012 or COCO 2017, verifies and unpacks it."""
    from ssd_tfrecord.datasets.download import session

    session.run(config)


@dataclass(frozen=True)
class Program:
    """``run`` is called with a ``config``, from which the flags are made."""

    config: type[Options]
    run: Callable[..., None]


PROGRAMS = {
    "fit": Program(FitConfig, fit),
    "convert-voc": Program(ConvertVocConfig, convert_voc),
    "convert-coco": Program(ConvertCocoConfig, convert_coco),
    "convert": Program(ConvertConfig, convert),
    "inspect": Program(InspectConfig, inspect),
    "train": Program(TrainConfig, train),
    "evaluate": Program(EvalConfig, evaluate),
    "detect": Program(DetectConfig, detect),
    "export": Program(ExportConfig, export),
    "import-weights": Program(ImportConfig, import_weights),
    "compare-curve": Program(CompareCurveConfig, compare_curve),
    "benchmark": Program(BenchmarkConfig, benchmark),
    "data-service": Program(DataServiceConfig, data_service),
    "demo-data": Program(DemoConfig, demo_data),
    "download": Program(DownloadConfig, download),
}


def run(name: str, argv: Sequence[str] | None = None) -> int:
    """Runs a program.

    Args:
        name: a key of ``PROGRAMS``.
        argv: what stands for the program's name, and its flags; by default those of the process.

    Returns:
        The exit code, as of ``flags.run``.
    """
    program = PROGRAMS[name]
    return flags.run(program.config, program.run, argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The command ``ssd-tfrecord``.

    Args:
        argv: the command's name, the program's name and its flags; by default those of the process.

    Returns:
        The exit code: as of ``flags.run``, and 2 if there is no such program.
    """
    flags.print_anywhere()
    words = list(sys.argv if argv is None else argv)
    name = words[1] if len(words) > 1 else "--help"
    if name in PROGRAMS:
        return run(name, [f"{words[0]} {name}", *words[2:]])
    if name in ("--version", "version"):
        from ssd_tfrecord import __version__

        print(f"ssd_tfrecord {__version__}")
        return 0
    if name in ("--help", "-h", "help"):
        print(_usage())
        return 0
    print(
        f"error: {name!r} is not a program; must be one of {', '.join(PROGRAMS)}; see --help",
        file=sys.stderr,
    )
    return 2


def _summary(program: Program) -> str:
    return (program.run.__doc__ or "").splitlines()[0]


def _usage() -> str:
    width = max(map(len, PROGRAMS))
    rows = [f"  {name:<{width}}  {_summary(item)}" for name, item in PROGRAMS.items()]
    return "\n".join(
        [
            "Usage: ssd-tfrecord PROGRAM --name=value …",
            "",
            *rows,
            "",
            "ssd-tfrecord PROGRAM --help explains the flags of a program.",
        ]
    )
