"""What the input pipeline costs on a record set, beside bare JPEG decoding; --help lists the flags.

    python tools/benchmark.py --records=records/voc0712_trainval --json=input.json

CPU milliseconds are the figure to compare: images/s drift on a shared machine.
"""

import json
import os
import pathlib
import platform
import sys

from ssd_tfrecord import flags
from ssd_tfrecord.config import BenchmarkConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import load_manifests

SEED = 0


def main(config: BenchmarkConfig):
    """Measures, prints the figures and saves them with ``--json``."""
    if config.json and not pathlib.Path(config.json).absolute().parent.is_dir():
        raise InputError(f"--json={config.json}: no such folder; must be a file to write")
    manifests = load_manifests(config.records)
    # The input pipeline runs on the CPU; TensorFlow would take all of a GPU's memory for nothing.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from ssd_tfrecord.data import cost

    load = os.getloadavg()[0]
    figures = cost.measure_input(
        manifests,
        input_size=config.input_size,
        batch_size=config.batch_size,
        num_batches=config.num_batches,
        seed=SEED,
        framing_options=config.framing,
        read_options=config.reading,
    )
    report = {
        "machine": _machine(load),
        "flags": flags.to_lines(config),
        "records": sum(manifest.num_records for manifest in manifests),
        "input": figures,
    }
    print(_text(report))
    if config.json:
        pathlib.Path(config.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _machine(load_before):
    import tensorflow as tf

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
    }


def _processor():
    """The processor's name where Linux tells it, else its architecture."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _text(report):
    machine, figures = report["machine"], report["input"]
    before, after = figures["decode_cpu_ms_before"], figures["decode_cpu_ms_after"]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, TensorFlow {machine['tensorflow']}, "
        f"load {machine['load_before']:.1f} before and {machine['load_after']:.1f} after",
        f"{figures['images']:,} images, of {report['records']:,} records",
        f"images/s             {figures['images_per_s']:9.1f}",
        f"CPU ms/image         {figures['cpu_ms_per_image']:9.3f}",
        f"bare JPEG decoding   {figures['decode_cpu_ms_per_image']:9.3f}  "
        f"({before:.3f} right before, {after:.3f} right after)",
        f"ratio to decoding    {figures['ratio_to_decode']:9.2f}",
        f"cores, 1,000 images/s{figures['cores_for_1000_images_per_s']:9.2f}",
    ]
    for name, milliseconds in figures["part_cpu_ms_per_image"].items():
        lines.append(f"  {name:19}{milliseconds:9.3f}  {figures['shares'][name]:6.1%}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(flags.run(BenchmarkConfig, main))
