"""A benchmark from its flags to its figures."""

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ssd_tfrecord import flags
from ssd_tfrecord.benchmark import figures, machine, table
from ssd_tfrecord.config import BenchmarkConfig, check_batch_size
from ssd_tfrecord.data.footprint import check_cache
from ssd_tfrecord.devices import gpu_threads, onednn
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import Manifest, load_manifests
from ssd_tfrecord.training import preflight

if TYPE_CHECKING:
    import tensorflow as tf

    from ssd_tfrecord.data.reading import RecordSource

SEED = 0
CONVERTER = (sys.executable, "-m", "ssd_tfrecord", "convert-coco")

# Pascal VOC's, if no record set is given.
NUM_CLASSES = 20

# The largest number of objects in one image of VOC2007 and VOC2012.
NUM_MATCHED_OBJECTS = 56


def run(config: BenchmarkConfig) -> None:
    """Measures and prints the figures; ``--json`` saves them, ``--compare`` prints their changes.

    Exits with code 1 if one got worse by more than ``--fail_above``. ``--only=hlo`` writes programs
    instead.

    Args:
        config: of the benchmark.

    Raises:
        InputError: a record set or a report cannot be read, or the options do not fit together.
    """
    wanted = figures.TRAINING if config.only == "all" else (config.only,)
    old, manifests = _check(config, wanted)
    if config.only == "hlo":
        _export(config, manifests)
        return
    # Before measuring, which is a load itself.
    load = os.getloadavg()[0]
    found = _measure(config, wanted, manifests)
    measured = {
        "machine": machine.describe(load),
        "flags": flags.to_lines(config),
        "records": sum(manifest.num_records for manifest in manifests),
        **found,
    }
    print(table.text(measured))
    if config.json:
        figures.save(config.json, measured)
    if old and _compare(old, measured, config.fail_above):
        sys.exit(1)


def _check(
    config: BenchmarkConfig, wanted: Collection[str]
) -> tuple[dict[str, Any] | None, tuple[Manifest, ...]]:
    """The report of ``--compare``, if any, and the manifests.

    Checks all that can be checked without TensorFlow.
    """
    # Before measuring, which takes minutes.
    if config.json:
        figures.check_place(config.json)
    preflight.require_addons(config.optimizer.optimizer)
    old = figures.load(config.compare) if config.compare else None
    if old and not set(wanted) & set(old):
        raise InputError(f"--compare={config.compare}: has no figures for --only={config.only}")
    manifests = load_manifests(config.records)
    if line := check_cache(manifests, config.input.reading):
        print(line)
    return old, manifests


def _measure(
    config: BenchmarkConfig, wanted: Collection[str], manifests: Sequence[Manifest]
) -> dict[str, dict[str, Any]]:
    """{section: figures} of the sections that are ``wanted``."""
    gpu_threads.set_up()
    onednn.set_up(config.devices.onednn)
    if "scaling" in wanted:
        return {"scaling": _measure_scaling(config, manifests)}
    steps = {"model", "end_to_end"} & set(wanted)
    if not steps:
        # TensorFlow would take all memory of the GPUs for nothing.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import tensorflow as tf

    from ssd_tfrecord.data import caching

    # Devices can be declared only before TensorFlow uses one.
    strategy = _strategy(config) if steps else None
    found: dict[str, dict[str, Any]] = {}
    if "convert" in wanted:
        # CPU time is what is measured, even if a GPU is visible for the steps.
        with tf.device("CPU:0"):
            found["convert"] = _measure_convert(config, manifests)
    # Opened once, as it may be a cache that takes long to fill. --only=model needs no record set.
    read = manifests and {"input", *steps} & set(wanted)
    source = caching.opened(manifests, config.input.reading) if read else None
    if "input" in wanted and source is not None:
        found["input"] = _measure_input(config, source)
    if "match" in wanted:
        with tf.device("CPU:0"):
            found["match"] = _measure_match(config)
    if "evaluation" in wanted:
        found["evaluation"] = _measure_evaluation(config)
    if strategy is not None:
        found |= _measure_steps(config, steps, source, strategy)
    return found


def _export(config: BenchmarkConfig, manifests: Sequence[Manifest]) -> None:
    # Nothing is computed: TensorFlow would take the memory of the GPUs for nothing.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from ssd_tfrecord.benchmark import hlo_export

    rows = hlo_export.export(config, _num_classes(manifests))
    print(f"{len(rows)} programs in {config.output_dir}, listed in its {hlo_export.INDEX}")


def _strategy(config: BenchmarkConfig) -> "tf.distribute.Strategy":
    from ssd_tfrecord.devices.strategy import create_strategy

    strategy = create_strategy(config.devices)
    # The number of GPUs was not known when the flags were read.
    check_batch_size(config.batch_size, strategy.num_replicas_in_sync, "batch_size")
    return strategy


def _measure_convert(config: BenchmarkConfig, manifests: Sequence[Manifest]) -> dict[str, Any]:
    from ssd_tfrecord.benchmark import convert_cost, convert_scaling

    num_images = config.num_batches * config.batch_size
    found = {
        f"verify_{verify}": convert_cost.measure_convert(
            manifests, num_images=num_images, num_rounds=config.num_rounds, verify=verify
        )
        for verify in ("decode", "header")
    }
    if config.convert_workers:
        found["scaling"] = convert_scaling.measure_scaling(
            manifests,
            CONVERTER,
            num_images=config.convert_images,
            num_files=num_images,
            num_workers=config.convert_workers,
        )
    return found


def _measure_input(config: BenchmarkConfig, source: "RecordSource") -> dict[str, Any]:
    from ssd_tfrecord.benchmark import input_cost

    return input_cost.measure_input(
        source,
        config.input,
        input_size=config.model.input_size,
        batch_size=config.batch_size,
        num_batches=config.num_batches,
        num_rounds=config.num_rounds,
        seed=SEED,
    )


def _measure_match(config: BenchmarkConfig) -> dict[str, float]:
    from ssd_tfrecord.benchmark import match_cost

    return match_cost.measure_match(
        config.model.maps,
        config.anchors,
        num_images=config.batch_size,
        num_objects=NUM_MATCHED_OBJECTS,
        repeats=config.num_rounds,
        seed=SEED,
    )


def _measure_evaluation(config: BenchmarkConfig) -> dict[str, Any]:
    from ssd_tfrecord.benchmark import evaluation_cost

    return evaluation_cost.measure_evaluation(
        num_images=config.evaluation_images, num_rounds=config.num_rounds, seed=SEED
    )


def _measure_steps(
    config: BenchmarkConfig,
    wanted: Collection[str],
    source: "RecordSource | None",
    strategy: "tf.distribute.Strategy",
) -> dict[str, dict[str, Any]]:
    from ssd_tfrecord.benchmark import step_cost

    num_classes = _num_classes(source.manifests if source else ())
    if config.only == "model":
        return {"model": _measure_model(config, num_classes, strategy)}
    # One step for both, so that it is built and its variables are made once.
    step = step_cost.make_step(config, num_classes, strategy)
    found: dict[str, dict[str, Any]] = {}
    if "model" in wanted:
        size = config.model.input_size
        batches = step_cost.synthetic_batches(size, config.batch_size, num_classes)
        found["model"] = step_cost.measure_steps(config, step, batches, strategy)
    if "end_to_end" in wanted and source is not None:
        batches = step_cost.real_batches(config, source)
        found["end_to_end"] = step_cost.measure_steps(config, step, batches, strategy)
    return found


def _measure_model(
    config: BenchmarkConfig, num_classes: int, strategy: "tf.distribute.Strategy"
) -> dict[str, Any]:
    from ssd_tfrecord.benchmark import step_cost, step_parts

    made = step_cost.make_learner(config, num_classes, strategy)
    batches = step_cost.synthetic_batches(config.model.input_size, config.batch_size, num_classes)
    found: dict[str, Any] = step_cost.measure_steps(config, made.step_fn, batches, strategy)
    if strategy.num_replicas_in_sync == 1:
        batch = next(iter(batches))
        found |= step_parts.measure_parts(config, made, batch, num_classes)
    return found


def _measure_scaling(config: BenchmarkConfig, manifests: Sequence[Manifest]) -> dict[str, Any]:
    import tensorflow as tf

    from ssd_tfrecord.benchmark import replica_scaling

    # Counted only: processes of their own compute.
    num_gpus = len(tf.config.list_physical_devices("GPU"))
    return replica_scaling.measure_scaling(config, _num_classes(manifests), num_gpus)


def _num_classes(manifests: Sequence[Manifest]) -> int:
    return len(manifests[0].classes) if manifests else NUM_CLASSES


def _compare(old: Mapping[str, Any], new: Mapping[str, Any], limit: float) -> bool:
    """Prints how the figures changed; True if one got worse by more than ``limit`` percent."""
    print("\nchange of each figure: old, new, percent")
    for line in figures.differences(old, new):
        print(f"  warning: {line}")
    changes = figures.changes(old, new)
    if not changes:
        print("  no figure is in both reports")
        return limit > 0
    for change in changes:
        print(f"  {change.name:54}{change.old:11.3f}{change.new:11.3f}{change.percent:+9.1f} %")
    bad = figures.too_bad(changes, limit) if limit else []
    for change in bad:
        print(f"worse by more than --fail_above={limit:g}: {change.name} ({change.percent:+.1f} %)")
    return bool(bad)
