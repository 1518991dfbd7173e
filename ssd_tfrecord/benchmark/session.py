"""A benchmark from its flags to its figures."""

import os
import pathlib
import sys

from ssd_tfrecord import flags
from ssd_tfrecord.benchmark import figures, machine, table
from ssd_tfrecord.config import BenchmarkConfig, check_batch_size
from ssd_tfrecord.data.footprint import check_cache
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import load_manifests
from ssd_tfrecord.training import preflight

SEED = 0
CONVERTER = (sys.executable, "-m", "ssd_tfrecord", "convert-coco")

# Without record sets: Pascal VOC's.
NUM_CLASSES = 20

# The largest number of objects of an image in VOC2007 and VOC2012.
NUM_MATCHED_OBJECTS = 56


def run(config: BenchmarkConfig) -> None:
    """Measures and prints the figures; ``--json`` saves them, ``--compare`` prints their changes.

    Exits with 1 where one got worse by more than ``--fail_above``.
    """
    wanted = figures.SECTIONS if config.only == "all" else (config.only,)
    old, manifests = _check(config, wanted)
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


def _check(config, wanted):
    """The report of ``--compare``, if any, and the manifests; all that needs no TensorFlow."""
    if config.json and not pathlib.Path(config.json).absolute().parent.is_dir():
        raise InputError(f"--json={config.json}: no such folder; must be a file to write")
    preflight.require_addons(config.optimizer.optimizer)
    old = figures.load(config.compare) if config.compare else None
    if old and not set(wanted) & set(old):
        raise InputError(f"--compare={config.compare}: has no figures of --only={config.only}")
    manifests = load_manifests(config.records)
    if line := check_cache(manifests, config.input.reading):
        print(line)
    return old, manifests


def _measure(config, wanted, manifests):
    """{section: figures} of what is ``wanted``."""
    steps = {"model", "end_to_end"} & set(wanted)
    if not steps:
        # TensorFlow would take all of a GPU's memory for nothing.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import tensorflow as tf

    from ssd_tfrecord.data import caching

    # Devices can be declared only before TensorFlow uses one.
    strategy = _strategy(config) if steps else None
    found = {}
    if "convert" in wanted:
        with tf.device("CPU:0"):
            found["convert"] = _measure_convert(config, manifests)
    read = manifests and {"input", *steps} & set(wanted)
    source = caching.opened(manifests, config.input.reading) if read else None
    if "input" in wanted:
        found["input"] = _measure_input(config, source)
    if "match" in wanted:
        with tf.device("CPU:0"):
            found["match"] = _measure_match(config)
    if steps:
        found |= _measure_steps(config, steps, source, strategy)
    return found


def _strategy(config):
    from ssd_tfrecord.devices.strategy import create_strategy

    strategy = create_strategy(config.devices)
    check_batch_size(config.batch_size, strategy.num_replicas_in_sync, "batch_size")
    return strategy


def _measure_convert(config, manifests):
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


def _measure_input(config, source):
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


def _measure_match(config):
    from ssd_tfrecord.benchmark import match_cost

    return match_cost.measure_match(
        config.model.maps,
        config.anchors,
        num_images=config.batch_size,
        num_objects=NUM_MATCHED_OBJECTS,
        repeats=config.num_rounds,
        seed=SEED,
    )


def _measure_steps(config, wanted, source, strategy):
    from ssd_tfrecord.benchmark import step_cost

    num_classes = len(source.manifests[0].classes) if source else NUM_CLASSES
    step = step_cost.make_step(config, num_classes, strategy)
    found = {}
    if "model" in wanted:
        size = config.model.input_size
        batches = step_cost.synthetic_batches(size, config.batch_size, num_classes)
        found["model"] = step_cost.measure_steps(config, step, batches, strategy)
    if "end_to_end" in wanted:
        batches = step_cost.real_batches(config, source)
        found["end_to_end"] = step_cost.measure_steps(config, step, batches, strategy)
    return found


def _compare(old, new, limit):
    """Prints how the figures changed; whether one got worse by more than ``limit``."""
    print("\nchange of each figure: old, new, percent")
    for line in figures.differences(old, new):
        print(f"  warning: {line}")
    changes = figures.changes(old, new)
    for change in changes:
        print(f"  {change.name:54}{change.old:11.3f}{change.new:11.3f}{change.percent:+9.1f} %")
    bad = figures.too_bad(changes, limit) if limit else []
    for change in bad:
        print(f"worse by more than --fail_above={limit:g}: {change.name} ({change.percent:+.1f} %)")
    return bool(bad)
