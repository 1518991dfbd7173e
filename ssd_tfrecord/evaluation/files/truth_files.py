"""Ground truth from annotation files, as their conversion to records would have it.

Readers, repairs, limits and class lists are those of the converters with their default flags. Two
things differ: images are neither looked for nor decoded, so that a size is what the annotations say
it is; and the images are in the order of the annotations, which in records is a shuffled one.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.evaluation.files.picture_files import picture_reader
from ssd_tfrecord.evaluation.image_ids import image_ids
from ssd_tfrecord.options import BoxOptions, ImageOptions
from ssd_tfrecord.records.annotation import ImageAnnotation
from ssd_tfrecord.records.images.stored_image import StoredImage, read_image
from ssd_tfrecord.records.known_classes import VOC_CLASSES
from ssd_tfrecord.records.processes.progress import bar
from ssd_tfrecord.records.sources import coco, labels, plausibility, spool
from ssd_tfrecord.records.sources.coco_files.coco_json import Entry, key_of, read_coco_json
from ssd_tfrecord.records.sources.file_tree import files_below
from ssd_tfrecord.records.sources.paths import ImageFolder, printable
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceSet
from ssd_tfrecord.records.sources.spool import Codec, Spool
from ssd_tfrecord.records.sources.survey import Survey, survey
from ssd_tfrecord.records.sources.voc_files.voc_notes import VocNotes
from ssd_tfrecord.records.sources.voc_files.voc_xml import parse_voc_xml
from ssd_tfrecord.records.statistics import Statistics
from ssd_tfrecord.records.writing import ceilings
from ssd_tfrecord.records.writing.box_repair import fit

if TYPE_CHECKING:
    from ssd_tfrecord.detection.ground_truth import GroundTruth
    from ssd_tfrecord.evaluation.annotated_set import AnnotatedSet

# Of what may be dropped; see RecordSetOptions.max_dropped.
_MAX_DROPPED = 10.0
_MAX_SIDE = 2**20
# Header only: the pixels play no part. No size is compared, as there is none where images are read.
_IMAGES = ImageOptions(verify="header", annotated_size="ignore")
_BOXES = BoxOptions()
_ENTRIES: Codec[Entry] = Codec(lambda entry: key_of(entry.get("id")), json.dumps, json.loads)


def read_coco_truths(
    annotations: str, images_dir: str = ""
) -> tuple["AnnotatedSet", tuple[str, ...]]:
    """Reads a COCO instances JSON; the set is called as the file, without its suffix.

    Args:
        annotations: the file, which may be gzipped.
        images_dir: the folder of its images; needed only for pictures and where the JSON has no
            sizes.

    Returns:
        (the set, lines for the user).

    Raises:
        InputError: as of a conversion, or an image's size is not known.
    """
    with _hint():
        content = read_coco_json(annotations)
        images, nameless = _with_names(content.images)
        content = dataclasses.replace(content, images=images)
        reader = coco.InstancesReader(annotations, _Unseen(), content)
        reader.read("fail", _BOXES.bad_boxes, _BOXES.unknown_classes)
        sources = SourceSet(
            images=reader.images,
            origin={},
            category_ids={name: category_id for category_id, name in content.categories.items()},
            notes=tuple(reader.all_notes()),
            rejects=reader.rejects,
            lost=reader.lost,
        )
        names = {
            image.source_id: "" if image.source_id in nameless else image.image_path
            for image in sources.images
        }
        folder = ImageFolder(images_dir) if images_dir else None

        def locate(image: SourceImage) -> str:
            name = names[image.source_id]
            return (folder.locate(name, image.file)[0] or "") if folder and name else ""

        fitting = _Fitting(sources, locate)
    stem = os.path.basename(annotations).removesuffix(".gz").removesuffix(".json")
    files = [names[truth.source_id] for truth in fitting.truths]
    digest = _digest([annotations])
    annotated = fitting.annotated_set(
        stem, annotations, digest, files, strings=not reader.has_integer_ids
    )
    return annotated, fitting.notes


def read_voc_truths(
    annotations_dir: str, images_dir: str = "", pixel_origin: int = 1
) -> tuple["AnnotatedSet", tuple[str, ...]]:
    """Reads the VOC XML in a folder and its sub-folders; source_id is the stem.

    The classes are VOC's 20 if the objects have no other, else every name found, sorted.

    Args:
        annotations_dir: the folder of XML.
        images_dir: the folder of the images; needed only for pictures and where the XML has no
            sizes.
        pixel_origin: what the XML counts pixels from, 1 or 0.

    Returns:
        (the set, which is called as the folder; lines for the user).

    Raises:
        InputError: as of a conversion, or an image's size is not known.
    """
    with _hint():
        if not os.path.isdir(annotations_dir):
            raise InputError(f"--annotations_dir={annotations_dir}: must be a folder")
        files: list[str] = []
        sources = _read_xml(annotations_dir, pixel_origin, files)
        folder = ImageFolder(images_dir) if images_dir else None

        def locate(image: SourceImage) -> str:
            stem = os.path.splitext(os.path.relpath(image.file, annotations_dir))[0]
            return (folder.find(image.image_path, stem, image.file)[0] or "") if folder else ""

        fitting = _Fitting(sources, locate)
    name = os.path.basename(os.path.abspath(annotations_dir))
    digest = _digest([image.file for image in sources.images])
    return fitting.annotated_set(name, annotations_dir, digest, files, strings=False), fitting.notes


def _read_xml(annotations_dir: str, pixel_origin: int, files: list[str]) -> SourceSet:
    """Reads all XML; the name of each image's file is added to ``files``."""
    refused: set[str] = set()
    names = files_below(annotations_dir, (".xml",), "inside", refused)
    if not names:
        raise InputError(f"--annotations_dir={annotations_dir}: must contain .xml files")
    images, rejects, counts = Spool(spool.IMAGES), Spool(spool.REJECTS), VocNotes()
    with bar(len(names), " XML", "annotations") as progress:
        for name in names:
            path = os.path.join(annotations_dir, name)
            content = parse_voc_xml(path, pixel_origin)
            counts.add(path, "", content.odd)
            source_id = printable(os.path.splitext(name)[0])
            for reject in content.rejects:
                rejects.append(dataclasses.replace(reject, source_id=source_id))
            files.append(printable(content.filename.replace("\\", "/").rpartition("/")[2]))
            image_path = content.filename
            images.append(SourceImage(source_id, image_path, path, content.size, content.objects))
            progress.update()
    notes = [printable(note) for note in counts.lines()]
    if refused:
        notes.append(f"links not followed, as they lead out of the folder: {len(refused)}")
    return SourceSet(
        images=images, origin={}, pixel_origin=pixel_origin, notes=tuple(notes), rejects=rejects
    )


class _Unseen(ImageFolder):
    """Images that are not looked for: each is where its name says."""

    def __init__(self) -> None:
        super().__init__("")

    def locate(self, name: str, where: str) -> tuple[str | None, str]:
        return name, ""


def _with_names(images: Spool[Entry]) -> tuple[Spool[Entry], set[str]]:
    """(the images of a JSON, each with a file name; the ids of those that had none)."""
    named, nameless = Spool(_ENTRIES), set()
    for entry in images:
        name, key = entry.get("file_name"), key_of(entry.get("id"))
        has_name = isinstance(name, str) and name.strip()
        if has_name or isinstance(entry.get("coco_url"), str):
            named.append(entry)
        else:
            nameless.add(key)
            # No file has such a name, so that no two images are taken for one.
            named.append({**entry, "file_name": f"\0{key}"})
    return named, nameless


class _Fitting:
    """The ground truth of a SourceSet, made in the steps of a conversion.

    ``truths``, ``paths`` (of the images' files, "" for none) and ``notes`` are the result.

    Args:
        sources: the set.
        locate: the path of an image's file, "" if it cannot be found.

    Raises:
        InputError: as of a conversion, or an image's size is not known.
    """

    def __init__(self, sources: SourceSet, locate: Callable[[SourceImage], str]) -> None:
        surveyed = survey(sources)
        ceiling = ceilings.Ceiling(sources, surveyed, _MAX_DROPPED)
        ceiling.check_reader()
        if not sources.images:
            raise InputError("no images: the set is empty")
        notes = plausibility.check(sources, surveyed, _IMAGES, _BOXES)
        self._classes = labels.choose_classes(
            _class_list(sources, surveyed), sources, surveyed=surveyed
        )
        numbers = {item.name: item.id for item in self._classes}
        statistics, examples = Statistics(numbers), ceilings.Examples()
        statistics.add_rejects(sources.rejects)
        self.paths: list[str] = []
        self.truths: list[GroundTruth] = []
        for source in sources.images:
            path = _path(source, locate)
            image = _sized(source, path)
            annotation, rejected = fit(source, image, numbers, _BOXES, sources.pixel_origin)
            statistics.add(annotation)
            statistics.add_rejects(rejected)
            examples.add(rejected)
            self.paths.append(path)
            self.truths.append(_ground_truth(annotation))
        ceiling.check(statistics, [examples.texts])
        done = (f"{what}: {count}" for what, count in sorted(statistics.actions.items()))
        self.notes = (*sources.notes, *notes, *done)

    def annotated_set(
        self, name: str, where: str, digest: str, files: Sequence[str], *, strings: bool
    ) -> "AnnotatedSet":
        """The set.

        Args:
            name: as of AnnotatedSet, and so are the next.
            where: the file or folder.
            digest: of its content.
            files: the name of each image's file.
            strings: whether the source has strings for image ids.
        """
        # Imports TensorFlow, which the readers do not need.
        from ssd_tfrecord.evaluation.annotated_set import AnnotatedSet

        return AnnotatedSet(
            name=name,
            where=where,
            digest=digest,
            class_names=tuple(item.name for item in self._classes),
            original_ids=tuple(item.original_id for item in self._classes),
            truths=self.truths,
            image_ids=image_ids([truth.source_id for truth in self.truths], strings=strings),
            file_names=files,
            read_images=picture_reader(self.paths, [(t.width, t.height) for t in self.truths]),
        )


def _path(source: SourceImage, locate: Callable[[SourceImage], str]) -> str:
    # Which of several images is meant matters only where one must be opened.
    with contextlib.suppress(InputError):
        return locate(source)
    return ""


def _sized(source: SourceImage, path: str) -> StoredImage:
    """The image as its annotation describes it; without a size there, as its file does."""
    if source.size and all(side % 1 == 0 and 1 <= side <= _MAX_SIDE for side in source.size):
        width, height = map(int, source.size)
        return StoredImage(b"", height, width, height, width)
    if not path:
        found = "{:g}x{:g}".format(*source.size) if source.size else "none"
        raise InputError(
            f"{source.file}: its size is {found}: must be whole numbers of pixels, or the image "
            "must be in --images_dir"
        )
    return read_image(dataclasses.replace(source, image_path=path, size=None), _IMAGES)


def _digest(paths: Iterable[str]) -> str:
    """A sha256 of the content of files, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(2**18):
                digest.update(block)
    return digest.hexdigest()


def _class_list(sources: SourceSet, surveyed: Survey) -> str:
    """What --classes would have to be for the set."""
    is_voc = not sources.category_ids and {*surveyed.names} <= {*VOC_CLASSES}
    return "default" if sources.category_ids or is_voc else "auto"


def _ground_truth(annotation: ImageAnnotation) -> "GroundTruth":
    # Imports TensorFlow, which the readers do not need.
    from ssd_tfrecord.detection.ground_truth import GroundTruth

    objects = annotation.objects
    return GroundTruth(
        source_id=annotation.source_id,
        height=annotation.height,
        width=annotation.width,
        # reshape: without objects the array is [0], not [0, 4].
        boxes=np.array([item.box for item in objects], np.float32).reshape(-1, 4),
        labels=np.array([item.label for item in objects], np.int32),
        difficult=np.array([item.difficult for item in objects], bool),
        crowd=np.array([item.crowd for item in objects], bool),
        area=np.array([item.area for item in objects], np.float32),
    )


@contextlib.contextmanager
def _hint() -> Iterator[None]:
    """Says of errors that name flags of the converters how to use these."""
    try:
        yield
    except InputError as error:
        if "pass --" not in str(error):
            raise
        raise InputError(
            f"{error} (flags of the converters: convert the set, then pass --records)"
        ) from None
