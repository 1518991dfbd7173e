"""A conversion from its flags to its summary."""

import functools
import os

from ssd_tfrecord import flags
from ssd_tfrecord.config import ConvertCocoConfig, ConvertConfig, ConvertVocConfig
from ssd_tfrecord.options import names_of_role
from ssd_tfrecord.records.sources.source_set import SourceSet


def convert_voc(config: ConvertVocConfig) -> None:
    """Converts VOC XML as ``config`` says, and prints what was written."""
    # Before TensorFlow is imported. Decoding runs on the CPU, and TensorFlow would reserve all of a
    # GPU's memory for nothing.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from ssd_tfrecord.records.sources import voc
    from ssd_tfrecord.records.writing import convert

    # Before the annotations are read, which may take minutes.
    convert.check_output(config.record_set, config.images)
    if config.voc_root:
        read = functools.partial(voc.read_devkit, config.voc_root, config.sets)
    else:
        read = functools.partial(
            voc.read_folder, config.annotations_dir, config.images_dir, config.image_set
        )
    sources = read(
        # Fractions and percentages of the image count no pixels.
        pixel_origin=0 if config.boxes.whole_side else config.pixel_origin,
        unannotated=config.unannotated,
        bad_images=config.images.bad_images,
        workers=config.record_set.workers,
        links=config.images.links,
    )
    _convert(sources, config, "create_voc_tfrecords")


def convert_coco(config: ConvertCocoConfig) -> None:
    """Converts a COCO JSON file as ``config`` says, and prints what was written."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from ssd_tfrecord.records.sources import coco
    from ssd_tfrecord.records.writing import convert

    convert.check_output(config.record_set, config.images)
    sources = coco.read_instances(
        config.annotations,
        config.images_dir,
        bad_images=config.images.bad_images,
        bad_boxes=config.boxes.bad_boxes,
        unknown_classes=config.boxes.unknown_classes,
        links=config.images.links,
    )
    _convert(sources, config, "create_coco_tfrecords")


def _convert(sources: SourceSet, config: ConvertVocConfig | ConvertCocoConfig, tool: str) -> None:
    from ssd_tfrecord.records.writing import convert

    convert.convert_and_report(
        sources,
        config.record_set,
        images=config.images,
        boxes=config.boxes,
        tool=tool,
        flag_lines=flags.to_lines(config),
    )


def convert_any(config: ConvertConfig) -> None:
    """Converts a folder of any layout as ``config`` says, and prints what was found and written."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from ssd_tfrecord.records.sources.layouts import recognition
    from ssd_tfrecord.records.writing import parts, source_parts

    out = config.record_set.output_dir
    finding = recognition.recognise(config.input, config.source.layout, out, config.images.links)
    for line in (recognition.describe(config.input, finding), *finding.notes):
        print(line)
    boxes = source_parts.boxes_of(finding, config.boxes)
    conversion = parts.Conversion(
        config.record_set,
        config.images,
        boxes,
        "create_tfrecords",
        flags.to_lines(config),
        frozenset(names_of_role(config, "place", "means")),
        finding.classes,
    )
    fractions = config.source.fractions
    names = list(fractions) or recognition.names_of_parts(config.input, finding)
    if parts.has_work(conversion, names):
        if fractions and len(finding.parts) > 1:
            print("--split: the images of all splits are divided again")
        sources = source_parts.read(
            config.input,
            finding,
            config.source,
            images=config.images,
            boxes=boxes,
            workers=config.record_set.workers,
        )
        parts.convert_parts(sources, conversion)
    if not config.record_set.dry_run:
        print(f"to train on it: {parts.train_command(conversion, names)}")
