"""How conversion scales: complete commands with several workers on many images, beside one."""

import contextlib
import ctypes
import json
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import psutil

from ssd_tfrecord.benchmark import convert_cost
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import ClassLabel, Manifest
from ssd_tfrecord.records.sources.source_set import SourceImage

# As the converters' default is for two workers: one ends before the other by at most an eighth of
# its work.
SHARDS_PER_WORKER = 8
_SECONDS_BETWEEN_LOOKS = 0.01
_PR_SET_CHILD_SUBREAPER = 36  # Linux


def measure_scaling(
    manifests: Sequence[Manifest],
    command: Sequence[str],
    *,
    num_images: int,
    num_files: int,
    num_workers: int,
) -> dict[str, Any]:
    """Measures a converter's command with ``--workers=1``, then with ``num_workers``.

    Both write the set of a COCO JSON whose entries repeat some files, which are read from the page
    cache. CPU time is user + system of the command and all its processes. Figures leave out the
    start, in which annotations are read, TensorFlow is imported and processes are made: they run
    from the moment when the first shard is opened (what later workers still import is included) to
    the end of the command, with its manifest. Those called ``whole`` run from the beginning of the
    command. Anything else that the machine does makes the cores look less busy: measure on a quiet
    one.

    Args:
        manifests: the sets whose images are converted.
        command: the words of the COCO converter's command before its flags.
        num_images: entries of the JSON.
        num_files: files that they repeat, the first records of the sets.
        num_workers: of the second command.

    Returns:
        A dict: ``images``, ``workers``; ``one_worker`` and ``all_workers``, each with
        ``images_per_s``, ``cpu_ms_per_image``, ``whole_cpu_ms_per_image`` and ``busy_share`` (CPU
        seconds per worker and second); ``cpu_ratio`` and ``whole_cpu_ratio``, the CPU time of all
        workers relative to that of one.

    Raises:
        InputError: a command fails, or ends before its first shard was seen.
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


def _instances(
    files: Sequence[SourceImage], classes: Iterable[ClassLabel], num_images: int
) -> dict[str, list[dict[str, Any]]]:
    """The content of a COCO instances JSON of ``num_images`` images, which repeat ``files``."""
    ids = {item.name: item.id for item in classes}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id in range(num_images):
        source = files[image_id % len(files)]
        width, height = cast(tuple[float, float], source.size)  # ``unpack`` always sets it
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
    """Seconds of CPU time of a command; of CPU and wall time since its first shard was opened."""

    whole_cpu: float
    cpu: float
    wall: float


def _row(usage: _Usage, num_images: int, num_workers: int) -> dict[str, float]:
    return {
        "images_per_s": num_images / usage.wall,
        "cpu_ms_per_image": 1000 * usage.cpu / num_images,
        "whole_cpu_ms_per_image": 1000 * usage.whole_cpu / num_images,
        "busy_share": usage.cpu / (num_workers * usage.wall),
    }


def _run(words: Sequence[str], folder: str) -> _Usage:
    """Runs a command that writes into ``folder``, and removes what it wrote.

    Args:
        words: the command without its --output_dir; the last word is quoted in errors.
        folder: an existing folder, on the disk that is to be written to.

    Raises:
        InputError: the command fails, or ends before its first shard was seen.
    """
    # The log is a file: a pipe that nobody reads would fill up and stop the command.
    with tempfile.TemporaryDirectory(dir=folder) as parent, tempfile.TemporaryFile() as log:
        output_dir = os.path.join(parent, "measured")
        # Both before the command starts: what has been used by now is not its own.
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
            raise InputError(f"{words[-1]}: exited with code {process.returncode}: {last}")
    if not seen:
        raise InputError(f"{words[-1]}: exited before a shard was seen; needs more images")
    return _Usage(whole_cpu, whole_cpu - cpu, wall)


def _has_shards(folder: str) -> bool:
    # In subfolders too: unfinished shards are in a folder of their own.
    names = (name for _, _, names in os.walk(folder) for name in names)
    return any(name.endswith((".tfrecord", ".tfrecord.partial")) for name in names)


def _adopt_orphans() -> None:
    """Makes this process inherit descendants that outlive their parent (man 2 prctl).

    multiprocessing's fork server outlives its parent by milliseconds. If init inherited it, its CPU
    time and that of its workers would be lost.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wait_for_orphans(others: set[int]) -> None:
    """Waits for all children except ``others``, such as a fork server of this process."""
    while orphans := _children() - others:
        for pid in orphans:
            os.waitpid(pid, 0)


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def _cpu_of_ended_children() -> float:
    """CPU seconds of the children that were waited for, and of those that these waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _cpu_of_family(pid: int) -> float:
    """CPU seconds so far of a process and of all its descendants."""
    seconds = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):  # it has ended already
        parent = psutil.Process(pid)
        for member in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                # User and system, of the process and of the children that it waited for.
                seconds += sum(member.cpu_times()[:4])
    return seconds
