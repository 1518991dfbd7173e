"""Writes the demo data set in VOC's layout: <output_dir>/VOCdemo, sets demo_train and demo_test."""

import functools
import os
import pathlib
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from lxml import etree
from lxml.builder import E  # type: ignore[import-not-found] # lxml-stubs does not have it
from PIL import Image
from tqdm import tqdm

from ssd_tfrecord.datasets.demo.objects import CLASSES
from ssd_tfrecord.datasets.demo.scenes import Box, Scene, SceneObject, compose_scene
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.processes import workers

FOLDER = "VOCdemo"
# Of random numbers, by set.
_STREAMS = {"train": 0, "test": 1}
# What takes long to import of that which draws.
_PRELOADED = ("lxml.builder", "numpy", "PIL.ImageFilter")


@dataclass
class Tally:
    """What one set holds: images, objects, and objects by class and by kind."""

    images: int = 0
    objects: int = 0
    per_class: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, scene: Scene) -> None:
        """Counts ``scene`` and its objects."""
        height, width = scene.pixels.shape[:2]
        boxes = [item.box for item in scene.objects]
        self.images += 1
        self.objects += len(boxes)
        for index, item in enumerate(scene.objects):
            others = boxes[:index] + boxes[index + 1 :]
            self.per_class[item.name] += 1
            self.kinds["small"] += is_small(item.box, height, width)
            self.kinds["overlapping"] += any(overlap(item.box, other) >= 0.1 for other in others)
            self.kinds["truncated"] += item.truncated
            self.kinds["difficult"] += item.difficult

    def add_all(self, other: "Tally") -> None:
        """Counts all that ``other`` has counted."""
        self.images += other.images
        self.objects += other.objects
        self.per_class += other.per_class
        self.kinds += other.kinds


@dataclass(frozen=True)
class _Job:
    """An image to draw: the ``index``-th of the set ``name``, whose file is called ``stem``."""

    name: str
    index: int
    stem: str


def write_demo_dataset(
    output_dir: str | os.PathLike[str],
    *,
    num_train: int,
    num_test: int,
    seed: int,
    overwrite: bool = False,
    num_workers: int = 1,
) -> dict[str, Tally]:
    """Draws the data set and writes it, in a folder of another name until it is complete.

    Image i of a set depends on ``seed``, the set and i alone.

    Args:
        output_dir: where the folder VOCdemo goes; created if it does not exist.
        num_train: images of the training set.
        num_test: images of the test set.
        seed: of all images.
        overwrite: replace the VOCdemo in ``output_dir``, and nothing else there.
        num_workers: number of processes that draw; 1 draws in this one. The files do not depend on
            it.

    Returns:
        what was written, {"train": Tally, "test": Tally}.

    Raises:
        InputError: ``output_dir`` is a file, or holds anything and ``overwrite`` is false; or a
            process that draws died.
    """
    root = pathlib.Path(output_dir)
    partial, final = root / f"{FOLDER}.partial", root / FOLDER
    _check_output_dir(root, partial.name, overwrite)
    # An earlier run may have been stopped.
    shutil.rmtree(partial, ignore_errors=True)
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (partial / folder).mkdir(parents=True)
    names = ["train"] * num_train + ["test"] * num_test
    indices = (*range(num_train), *range(num_test))
    stems = [f"{number:06d}" for number in range(1, len(names) + 1)]
    jobs = [_Job(*job) for job in zip(names, indices, stems)]
    drawn = workers.map_in_order(
        functools.partial(_draw, partial, seed), jobs, num_workers, preloaded=_PRELOADED
    )
    tallies = {"train": Tally(), "test": Tally()}
    for tally, job in zip(tqdm(drawn, "scenes", total=len(jobs), unit="image"), jobs):
        tallies[job.name].add_all(tally)
    for name in tallies:
        lines = "".join(f"{job.stem}\n" for job in jobs if job.name == name)
        (partial / f"ImageSets/Main/{name}.txt").write_text(lines)
    # As late as possible: a folder cannot be renamed to one that is not empty.
    if final.exists():
        shutil.rmtree(final)
    os.replace(partial, final)
    return tallies


def _draw(folder: pathlib.Path, seed: int, job: _Job) -> Tally:
    """Draws an image, and writes it and its annotation to ``folder``; returns what it holds."""
    # A generator per image, so that no image depends on how many others there are, or on who drew
    # them.
    scene = compose_scene(np.random.default_rng([seed, _STREAMS[job.name], job.index]))
    file = f"{job.stem}.jpg"
    Image.fromarray(scene.pixels).save(folder / "JPEGImages" / file, quality=90)
    (folder / f"Annotations/{job.stem}.xml").write_bytes(annotation_xml(scene, file))
    tally = Tally()
    tally.add(scene)
    return tally


def _check_output_dir(output_dir: pathlib.Path, partial_name: str, overwrite: bool) -> None:
    if output_dir.exists() and not output_dir.is_dir():
        raise InputError(f"--output_dir={output_dir}: is a file; must be a folder")
    held = sorted(p.name for p in output_dir.iterdir()) if output_dir.exists() else []
    held = [name for name in held if name != partial_name]
    if held and not overwrite:
        raise InputError(
            f"--output_dir={output_dir}: already holds {held[0]!r}; choose an empty or new folder, "
            f"or pass --overwrite to replace its {FOLDER}"
        )


def annotation_xml(scene: Scene, filename: str) -> bytes:
    """The VOC XML of ``scene``, whose image is called ``filename``."""
    height, width, depth = scene.pixels.shape
    root = E.annotation(
        E.folder(FOLDER),
        E.filename(filename),
        E.source(E.database("ssd_tfrecord demo")),
        E.size(E.width(str(width)), E.height(str(height)), E.depth(str(depth))),
        E.segmented("0"),
        *(_object_element(item) for item in scene.objects),
    )
    return etree.tostring(root, pretty_print=True)


def _object_element(item: SceneObject) -> etree._Element:
    left, top, right, bottom = item.box
    # VOC counts pixels from 1 and includes xmax and ymax: as SceneObject excludes right and bottom,
    # these stay as they are.
    return E.object(
        E.name(item.name),
        E.pose("Unspecified"),
        E.truncated(str(int(item.truncated))),
        E.difficult(str(int(item.difficult))),
        E.bndbox(
            E.xmin(str(left + 1)), E.ymin(str(top + 1)), E.xmax(str(right)), E.ymax(str(bottom))
        ),
    )


def is_small(box: Box, height: int, width: int) -> bool:
    """Whether both sides of ``box`` (left, top, right, bottom) are under a tenth of the image's."""
    return box[2] - box[0] < width / 10 and box[3] - box[1] < height / 10


def overlap(first: Box, second: Box) -> float:
    """Intersection of two boxes (left, top, right, bottom), as a share of the smaller one."""
    wide = min(first[2], second[2]) - max(first[0], second[0])
    high = min(first[3], second[3]) - max(first[1], second[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return max(wide, 0) * max(high, 0) / min(areas)


def format_tallies(tallies: Mapping[str, Tally]) -> str:
    """The closing table, one column per set: objects by class, kinds as shares of all objects."""
    rows: list[Sequence[object]] = [
        ("", *tallies),
        ("images", *(t.images for t in tallies.values())),
        ("objects", *(t.objects for t in tallies.values())),
        *((f"  {name}", *(t.per_class[name] for t in tallies.values())) for name in CLASSES),
        *(
            (kind, *(f"{t.kinds[kind] / max(t.objects, 1):.1%}" for t in tallies.values()))
            for kind in ("small", "overlapping", "truncated", "difficult")
        ),
    ]
    return "\n".join(f"{row[0]:<14}" + "".join(f"{cell:>9}" for cell in row[1:]) for row in rows)
