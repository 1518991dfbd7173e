"""The programs: the command ``ssd-tfrecord``, and what ``python -m`` and ``tools/`` run.

Each is a config of flags and a function that takes it. What a program needs is imported when it
runs, so that ``--help`` and a wrong flag are answered before TensorFlow.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ssd_tfrecord import flags
from ssd_tfrecord.config import (
    BenchmarkConfig,
    ConvertCocoConfig,
    ConvertVocConfig,
    DataServiceConfig,
    DemoConfig,
    DetectConfig,
    EvalConfig,
    InspectConfig,
    TrainConfig,
)
from ssd_tfrecord.options import Options


def convert_voc(config: ConvertVocConfig) -> None:
    """Converts Pascal VOC XML to TFRecords and a manifest."""
    from ssd_tfrecord.records.writing import session

    session.convert_voc(config)


def convert_coco(config: ConvertCocoConfig) -> None:
    """Converts a COCO instances JSON to TFRecords and a manifest."""
    from ssd_tfrecord.records.writing import session

    session.convert_coco(config)


def inspect(config: InspectConfig) -> None:
    """Verifies, counts and draws record sets, and makes manifests for those of other tools."""
    from ssd_tfrecord.inspection import session

    session.run(config)


def train(config: TrainConfig) -> None:
    """Trains an SSD."""
    from ssd_tfrecord.runs import run_folder
    from ssd_tfrecord.training import preflight

    # Checked first: TensorFlow, which the session imports, takes seconds.
    train_sets, evaluation_set = preflight.check(config)
    run_folder.check(config)
    from ssd_tfrecord.training import session

    session.run(config, train_sets, evaluation_set)


def evaluate(config: EvalConfig) -> None:
    """Evaluates a run on a record set by VOC's and COCO's metrics."""
    from ssd_tfrecord.evaluation import session

    session.run(config)


def detect(config: DetectConfig) -> None:
    """Detects objects in image files, and draws them."""
    from ssd_tfrecord.detection import session

    session.run(config)


def benchmark(config: BenchmarkConfig) -> None:
    """Measures what conversion and the parts of training cost."""
    from ssd_tfrecord.benchmark import session

    session.run(config)


def data_service(config: DataServiceConfig) -> None:
    """Serves training batches made on machines without a GPU."""
    import os

    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from ssd_tfrecord.data import service

    if config.role == "dispatcher":
        service.serve_dispatcher(config.port)
    else:
        service.serve_worker(config.dispatcher, config.address, config.port)


def demo_data(config: DemoConfig) -> None:
    """Draws a demo data set in Pascal VOC's layout."""
    from ssd_tfrecord.datasets.demo import session

    session.run(config)


@dataclass(frozen=True)
class Program:
    """``run`` takes a ``config``, which the flags are made from."""

    config: type[Options]
    run: Callable[..., None]


PROGRAMS = {
    "convert-voc": Program(ConvertVocConfig, convert_voc),
    "convert-coco": Program(ConvertCocoConfig, convert_coco),
    "inspect": Program(InspectConfig, inspect),
    "train": Program(TrainConfig, train),
    "evaluate": Program(EvalConfig, evaluate),
    "detect": Program(DetectConfig, detect),
    "benchmark": Program(BenchmarkConfig, benchmark),
    "data-service": Program(DataServiceConfig, data_service),
    "demo-data": Program(DemoConfig, demo_data),
}


def run(name: str, argv: Sequence[str] | None = None) -> int:
    """Runs the program ``name`` with the flags of ``argv`` (the command line's); its exit code."""
    program = PROGRAMS[name]
    return flags.run(program.config, program.run, argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The command ``ssd-tfrecord``: ``argv[1]`` names the program, the rest are its flags."""
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
        f"error: {name!r} is no program: must be one of {', '.join(PROGRAMS)}; --help says what "
        "each does",
        file=sys.stderr,
    )
    return 2


def _usage():
    width = max(map(len, PROGRAMS))
    rows = [f"  {name:<{width}}  {item.run.__doc__}" for name, item in PROGRAMS.items()]
    return "\n".join(
        [
            "ssd-tfrecord PROGRAM --name=value …",
            "",
            *rows,
            "",
            "ssd-tfrecord PROGRAM --help lists the flags of a program.",
        ]
    )
