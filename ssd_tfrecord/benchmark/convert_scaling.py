"""What several workers make of a conversion: whole commands on many images, beside one worker's."""

import contextlib
import ctypes
import json
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from ssd_tfrecord.benchmark import convert_cost
from ssd_tfrecord.errors import InputError

# As the converters' default is for two workers: they end at different times by an eighth of their
# work at most.
SHARDS_PER_WORKER = 8
_SECONDS_BETWEEN_LOOKS = 0.01
_PR_SET_CHILD_SUBREAPER = 36  # Linux


def measure_scaling(
    manifests, command: Sequence[str], *, num_images: int, num_files: int, num_workers: int
) -> dict:
    """Measures a converter's command with ``--workers=1``, then with ``num_workers``.

    Both write the set of a COCO JSON whose ``num_images`` entries repeat the first ``num_files``
    records of ``manifests``, from files that are read from memory then. CPU time is user + system
    of the command and all its processes. Figures leave the start out, in which annotations are
    read, TensorFlow is imported and processes are made: they run from the moment the first shard is
    opened (what workers that come later still import is counted) to the command's end, the manifest
    included. Those called ``whole`` run from the command's beginning. What else the machine does
    makes cores less busy: measure on a quiet one.

    Args:
        command: words of ``create_coco_tfrecords.py`` before its flags.

    Returns:
        A dict: ``images``, ``workers``; ``one_worker`` and ``all_workers``, each with
        ``images_per_s``, ``cpu_ms_per_image``, ``whole_cpu_ms_per_image`` and ``busy_share`` (CPU
        time of a worker and second); ``cpu_ratio`` and ``whole_cpu_ratio``, all workers' CPU time
        to one's.

    Raises:
        InputError where the command fails, or ends before its first shard was seen.
    """
    with tempfile.TemporaryDirectory() as folder:
        images_dir = os.path.join(folder, "images")
        os.mkdir(images_dir)
        annotations = os.path.join(folder, "instances.json")
        files = convert_cost.unpack(manifests, images_dir, min(num_files, num_images))
        with open(annotations, "w", encoding="utf-8") as file:
            json.dump(_instances(files, manifests[0].classes, num_images), file)
        words = [*command, f"--annotations={annotations}", f"--images_dir={images_dir}"]
        words += [f"--num_shards={SHARDS_PER_WORKER * num_workers}"]
        rows = [
            _row(_run([*words, f"--workers={workers}"], folder), num_images, workers)
            for workers in (1, num_workers)
        ]
    return {
        "images": num_images,
        "workers": num_workers,
        "one_worker": rows[0],
        "all_workers": rows[1],
        "cpu_ratio": rows[1]["cpu_ms_per_image"] / rows[0]["cpu_ms_per_image"],
        "whole_cpu_ratio": rows[1]["whole_cpu_ms_per_image"] / rows[0]["whole_cpu_ms_per_image"],
    }


def _instances(files, classes, num_images):
    """A COCO instances JSON of ``num_images`` images, which repeat ``files``."""
    ids = {item.name: item.id for item in classes}
    images, annotations = [], []
    for image_id in range(num_images):
        source = files[image_id % len(files)]
        width, height = source.size
        name = os.path.basename(source.image_path)
        images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        for item in source.objects:
            ymin, xmin, ymax, xmax = item.box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": ids[item.name],
                    "bbox": [xmin, ymin, xmax - xmin, ymax - ymin],
                }
            )
    categories = [{"id": number, "name": name} for name, number in ids.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


@dataclass(frozen=True)
class _Usage:
    """Seconds of a command, and of its part after the first shard was opened."""

    whole_cpu: float
    cpu: float
    wall: float


def _row(usage, num_images, num_workers):
    return {
        "images_per_s": num_images / usage.wall,
        "cpu_ms_per_image": 1000 * usage.cpu / num_images,
        "whole_cpu_ms_per_image": 1000 * usage.whole_cpu / num_images,
        "busy_share": usage.cpu / (num_workers * usage.wall),
    }


def _run(words, folder):
    """The _Usage of a command, whose record set is removed again."""
    with tempfile.TemporaryDirectory(dir=folder) as parent, tempfile.TemporaryFile() as log:
        output_dir = os.path.join(parent, "measured")
        _adopt_orphans()
        before, others = _cpu_of_ended_children(), _children()
        with subprocess.Popen(
            [*words, f"--output_dir={output_dir}"], stdout=log, stderr=subprocess.STDOUT
        ) as process:
            while process.poll() is None and not _has_shards(output_dir):
                time.sleep(_SECONDS_BETWEEN_LOOKS)
            seen = process.returncode is None
            start, cpu = time.perf_counter(), _cpu_of_family(process.pid)
        _wait_for_orphans(others)
        wall = time.perf_counter() - start
        whole_cpu = _cpu_of_ended_children() - before
        if process.returncode:
            log.seek(0)
            last = log.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise InputError(f"{words[-1]}: ended with code {process.returncode}: {last}")
    if not seen:
        raise InputError(f"{words[-1]}: ended before a shard was seen: must have more images")
    return _Usage(whole_cpu, whole_cpu - cpu, wall)


def _has_shards(folder):
    # Unfinished ones are in a folder of their own.
    names = (name for _, _, names in os.walk(folder) for name in names)
    return any(name.endswith((".tfrecord", ".tfrecord.partial")) for name in names)


def _adopt_orphans():
    """Has this process inherit what outlives its parent, as multiprocessing's server of forks does
    by milliseconds: without, its CPU time and its workers' would be nobody's (man 2 prctl).
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wait_for_orphans(others):
    """Waits for all children but ``others``: this process may have a server of forks of its own."""
    while orphans := _children() - others:
        for pid in orphans:
            os.waitpid(pid, 0)


def _children():
    return {child.pid for child in psutil.Process().children()}


def _cpu_of_ended_children():
    """CPU seconds of the children that were waited for, and of those that they waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _cpu_of_family(pid):
    """CPU seconds until now of a process and of all that descend from it."""
    seconds = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):  # it has ended
        parent = psutil.Process(pid)
        for member in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                # Of the process, and of the children that it waited for.
                seconds += sum(member.cpu_times()[:4])
    return seconds
